package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// dataVariable is what a test names when it is skipped for want of data.
const dataVariable = "ASSAY_TESTDATA"

// event is one line of `go test -json`, as cmd/test2json documents it.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build events
	Test        string // empty for the package's own events
	Elapsed     float64
	Output      string
	FailedBuild string
}

// report collects one run. Of a test that passed nothing is kept.
type report struct {
	out    io.Writer
	output map[string]*strings.Builder // by package and test, while undecided
	builds map[string]*strings.Builder // what the compiler said, by import path

	passed, failed int
	badPackages    int
	skipped        []string // "package.Test: why"
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string]*strings.Builder{}, builds: map[string]*strings.Builder{}}
}

// read takes the whole stream. What is not JSON in it is passed on: the go
// command itself may fail before any test runs.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(r.out, line)
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading test output: %w", err)
		}
	}
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		add(r.output, key, e.Output)
	case "build-output":
		add(r.builds, e.ImportPath, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e)
		}
		delete(r.output, key)
	}
}

func (r *report) endTest(e event) {
	said := text(r.output[e.Package+" "+e.Test])
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped = append(r.skipped, e.Package+"."+e.Test+": "+reason(said))
	case "fail":
		r.failed++
		fmt.Fprint(r.out, said)
	}
}

// endPackage prints the package's line. The output of tests that never ended,
// as at a panic or a time-out, is still there and tells why.
func (r *report) endPackage(e event) {
	if e.Action == "fail" {
		r.badPackages++
		fmt.Fprint(r.out, text(r.builds[e.FailedBuild]))
		for _, key := range slices.Sorted(maps.Keys(r.output)) {
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(r.out, text(r.output[key]))
				delete(r.output, key)
			}
		}
		return
	}
	for line := range strings.Lines(text(r.output[e.Package+" "])) {
		if strings.HasPrefix(line, "ok ") {
			fmt.Fprint(r.out, line)
		}
	}
}

// finish prints the close of the report and says whether all is well.
func (r *report) finish(haveData bool) bool {
	missed := 0
	for _, line := range r.skipped {
		fmt.Fprintln(r.out, "skipped:", line)
		if haveData && strings.Contains(line, dataVariable) {
			missed++
		}
	}
	if missed > 0 {
		fmt.Fprintf(r.out, "FAIL: %d tests were skipped for want of %s, which is set\n", missed, dataVariable)
	}
	ran := r.passed+r.failed > 0
	if !ran {
		fmt.Fprintln(r.out, "FAIL: no test ran")
	}
	if r.badPackages > 0 {
		fmt.Fprintf(r.out, "FAIL: %d packages\n", r.badPackages)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	return ran && r.failed == 0 && r.badPackages == 0 && missed == 0
}

// reason is what a skipped test said, on one line, without the runner's words.
func reason(said string) string {
	var words []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- SKIP") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

func add(to map[string]*strings.Builder, key, s string) {
	if to[key] == nil {
		to[key] = &strings.Builder{}
	}
	to[key].WriteString(s)
}

func text(b *strings.Builder) string {
	if b == nil {
		return ""
	}
	return b.String()
}
