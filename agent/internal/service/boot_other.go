//go:build !linux

package service

// BootID names the present boot of the host, "" where it has no such name.
func BootID() string { return "" }
