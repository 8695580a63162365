// Package e2e owns the drills: tests from outside that build the three
// programs, run them as processes against a Postgres of their own, break
// something on purpose and count what is left. It asks the programs, and the
// database by SQL; it never calls into them.
//
// A drill needs Postgres and is skipped where none is installed, but in CI.
// Drills that read recorded logs need ASSAY_TESTDATA.
//
//	ASSAY_DRILL=full    the whole of each drill, whatever -short says: make drill
//	ASSAY_DRILL=short   the reduced form; -short does the same: make test
//	ASSAY_DRILL_RACE=1  programs built with the race detector
//	ASSAY_DRILL_BIN     folder of programs built before, to drill those; with
//	                    -count=1, as go test does not see when they change
//
// Without any of them each drill is run in full.
package e2e
