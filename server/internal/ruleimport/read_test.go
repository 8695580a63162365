package ruleimport

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/rule"
)

func ruleText(n int, level string) string {
	return fmt.Sprintf("title: rule %d\nid: 00000000-0000-4000-8000-%012d\nlevel: %s\nlogsource: {product: windows, service: security}\ndetection: {s: {EventID: %d}, condition: s}\n", n, n, level, n)
}

const several = `# a comment before
title: failed
id: 00000000-0000-4000-8000-0000000000A1
name: failed
logsource: {product: windows, service: security}
detection: {s: {EventID: 4625}, condition: s}
assay: {alert_by: [TargetUserName, IpAddress]}
---
title: refused
id: 00000000-0000-4000-8000-0000000000a2
logsource: {product: windows, service: security}
detection: {s: {EventID|nope: 1}, condition: s}
--- # many
title: many
id: 00000000-0000-4000-8000-0000000000a3
description: |
  three
  - or more
correlation:
  type: event_count
  rules: [failed]
  group-by: [TargetUserName]
  timespan: 1m
  condition: {gte: 3}
---
title: not by the scanner
id: 00000000-0000-4000-8000-0000000000a4
logsource: {product: windows, service: security}
filter:
  rules: [failed]
  selection: {IpAddress: 10.0.0.9}
  condition: not selection
---
title: nameless
logsource: {product: windows, service: security}
detection: {s: {EventID: 1}, condition: s}
`

func TestReadTellsEachDocument(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"lf": several, "crlf": strings.ReplaceAll(several, "\n", "\r\n")} {
		p, err := Read("own", "1", []assay.PackFile{{Path: "a/several.yml", Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range p.Rules {
			got = append(got, r.ID[34:]+" "+r.Kind)
			// Each document stands alone where it was cut out.
			if _, problems := rule.Compile([]rule.Source{{Name: "x", Data: []byte(text)[r.Begins:r.Ends]}}, rule.Config{}); r.Kind == assay.KindRule && len(problems) > 0 {
				t.Errorf("%s: the document of %s does not compile alone: %v", name, r.ID, problems)
			}
		}
		if want := []string{"a1 rule", "a3 correlation", "a4 filter"}; !slices.Equal(got, want) {
			t.Errorf("%s: read %v, want %v", name, got, want)
		}
		if got := p.Rules[0].AlertBy; !slices.Equal(got, []string{"TargetUserName", "IpAddress"}) {
			t.Errorf("%s: alerts by %v", name, got)
		}
		if got := p.Rules[1].Related; !slices.Equal(got, []string{p.Rules[0].ID}) {
			t.Errorf("%s: the correlation refers to %v", name, got)
		}
		if len(p.Problems) != 2 || p.Problems[0].Line != 12 || !strings.Contains(p.Problems[0].Reason, "nope") || !strings.Contains(p.Problems[1].Reason, "no id") {
			t.Errorf("%s: problems are %v", name, p.Problems)
		}
	}
}

func TestArchivesAreBounded(t *testing.T) {
	t.Parallel()
	files := []assay.PackFile{{Path: "b.yml", Data: []byte("b")}, {Path: "a/a.yaml", Data: []byte("a")}}
	archive, err := Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unpack(archive)
	if err != nil || len(got) != 2 || got[0].Path != "a/a.yaml" || string(got[1].Data) != "b" {
		t.Errorf("unpacked %v (%v)", got, err)
	}
	for name, make := range map[string]func(*tar.Writer){
		"outside":   func(w *tar.Writer) { put(w, "../x.yml", nil) },
		"absolute":  func(w *tar.Writer) { put(w, "/etc/x.yml", nil) },
		"backslash": func(w *tar.Writer) { put(w, `..\x.yml`, nil) },
		"twice":     func(w *tar.Writer) { put(w, "x.yml", nil); put(w, "./x.yml", nil) },
		"control":   func(w *tar.Writer) { put(w, "x\x1b.yml", nil) },
		"bomb": func(w *tar.Writer) {
			for n := range 70 {
				put(w, fmt.Sprintf("%d.yml", n), bytes.Repeat([]byte("#"), maxFile))
			}
		},
	} {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		w := tar.NewWriter(zip)
		make(w)
		_, _ = w.Close(), zip.Close()
		if _, err := Unpack(out.Bytes()); assay.KindOf(err) != assay.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Unpack([]byte("not a gzip")); assay.KindOf(err) != assay.Invalid {
		t.Errorf("no archive: %v", err)
	}
}

func put(w *tar.Writer, name string, data []byte) {
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data))})
	_, _ = w.Write(data)
}

func packOf(t *testing.T, version string, texts ...string) *assay.RulePack {
	t.Helper()
	var files []assay.PackFile
	for i, text := range texts {
		files = append(files, assay.PackFile{Path: fmt.Sprintf("%d.yml", i), Data: []byte(text)})
	}
	p, err := Read("own", version, files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestImportKeepsWhatPeopleDecided: a new version of a pack leaves the state of
// the rules it had, turns on new ones as asked, and takes what it lacks out of
// force.
func TestImportKeepsWhatPeopleDecided(t *testing.T) {
	t.Parallel()
	store := postgres.New(postgres.Config{DB: pgtest.Pool(t), Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }})
	ctx := t.Context()
	importing := func(o Options, p *assay.RulePack) Outcome {
		t.Helper()
		p.ImportedBy = "ann"
		done, err := Import(ctx, store, p, o)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	inForce := func() (on []string) {
		t.Helper()
		rules, err := store.RulesInForce(ctx, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			on = append(on, strings.TrimPrefix(r.Title, "rule ")+"@"+r.Version)
		}
		return on
	}
	first := packOf(t, "1", ruleText(1, "high"), ruleText(2, "low"), ruleText(3, "high"))
	if done := importing(Options{Enable: "level>=high", DryRun: true}, first); done.Added != 3 || len(done.TurnedOn) != 2 || len(inForce()) != 0 {
		t.Errorf("a dry run gives %+v and puts %v in force", done, inForce())
	}
	importing(Options{Enable: "level>=high"}, first)
	if got := inForce(); !slices.Equal(got, []string{"1@1", "3@1"}) {
		t.Errorf("in force are %v", got)
	}
	if _, err := store.SetRules(ctx, "own", []string{first.Rules[0].ID}, false, "ann", "noisy"); err != nil {
		t.Fatal(err)
	}
	second := packOf(t, "2", ruleText(1, "high"), ruleText(2, "high"), ruleText(4, "high"))
	if done := importing(Options{Enable: "all"}, second); done.Difference != (Difference{Added: 1, Changed: 1, Unchanged: 1, Removed: 1}) {
		t.Errorf("the difference is %+v", done.Difference)
	}
	if got := inForce(); !slices.Equal(got, []string{"4@2"}) {
		t.Errorf("after the second version in force are %v", got)
	}
	if done := importing(Options{Enable: "all"}, packOf(t, "3", ruleText(1, "high"), ruleText(2, "high"), ruleText(4, "high"))); !done.AlreadyInForce {
		t.Error("the same contents under another version are taken for new ones")
	}
	importing(Options{}, packOf(t, "4", ruleText(1, "high"), ruleText(2, "low"), ruleText(3, "high")))
	if got := inForce(); !slices.Equal(got, []string{"3@1"}) {
		t.Errorf("after the contents of the first version came again in force are %v", got)
	}
	if _, err := store.ImportPack(ctx, packOf(t, "2", ruleText(9, "high")), nil, ""); assay.KindOf(err) != assay.Conflict {
		t.Errorf("another pack under a version that is there: %v", err)
	}
	for _, id := range []string{"00000000-0000-4000-8000-000000000009", ""} {
		if _, err := store.SetRules(ctx, "own", []string{id}, true, "ann", ""); assay.KindOf(err) != assay.NotFound {
			t.Errorf("turning on %q, which is not there: %v", id, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	archive, err := Pack([]assay.PackFile{{Path: "a.yml", Data: []byte(several)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(archive)
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := Unpack(data)
		if err == nil && len(files) > 0 {
			_, _ = Read("own", "1", files)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(several))
	f.Add([]byte("---\n---\r\n--- a\n...\n%YAML 1.2\n---"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read("own", "1", []assay.PackFile{{Path: "a.yml", Data: data}})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Rules {
			if r.Begins < 0 || r.Ends > len(data) || r.Begins >= r.Ends {
				t.Fatalf("rule %s stands at %d to %d of %d", r.ID, r.Begins, r.Ends, len(data))
			}
		}
	})
}
