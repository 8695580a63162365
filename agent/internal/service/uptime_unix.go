//go:build unix

package service

import (
	"time"

	"golang.org/x/sys/unix"
)

// Uptime is how long the host has run since its boot, without sleep; 0 where it
// cannot tell. It does not move with the wall clock.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
