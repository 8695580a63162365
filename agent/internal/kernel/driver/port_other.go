//go:build !windows

package driver

import (
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
)

// Open opens the driver's device.
func Open() (Port, error) { return nil, ErrUnsupported }

// Running lists the processes that run.
func Running() []process.Process { return nil }

// Drives lists where devices are mounted.
func Drives() []event.Drive { return nil }

// Account names the account of a SID, "" where nobody knows it.
func Account(string) string { return "" }
