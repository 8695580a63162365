package cli

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// expectedMatch is a match by its place and rule.
type expectedMatch struct {
	file   string
	number uint64
	rule   string
}

func (m expectedMatch) String() string {
	return fmt.Sprintf("%s\t%d\t%s", plain(m.file), m.number, plain(m.rule))
}

// expectation is a list of expected matches, ticked off as they are found. Files
// are the same where one's path ends with the other's: the list may have been
// made in another folder.
type expectation struct {
	byName     map[expectedMatch][]*expectedEntry // file is the base name alone
	total      int
	unexpected []expectedMatch
}

type expectedEntry struct {
	match expectedMatch
	found bool
}

// Bounds on a list of expected matches: its lines, and a line in bytes.
const (
	maxExpected     = 10_000_000
	maxExpectedLine = 64 << 10
)

func readExpected(name string) (*expectation, error) {
	x := &expectation{byName: map[expectedMatch][]*expectedEntry{}}
	if name == "" {
		return x, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxExpectedLine)
	for at := 1; lines.Scan(); at++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, "\t")
		number, err := strconv.ParseUint(parts[min(1, len(parts)-1)], 10, 64)
		if len(parts) < 3 || err != nil {
			return nil, fmt.Errorf("%s:%d: write the file, the record's number and the rule's id, parted by tabs", name, at)
		}
		if x.total == maxExpected {
			return nil, fmt.Errorf("%s has more than %d lines", name, maxExpected)
		}
		x.add(expectedMatch{strings.TrimPrefix(parts[0], "./"), number, strings.ToLower(parts[2])})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return x, nil
}

func (m expectedMatch) key() expectedMatch {
	m.file = path.Base(m.file)
	return m
}

func (x *expectation) add(m expectedMatch) {
	if !slices.ContainsFunc(x.byName[m.key()], func(e *expectedEntry) bool { return e.match == m }) {
		x.byName[m.key()] = append(x.byName[m.key()], &expectedEntry{match: m})
		x.total++
	}
}

// found ticks a match off.
func (x *expectation) found(m expectedMatch) {
	for _, e := range x.byName[m.key()] {
		if sameFile(e.match.file, m.file) {
			e.found = true
			return
		}
	}
	x.unexpected = append(x.unexpected, m)
}

func sameFile(a, b string) bool {
	return a == b || strings.HasSuffix(a, "/"+b) || strings.HasSuffix(b, "/"+a)
}

// compare names every difference; one is exit code 1.
func (r *ruleRun) compare() error {
	x := r.expected
	var missing []expectedMatch
	for _, entries := range x.byName {
		for _, e := range entries {
			if !e.found {
				missing = append(missing, e.match)
			}
		}
	}
	order := func(a, b expectedMatch) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(missing, order)
	slices.SortFunc(x.unexpected, order)
	if r.json {
		if err := printValue(r.env.stdout, comparison{Expected: x.total, Missing: rows(missing), Unexpected: rows(x.unexpected)}); err != nil {
			return err
		}
	} else {
		for _, m := range missing {
			fmt.Fprintf(r.env.stdout, "missing\t%s\n", m)
		}
		for _, m := range x.unexpected {
			fmt.Fprintf(r.env.stdout, "unexpected\t%s\n", m)
		}
		fmt.Fprintf(r.env.stdout, "%d expected, %d missing, %d unexpected\n", x.total, len(missing), len(x.unexpected))
	}
	if len(missing)+len(x.unexpected) > 0 {
		r.env.code = ExitBad
	}
	return nil
}

// comparison is what --expect prints with --json.
type comparison struct {
	Expected   int             `json:"expected"`
	Missing    []comparisonRow `json:"missing"`
	Unexpected []comparisonRow `json:"unexpected"`
}

type comparisonRow struct {
	File         string `json:"file"`
	RecordNumber uint64 `json:"record_number"`
	RuleID       string `json:"rule_id"`
}

func rows(list []expectedMatch) []comparisonRow {
	out := make([]comparisonRow, len(list))
	for i, m := range list {
		out[i] = comparisonRow{m.file, m.number, m.rule}
	}
	return out
}
