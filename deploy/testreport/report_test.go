package main

import (
	"strings"
	"testing"
)

const passing = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p","Elapsed":0.1}
`

const skippedData = `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: set ASSAY_TESTDATA to run this\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
`

const failing = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:3: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}
`

const panicking = `{"Action":"output","Package":"q","Test":"TestD","Output":"panic: boom\n"}
{"Action":"output","Package":"q","Output":"FAIL\tq\t0.1s\n"}
{"Action":"fail","Package":"q"}
`

const unbuilt = `{"ImportPath":"r [r.test]","Action":"build-output","Output":"r/x.go:1: undefined: y\n"}
{"ImportPath":"r [r.test]","Action":"build-fail"}
{"Action":"output","Package":"r","Output":"FAIL\tr [build failed]\n"}
{"Action":"fail","Package":"r","FailedBuild":"r [r.test]"}
`

func TestReport(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stream   string
		haveData bool
		ok       bool
		says     []string
		hides    string
	}{
		"passing":                {passing, true, true, []string{"ok  \tp\t0.1s\n", "\n1 passed, 0 failed, 0 skipped\n"}, "chatter"},
		"skipped without data":   {skippedData + passing, false, true, []string{"skipped: p.TestB: b_test.go:9: set ASSAY_TESTDATA to run this\n", "1 passed, 0 failed, 1 skipped"}, "RUN"},
		"skipped although there": {skippedData + passing, true, false, []string{"FAIL: 1 tests were skipped for want of ASSAY_TESTDATA"}, ""},
		"failing":                {passing + failing, false, false, []string{"c_test.go:3: wrong", "1 passed, 1 failed, 0 skipped"}, "chatter"},
		"panicking":              {passing + panicking, false, false, []string{"panic: boom", "FAIL: 1 packages"}, ""},
		"not building":           {passing + unbuilt, false, false, []string{"undefined: y", "r [build failed]"}, ""},
		"nothing ran":            {"", false, false, []string{"no test ran"}, ""},
		"the go command's words": {"go: no such module\n", false, false, []string{"go: no such module\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := newReport(&out)
			if err := r.read(strings.NewReader(test.stream)); err != nil {
				t.Fatal(err)
			}
			if ok := r.finish(test.haveData); ok != test.ok {
				t.Errorf("it says %t, want %t", ok, test.ok)
			}
			for _, want := range test.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, out.String())
				}
			}
			if test.hides != "" && strings.Contains(out.String(), test.hides) {
				t.Errorf("it says %q:\n%s", test.hides, out.String())
			}
		})
	}
}
