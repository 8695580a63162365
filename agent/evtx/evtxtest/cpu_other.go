//go:build !linux

package evtxtest

import "time"

// CPUTime is 0 where a thread's own time is not to be had: what is bounded by it is
// bounded on Linux.
func CPUTime() time.Duration { return 0 }
