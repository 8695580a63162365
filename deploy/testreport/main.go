// Command testreport turns the output of `go test -json` on standard input into
// what a person reads: a line for each package, all that failing tests said, the
// tests that were skipped and why, and the count of all. It fails when a test
// failed, when none ran, and when a test was skipped for want of data although
// ASSAY_TESTDATA names the data.
package main

import (
	"fmt"
	"os"
)

func main() {
	r := newReport(os.Stdout)
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	if !r.finish(os.Getenv("ASSAY_TESTDATA") != "") {
		os.Exit(1)
	}
}
