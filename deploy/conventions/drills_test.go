package conventions

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	drillRow   = regexp.MustCompile(`(?m)^\|.*\|.*\|.*` + "`Test" + `.*$`)
	drillName  = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	drillRegex = regexp.MustCompile(`(?m)^DRILLS := (.+)$`)
	drillRun   = regexp.MustCompile(`-run '\$\(DRILLS\)' (.+)$`)
	testFunc   = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
)

// TestDrillsAreRun: what the operators' table of drills lists is there, and make drill
// runs it.
func TestDrillsAreRun(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, section, found := strings.Cut(read("docs/operators.md"), "\n## Drills\n")
	section, _, _ = strings.Cut(section, "\n## ")
	makefile := read("Makefile")
	which := drillRegex.FindStringSubmatch(makefile)
	if !found || which == nil {
		t.Fatal("docs/operators.md has no drills, or the Makefile no DRILLS")
	}
	run := regexp.MustCompile(which[1])
	folders := []string{"deploy/e2e"}
	for line := range strings.Lines(makefile) {
		if in := drillRun.FindStringSubmatch(strings.TrimSpace(line)); in != nil {
			folders = append(folders, braces(in[1])...)
		}
	}
	where := map[string][]string{} // folders by test
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join("..", "..", folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no tests, %v", folder, err)
		}
		for _, file := range files {
			for _, test := range testFunc.FindAllStringSubmatch(read(strings.TrimPrefix(file, "../../")), -1) {
				where[test[1]] = append(where[test[1]], folder)
			}
		}
	}
	listed := 0
	for _, row := range drillRow.FindAllString(section, -1) {
		for _, name := range drillName.FindAllStringSubmatch(row, -1) {
			listed++
			if at := where[name[1]]; at == nil || !slices.Contains(at, "deploy/e2e") && !run.MatchString(name[1]) {
				t.Errorf("make drill does not run %s (found in %v)", name[1], at)
			}
		}
	}
	if listed < 20 {
		t.Errorf("only %d drills are listed", listed)
	}
}

// braces expands ./a/{b,c} ./d/{e,f} as the shell does, without what leads to it.
func braces(text string) (all []string) {
	for _, word := range strings.Fields(text) {
		before, list, found := strings.Cut(strings.TrimPrefix(word, "./"), "{")
		if !found {
			all = append(all, before)
			continue
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(list, "}"), ",") {
			all = append(all, before+name)
		}
	}
	return all
}
