package service

import (
	"os"
	"strings"
)

// BootID names the present boot of the host, "" where it has no such name.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
