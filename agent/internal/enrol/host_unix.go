//go:build unix

package enrol

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func osVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func machineID() string {
	b, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(b) > maxMachineID {
		return ""
	}
	return strings.TrimSpace(string(b))
}
