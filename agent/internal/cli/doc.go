// Package cli owns the commands of assay-agent: their flags, what they print
// and their exit codes. What they do lives in the packages they call.
//
// Exit codes: 0 done; 1 done, but something of the input was damaged or
// unreadable; 2 wrong usage; 3 not done.
package cli
