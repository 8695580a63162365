package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

const clearedRule = `title: Security log cleared
id: 0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0001
level: high
logsource: {product: windows, service: security}
detection:
    selection: {EventID: 1102, SubjectUserName|startswith: mal}
    condition: selection
---
title: Cleared twice
id: 0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0002
level: critical
correlation:
    type: event_count
    rules: [0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0001]
    group-by: [SubjectUserName]
    timespan: 1h
    condition: {gte: 2}
    generate: true
`

const brokenRule = "title: Broken\nid: 0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0003\nlogsource: {product: windows, service: security}\ndetection:\n    selection: {A|nonsense: b}\n    condition: selection\n"

// clearedLog is an event log in which mallory clears the log in records 2 and 4.
func clearedLog() []byte {
	w := evtxtest.NewWriter()
	var records []evtxtest.Record
	for i, name := range []string{"alice", "mallory", "bob", "mallory"} {
		records = append(records, w.Record(evtxtest.Event{
			RecordID: 1 + uint64(i), Time: time.Date(2026, 3, 1, 12, i, 0, 0, time.UTC), Provider: "Microsoft-Windows-Eventlog", EventID: 1102,
			Qualifiers: -1, Channel: "Security", Computer: "DC01", Data: []evtxtest.Field{evtxtest.Named("SubjectUserName", evtxtest.String(name))},
		}))
	}
	return evtxtest.File(evtxtest.Options{}, records...)
}

func writeFile(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tarball(t *testing.T, path, name string, data []byte) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, path, out.Bytes())
}

func TestRulesOverLogs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := writeFile(t, filepath.Join(dir, "rules", "cleared.yml"), []byte(clearedRule))
	writeFile(t, filepath.Join(dir, "logs", "dc", "Security.evtx"), clearedLog())
	writeFile(t, filepath.Join(dir, "logs", "notes.txt"), []byte("no log"))
	packed := tarball(t, filepath.Join(dir, "logs.tar.gz"), "./dc/Security.evtx", clearedLog())
	want := []ruleMatch{
		{"dc/Security.evtx", 2, 2, "0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0001", "Security log cleared", "high", map[string]string{"EventID": "1102", "SubjectUserName": "mallory"}},
		{"dc/Security.evtx", 4, 4, "0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0001", "Security log cleared", "high", map[string]string{"EventID": "1102", "SubjectUserName": "mallory"}},
		{"dc/Security.evtx", 4, 4, "0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0002", "Cleared twice", "critical", map[string]string{"SubjectUserName": "mallory", "count": "2"}},
	}
	for _, logs := range []string{filepath.Join(dir, "logs"), packed} {
		code, stdout, stderr := run(t, "rules", "test", "--rules", rules, "--evtx", logs, "--json")
		if code != ExitDone || !strings.Contains(stderr, "1 files, 4 records, 3 matches") {
			t.Errorf("%s: exit code %d, said %s", logs, code, stderr)
		}
		var got []ruleMatch
		for line := range strings.Lines(stdout) {
			var m ruleMatch
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			got = append(got, m)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: matches differ:\n%s", logs, diff)
		}
	}
}

func TestExpectedMatches(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := writeFile(t, filepath.Join(dir, "cleared.yml"), []byte(strings.Split(clearedRule, "---")[0]))
	log := writeFile(t, filepath.Join(dir, "Security.evtx"), clearedLog())
	const id = "0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0001"
	for name, tt := range map[string]struct {
		list string
		code int
		want string
	}{
		"all":        {"# file\trecord\trule\nelsewhere/Security.evtx\t2\t" + id + "\nelsewhere/Security.evtx\t4\t" + strings.ToUpper(id) + "\n", ExitDone, "2 expected, 0 missing, 0 unexpected\n"},
		"one less":   {"Security.evtx\t2\t" + id + "\n", ExitBad, "unexpected\tSecurity.evtx\t4\t" + id + "\n1 expected, 0 missing, 1 unexpected\n"},
		"one more":   {"Security.evtx\t2\t" + id + "\nSecurity.evtx\t3\t" + id + "\nSecurity.evtx\t4\t" + id, ExitBad, "missing\tSecurity.evtx\t3\t" + id + "\n3 expected, 1 missing, 0 unexpected\n"},
		"other file": {"a/Other.evtx\t2\t" + id + "\nSecurity.evtx\t4\t" + id, ExitBad, "missing\ta/Other.evtx\t2\t" + id + "\nunexpected\tSecurity.evtx\t2\t" + id + "\n2 expected, 1 missing, 1 unexpected\n"},
	} {
		list := writeFile(t, filepath.Join(dir, name+".tsv"), []byte(tt.list))
		code, stdout, stderr := run(t, "rules", "test", "--rules", rules, "--evtx", log, "--expect", list)
		if code != tt.code || stdout != tt.want {
			t.Errorf("%s: exit code %d, printed %q (%s)", name, code, stdout, stderr)
		}
	}
	bad := writeFile(t, filepath.Join(dir, "bad.tsv"), []byte("Security.evtx two "+id))
	if code, _, stderr := run(t, "rules", "test", "--rules", rules, "--evtx", log, "--expect", bad); code != ExitError || !strings.Contains(stderr, "bad.tsv:1: write the file") {
		t.Errorf("a list that is none: exit code %d, said %s", code, stderr)
	}
	if code, _, stderr := run(t, "rules", "test", "--rules", rules, "--evtx", rules); code != ExitError || !strings.Contains(stderr, "cleared.yml is no event log") {
		t.Errorf("a log that is none: exit code %d, said %s", code, stderr)
	}
}

func TestCheckedRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "rules", "cleared.yml"), []byte(clearedRule))
	if code, stdout, _ := run(t, "rules", "check", filepath.Join(dir, "rules")); code != ExitDone || stdout != "1 files: 1 rules and 1 correlations taken, 0 refused, 0 for logs of other systems\n" {
		t.Errorf("sound rules: exit code %d, printed %q", code, stdout)
	}
	writeFile(t, filepath.Join(dir, "rules", "linux.yml"), []byte("title: Other\nlogsource: {product: linux}\ndetection: {s: {A: b}, condition: s}\n"))
	writeFile(t, filepath.Join(dir, "rules", "tables.yml"), []byte("logsources:\n    x: {product: windows}\n"))
	writeFile(t, filepath.Join(dir, "rules", "sub", "broken.yml"), []byte(brokenRule))
	code, stdout, _ := run(t, "rules", "check", "--json", filepath.Join(dir, "rules"))
	var got checked
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != ExitBad || got.Files != 3 || got.Rules != 1 || len(got.Foreign) != 1 || len(got.Refused) != 1 {
		t.Fatalf("exit code %d, %+v", code, got)
	}
	if p := got.Refused[0]; p.File != "sub/broken.yml" || p.Line != 5 || p.Rule != "0a9e5f10-1111-4a6e-9d8f-6d2a1c8a0003" || !strings.Contains(p.Reason, "nonsense") {
		t.Errorf("refused is %+v", p)
	}
	// A placeholder is refused until it has a value.
	expand := strings.Replace(brokenRule, "A|nonsense: b", "'A|expand': '%admins%'", 1)
	path := writeFile(t, filepath.Join(dir, "expand.yml"), []byte(expand))
	if code, stdout, _ := run(t, "rules", "check", path); code != ExitBad || !strings.Contains(stdout, "placeholder %admins% is not configured") {
		t.Errorf("exit code %d, printed %q", code, stdout)
	}
	values := writeFile(t, filepath.Join(dir, "values.yml"), []byte("admins: [root]\n"))
	if code, stdout, _ := run(t, "rules", "check", path, "--placeholders", values); code != ExitDone {
		t.Errorf("exit code %d, printed %q", code, stdout)
	}
}
