//go:build !linux

package postgres

import "syscall"

// limitUnacknowledged is Linux's alone; elsewhere keepalives and the timeouts
// of callers must do.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
