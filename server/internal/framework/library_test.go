package framework

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/assay-audit/assay/server/internal/assay"
)

func mustLoad(t *testing.T) *Library {
	t.Helper()
	library, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return library
}

// TestTable holds the shipped checks and packs to what is meant: which checks
// there are, of which kind, and which requirements each speaks for.
func TestTable(t *testing.T) {
	t.Parallel()
	library := mustLoad(t)
	want := map[string]struct {
		kind         assay.CheckKind
		requirements []string
	}{
		"log.cleared":        {assay.Occurrence, []string{"hipaa 164.312(b)", "hipaa 164.312(c)(1)", "pci-dss 10.2.1.6", "pci-dss 10.3.2"}},
		"log.policy_change":  {assay.Occurrence, []string{"hipaa 164.312(b)", "pci-dss 10.2.1.6"}},
		"log.stop":           {assay.Occurrence, []string{"hipaa 164.312(b)", "pci-dss 10.2.1.6", "pci-dss 10.7.2"}},
		"log.fields":         {assay.MetricKind, []string{"pci-dss 10.2.2"}},
		"log.forward_lag":    {assay.MetricKind, []string{"pci-dss 10.3.3"}},
		"log.chain":          {assay.RecordKind, []string{"hipaa 164.312(c)(2)", "pci-dss 10.3.2", "pci-dss 10.3.4"}},
		"log.gap":            {assay.StateKind, []string{"pci-dss 10.7.2"}},
		"proc.telemetry":     {assay.Capability, []string{"hipaa 164.312(b)", "pci-dss 10.2.1.2"}},
		"fim.live":           {assay.Capability, []string{"hipaa 164.312(c)(1)", "pci-dss 10.2.1.1", "pci-dss 11.5.2"}},
		"net.telemetry":      {assay.Capability, []string{"hipaa 164.312(b)"}},
		"dns.telemetry":      {assay.Capability, []string{"hipaa 164.312(b)"}},
		"av.realtime":        {assay.StateKind, []string{"hipaa 164.308(a)(5)(ii)(B)", "pci-dss 5.3.2", "pci-dss 5.3.5"}},
		"av.current":         {assay.Latest, []string{"hipaa 164.308(a)(5)(ii)(B)", "pci-dss 5.3.1"}},
		"malware.resolved":   {assay.Expect, []string{"pci-dss 5.2.2"}},
		"fw.change":          {assay.Occurrence, []string{"pci-dss 1.2.8", "pci-dss 1.5.1"}},
		"time.changed":       {assay.Occurrence, []string{"pci-dss 10.6.3"}},
		"media.known_device": {assay.ListKind, []string{"hipaa 164.310(d)(1)", "hipaa 164.310(d)(2)(iii)", "pci-dss 9.4.1", "pci-dss 9.4.3", "pci-dss 9.4.4", "pci-dss 9.4.5"}},
		"alert.reviewed":     {assay.RecordKind, []string{"hipaa 164.308(a)(1)(ii)(D)", "pci-dss 10.4.1"}},
		"alert.answered":     {assay.RecordKind, []string{"pci-dss 12.10.5"}},
		"alert.failures":     {assay.RecordKind, []string{"pci-dss 10.7.2"}},
		"agent.alive":        {assay.Latest, []string{"hipaa 164.312(b)", "pci-dss 10.7.2"}},
	}
	if len(library.Checks()) != len(want) {
		t.Errorf("%d checks, want %d", len(library.Checks()), len(want))
	}
	for id, w := range want {
		c := library.Check(id)
		if c == nil {
			t.Errorf("%s is missing", id)
			continue
		}
		if c.Kind != w.kind {
			t.Errorf("%s is of kind %s", id, c.Kind)
		}
		if got := library.RequirementsOf(id); !slices.Equal(got, w.requirements) {
			t.Errorf("%s speaks for %q, want %q", id, got, w.requirements)
		}
	}
	versions := map[string]string{}
	for _, f := range library.Frameworks() {
		versions[f.ID] = f.Version
		for _, r := range f.Requirements {
			if len(r.Checks) == 0 && r.Ceiling != assay.ByHand {
				t.Errorf("%s %s claims ceiling %s and no check speaks for it", f.ID, r.ID, r.Ceiling)
			}
		}
	}
	if versions["pci-dss"] != "4.0.1" || versions["hipaa"] != "2013" {
		t.Errorf("packs %v", versions)
	}
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	selectors := mustLoad(t).Selectors()
	for _, s := range selectors {
		text := string(s.SigmaYAML)
		for _, part := range []string{"title: ", "name: " + s.Name(), "logsource:", "detection:", "condition:"} {
			if !strings.Contains(text, part) {
				t.Errorf("rule of %s has no %q", s.Name(), part)
			}
		}
		_, rest, _ := strings.Cut(text, "id: ")
		id, _, _ := strings.Cut(rest, "\n")
		if len(id) != 36 || ids[id] {
			t.Errorf("rule of %s has the id %q", s.Name(), id)
		}
		ids[id] = true
	}
	if len(selectors) < 40 {
		t.Errorf("%d selectors", len(selectors))
	}
}

// shippedWith is the shipped files with one replaced.
func shippedWith(t *testing.T, name string, change func(string) string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(shipped, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := shipped.ReadFile(path)
		if path == name {
			changed := change(string(data))
			if changed == string(data) {
				t.Errorf("%s: the fault was not planted", name)
			}
			data = []byte(changed)
		}
		files[path] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestRefused(t *testing.T) {
	t.Parallel()
	replace := func(old, with string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, with, 1) }
	}
	const cleared, hipaa = "checks/log.cleared.yaml", "packs/hipaa.yaml"
	for name, c := range map[string]struct {
		file   string
		change func(string) string
		want   string
	}{
		"unknown key":        {cleared, replace("remedy:", "remedies:"), cleared + ":13: key remedies not found"},
		"unknown nested key": {cleared, replace("about:", "abuot:"), cleared + ":21: key abuot not found"},
		"doubled key":        {cleared, replace("kind: occurrence", "kind: occurrence\nkind: occurrence"), cleared + ":6: mapping key"},
		"unknown kind":       {cleared, replace("kind: occurrence", "kind: omen"), cleared + `:5: kind "omen"`},
		"section of another": {cleared, replace("kind: occurrence", "kind: list"), "has a section list and no other"},
		"no title":           {cleared, replace("title: No event log was cleared", "title: ''"), cleared + ":4: title is missing"},
		"file and id":        {cleared, replace("id: log.cleared", "id: log.other"), "does not agree with the file's name"},
		"malformed id":       {cleared, replace("id: log.cleared", "id: Cleared"), `id "Cleared"`},
		"grade":              {cleared, replace("minimum_grade: C", "minimum_grade: E"), `:17: grade "E"`},
		"parameter type":     {cleared, replace("type: strings", "type: list"), `type "list" is none of`},
		"capability":         {"checks/log.policy_change.yaml", replace("[audit.policy_change]", "[audit.policy]"), `capability "audit.policy"`},
		"source":             {cleared, replace("source: event_log", "source: eventlog"), `source "eventlog"`},
		"selector of none":   {cleared, replace("on: [security]", "on: [securty]"), `"securty" is not a selector`},
		"field in predicate": {cleared, replace("f.Channel.", "f.Chanel."), `f has no "Chanel"`},
		"param in predicate": {cleared, replace("p.channels.", "p.channel."), `p has no "channel"`},
		"not a bool":         {cleared, replace("when: p.channels", "when: size(p.channels) #"), "is a int, want a bool"},
		"syntax of CEL":      {cleared, replace("when: p.channels", "when: p.(channels"), "compiling"},
		"title names none":   {cleared, replace("{Channel} log was", "{Chanel} log was"), "title names {Chanel}"},
		"duration":           {"checks/log.stop.yaml", replace("default: 2m", "default: two"), `"two" is not a duration`},
		"not a parameter":    {"checks/log.stop.yaml", replace("before: shutdown_before", "before: 2m"), `"2m" is not a parameter of type duration`},
		"explains none":      {"checks/log.stop.yaml", replace("of: [stop,", "of: [stopp,"), `"stopp" is not an occurrence`},
		"no proof":           {"checks/av.realtime.yaml", replace("proof: true", "proof: false"), "no facet can prove"},
		"unknown check":      {hipaa, replace("checks: [av.realtime", "checks: [av.realtme"), `check "av.realtme" does not exist`},
		"ceiling":            {hipaa, replace("ceiling: M", "ceiling: X"), `ceiling "X"`},
		"obligation":         {hipaa, replace("obligation: required", "obligation: optional"), `obligation "optional"`},
		"doubled":            {hipaa, replace(`"164.308(a)(1)(ii)(B)"`, `"164.308(a)(1)(ii)(A)"`), "exists twice"},
		"manual with checks": {hipaa, replace("ceiling: A", "ceiling: M"), "a manual requirement cannot have checks"},
		"not YAML":           {hipaa, replace("requirements:", "requirements: ["), hipaa},
		"empty":              {hipaa, func(string) string { return "" }, hipaa + ": file is empty"},
		"too large":          {hipaa, func(s string) string { return s + strings.Repeat("# \n", maxFile) }, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadFS(shippedWith(t, c.file, c.change))
			if err == nil {
				t.Fatal("it is accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q\ndoes not say %q", err, c.want)
			}
		})
	}
}

func TestDigests(t *testing.T) {
	t.Parallel()
	library := mustLoad(t)
	digestOf := func(change func(string) string) [32]byte {
		changed, err := LoadFS(shippedWith(t, "checks/log.cleared.yaml", change))
		if err != nil {
			t.Fatal(err)
		}
		return changed.Check("log.cleared").Digest
	}
	want := library.Check("log.cleared").Digest
	if got := digestOf(func(s string) string { return "# a comment\n" + s }); got != want {
		t.Error("a comment changes the digest")
	}
	if got := digestOf(func(s string) string {
		return strings.Replace(s, "kind: occurrence\nsubject: host", "subject: host\nkind: occurrence", 1)
	}); got != want {
		t.Error("the order of keys changes the digest")
	}
	for _, change := range [][2]string{{"      - Application\n", ""}, {"EventID: 1102", "EventID: 1103"}, {"when: p.channels", "when: p.channels != [] && p.channels"}} {
		if digestOf(func(s string) string { return strings.Replace(s, change[0], change[1], 1) }) == want {
			t.Errorf("changing %q does not change the digest", change[0])
		}
	}
	seen := map[[32]byte]string{}
	for _, c := range library.Checks() {
		if other := seen[c.Digest]; other != "" || c.Digest == [32]byte{} {
			t.Errorf("%s and %s have one digest", c.ID, other)
		}
		seen[c.Digest] = c.ID
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	library := mustLoad(t)
	values, missing, err := library.Check("fim.live").Resolve(nil)
	if err != nil || !slices.Equal(missing, []string{"paths"}) || values["paths"] == nil {
		t.Errorf("unset: %v %v %v", values, missing, err)
	}
	values, missing, err = library.Check("fim.live").Resolve(map[string]string{"paths": "C:\\a\nC:\\b , C:\\c"})
	if list, _ := values["paths"].([]string); err != nil || missing != nil || !slices.Equal(list, []string{`C:\a`, `C:\b`, `C:\c`}) {
		t.Errorf("set: %v %v %v", values, missing, err)
	}
	values, _, err = library.Check("av.current").Resolve(map[string]string{"limit": "7d"})
	if err != nil || values.Duration("limit") != 7*24*time.Hour || values.Duration("report_age") != 24*time.Hour {
		t.Errorf("duration: %v %v", values, err)
	}
	for _, bad := range []map[string]string{{"limit": "soon"}, {"limit": "-1h"}, {"limits": "1h"}} {
		if _, _, err := library.Check("av.current").Resolve(bad); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
	for kind, texts := range map[string][]string{"int": {"x", "-1", "1.5"}, "percent": {"101", "-1", "NaN"}, "strings": {strings.Repeat("a,", maxListed+1)}, "number": {"1"}} {
		for _, text := range texts {
			if _, err := ParseParameter(kind, text); err == nil {
				t.Errorf("%s accepts %.20q", kind, text)
			}
		}
	}
}

// TestExpressionIsBounded: a predicate cannot run away, whatever the event says.
func TestExpressionIsBounded(t *testing.T) {
	t.Parallel()
	c, err := newCompiler([]string{"x"}, []string{"list"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.compile(`p.list.all(a, p.list.all(b, p.list.all(c, a + b + c != f.x)))`, cel.BoolType)
	if err != nil {
		t.Fatal(err)
	}
	row := Row{Parameters: Values{"list": slices.Repeat([]string{"abc"}, 1000)}, Fields: map[string]string{"x": "y"}}
	if _, err := e.Bool(row); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("a thousand million steps give %v", err)
	}
	if _, err := c.compile(strings.Repeat("!", maxExpression)+"true", cel.BoolType); err == nil {
		t.Error("an expression of any length is accepted")
	}
	// Fields that an event lacks read as empty.
	e, err = c.compile(`f.x == "" && f["x"].size() == 0`, cel.BoolType)
	if err != nil {
		t.Fatal(err)
	}
	if is, err := e.Bool(Row{}); err != nil || !is {
		t.Errorf("absent field: %v %v", is, err)
	}
}

func FuzzParseParameter(f *testing.F) {
	for _, text := range []string{"3d", "1h", "99.5", "a,b", "-1", "1e400"} {
		f.Add("duration", text)
		f.Add("strings", text)
	}
	f.Fuzz(func(_ *testing.T, kind, text string) { _, _ = ParseParameter(kind, text) })
}
