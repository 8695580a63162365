package service

import (
	"time"

	"golang.org/x/sys/windows"
)

// Uptime is how long the host has run since its boot. It does not move with the
// wall clock.
func Uptime() time.Duration { return windows.DurationSinceBoot() }
