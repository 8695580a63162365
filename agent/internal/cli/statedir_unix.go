//go:build unix

package cli

// stateDir is the default state directory.
func stateDir() string { return "/var/lib/assay-agent" }
