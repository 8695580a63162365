package framework

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/assay-audit/assay/server/internal/assay"
)

var update = flag.Bool("update", false, "write the page that is generated from the packs and checks")

const checksPage = "../../../docs/checks.md"

// checksIntro stands before what is generated; ~ is a backquote in it.
const checksIntro = `# The checks and packs

<!-- Generated from server/internal/framework/checks and packs. Do not edit.
     To write it again: go test ./server/internal/framework -run TestDocs -update -->

This page is generated from the YAML files that are built into the server, ~server/internal/framework/checks~ and ~packs~; a test
fails when it is stale. [auditors.md](auditors.md) says how a verdict is made of a check.

- **Fails on** is what makes a host fail. It fails whatever the coverage is.
- **Must see** is what must have been able to see it. Each line is a clause; all clauses are needed. A clause is covered while at least
  the named number of its alternatives is covered at the named grade or better. Without it the host is unknown, not passing.
- **Defaults are the product's own choices**, not the standard's, unless the standard states the same number. Set another with
  ~assayctl policy set CHECK/PARAMETER VALUE~. A parameter without a default must be set; until then the check is unknown with the
  reason ~param_missing~.
- **Hosts known from exported logs** never pass. A check fails on what their logs show, and is unknown or not applicable otherwise.
- A pass also needs at least 99 % of the expected time of the last 24 hours covered and no unexplained gap over 15 minutes, wherever
  the check names something that must see.
`

// ceilingWords say what a ceiling means.
var ceilingWords = map[assay.Ceiling]string{
	assay.Decidable: "A: telemetry can decide it",
	assay.Partial:   "P: a violation can be shown; the best otherwise is *supported*",
	assay.OwnRecord: "S: shown by this product's own records",
	assay.ByHand:    "M: a person decides",
}

// checksDoc is the page of a library.
func checksDoc(l *Library) string {
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(checksIntro, "~", "`"))
	b.WriteString("\n## All checks\n\n| check | title | kind | subject | lowest grade for a pass | speaks for |\n|---|---|---|---|---|---|\n")
	for _, c := range l.Checks() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s | %s |\n", c.ID, anchor(c.ID), cell(c.Title), c.Kind, subjectWords(c.Subject),
			c.MinimumGrade, strings.Join(l.RequirementsOf(c.ID), ", "))
	}
	for _, c := range l.Checks() {
		checkDoc(&b, l, c)
	}
	b.WriteString("\n# Packs\n")
	for _, f := range l.Frameworks() {
		packDoc(&b, &f)
	}
	return b.String()
}

func checkDoc(b *strings.Builder, l *Library, c *Check) {
	fmt.Fprintf(b, "\n## %s\n\n%s. %s\n\n| | |\n|---|---|\n", c.ID, c.Title, c.Description)
	row := func(name, text string) { fmt.Fprintf(b, "| %s | %s |\n", name, cell(text)) }
	row("kind", string(c.Kind)+": "+kindWords[c.Kind])
	row("speaks for", requirementsDoc(l, c.ID))
	row("fails on", c.Violation)
	row("must see", seeWords(c))
	if c.List != nil {
		row("list", "`"+c.List.List+"`, set with `assayctl policy list`; without it the check is unknown (`param_missing`)")
	}
	if text := explainWords(c); text != "" {
		row("explained by", text)
	}
	if c.NotApplicable != "" {
		row("not applicable", c.NotApplicable)
	}
	row("hosts known from logs", importedWords(c))
	row("what to do", c.Remedy)
	if len(c.Parameters) == 0 {
		return
	}
	b.WriteString("\n| parameter | type | product default | about |\n|---|---|---|---|\n")
	for _, p := range c.Parameters {
		fmt.Fprintf(b, "| `%s/%s` | %s | %s | %s |\n", c.ID, p.Name, p.Type, defaultWords(&p), cell(p.About))
	}
}

// kindWords say what a check of a kind judges.
var kindWords = map[assay.CheckKind]string{
	assay.Occurrence: "an event that must not happen",
	assay.StateKind:  "something that must be on all the time",
	assay.Latest:     "the newest value must not be too old",
	assay.Expect:     "one event must be answered by another",
	assay.ListKind:   "what appears must be on a list",
	assay.MetricKind: "a share over a UTC day must hold",
	assay.RecordKind: "the product's own records must show it",
	assay.Capability: "a source must be able to see, and alive",
}

func subjectWords(s assay.Subject) string {
	if s == assay.OfLogService {
		return "log service"
	}
	return string(s)
}

// requirementsDoc names the requirements of a check with their ceilings.
func requirementsDoc(l *Library, check string) string {
	var list []string
	for _, f := range l.Frameworks() {
		for _, r := range f.Requirements {
			if slices.Contains(r.Checks, check) {
				list = append(list, fmt.Sprintf("%s %s (ceiling %s)", f.Title, r.ID, r.Ceiling))
			}
		}
	}
	return strings.Join(list, ", ")
}

func seeWords(c *Check) string {
	switch {
	case c.State != nil && c.State.Of == OfCoverage:
		return "nothing: it judges what was seen of coverage itself"
	case c.Latest != nil && c.Latest.Of == OfHealth:
		return "nothing: it judges the agent's own statements"
	case c.Metric != nil:
		return "nothing: it judges the records that came"
	case len(c.Requires) == 0:
		return "nothing: it judges the product's own records"
	}
	return strings.Join(c.Requires, "<br>")
}

func explainWords(c *Check) string {
	var list []string
	for _, e := range c.ExplainedBy {
		what := "all of it"
		if len(e.Of) > 0 {
			what = strings.Join(e.Of, ", ")
		}
		by := "a recorded change window"
		if !e.ChangeWindow {
			var titles []string
			for _, name := range e.Near {
				titles = append(titles, c.selectorTitle(name))
			}
			by = fmt.Sprintf("%s, from `%s` before to `%s` after", strings.Join(titles, " or "), e.Before, e.After)
		}
		list = append(list, what+": "+by)
	}
	return strings.Join(list, "<br>")
}

// selectorTitle is the title in a selector's Sigma document.
func (c *Check) selectorTitle(name string) string {
	for _, s := range c.Selectors {
		if s.Name != name {
			continue
		}
		for line := range strings.Lines(string(s.Sigma)) {
			if title, found := strings.CutPrefix(line, "title: "); found {
				return strings.Trim(strings.TrimSpace(title), `"'`)
			}
		}
	}
	return name
}

func importedWords(c *Check) string {
	switch {
	case c.ImportedNotApplicable:
		return "not applicable"
	case c.Capability != nil || c.State != nil && c.State.Of == OfCoverage:
		return "unknown (`imported`): an export has no duty to be complete"
	}
	return "fails on what the logs show, else unknown (`imported`)"
}

func defaultWords(p *assay.Parameter) string {
	if p.Default == "" {
		return "none: must be set"
	}
	items := strings.Split(p.Default, ",")
	for i, item := range items {
		items[i] = "`" + cell(item) + "`"
	}
	return strings.Join(items, "<br>")
}

func packDoc(b *strings.Builder, f *assay.Framework) {
	fmt.Fprintf(b, "\n## %s %s\n\nPack `%s`. Titles are in our own words; the standard's text decides.\n\n", f.Title, f.Version, f.ID)
	b.WriteString("| requirement | title | obligation | ceiling | checks |\n|---|---|---|---|---|\n")
	for _, r := range f.Requirements {
		var checks []string
		for _, id := range r.Checks {
			checks = append(checks, fmt.Sprintf("[`%s`](#%s)", id, anchor(id)))
		}
		if len(checks) == 0 {
			checks = []string{"none"}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", r.ID, cell(r.Title), r.Obligation, ceilingWords[r.Ceiling], strings.Join(checks, ", "))
	}
}

// anchor is the link to a heading, as renderers of Markdown make it.
func anchor(heading string) string { return strings.ReplaceAll(heading, ".", "") }

// cell makes text fit for a cell of a Markdown table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// TestDocs compares docs/checks.md with the packs and checks; -update writes it.
func TestDocs(t *testing.T) {
	t.Parallel()
	want := []byte(checksDoc(mustLoad(t)))
	if *update {
		if err := os.WriteFile(checksPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(checksPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/checks.md is not what is generated; run: go test ./server/internal/framework -run TestDocs -update")
	}
}
