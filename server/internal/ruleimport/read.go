package ruleimport

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/rule"
)

// Bounds on what is kept of a rule's texts, and on how much is told of what is
// wrong with a pack.
const (
	maxTitle       = 512
	maxDescription = 16 << 10
	maxTexts       = 100
	maxRuleID      = 64
	maxProblems    = 20_000
)

// Read makes a pack of files. Each file is compiled as the server will; what is
// refused is among the pack's problems, and never stops the rest. A version that
// is empty is made of the contents. It is Invalid if there are too many files,
// or none, or for a name that cannot be one.
func Read(name, version string, files []assay.PackFile) (*assay.RulePack, error) {
	if len(files) == 0 {
		return nil, assay.Errorf(assay.Invalid, "there are no YAML files in it")
	}
	total := 0
	for i := range files {
		total += len(files[i].Data)
	}
	if err := checkSize(len(files), total); err != nil {
		return nil, err
	}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b assay.PackFile) int { return strings.Compare(a.Path, b.Path) })
	p := &assay.RulePack{Name: name, Version: version, Files: files, Digest: assay.PackDigest(files)}
	if p.Version == "" {
		p.Version = hex.EncodeToString(p.Digest[:6])
	}
	for _, part := range [][2]string{{"pack", p.Name}, {"version", p.Version}} {
		if err := assay.CheckPackName(part[0], part[1]); err != nil {
			return nil, err
		}
	}
	if name == assay.ChecksPack {
		return nil, assay.Errorf(assay.Invalid, "%q is how alerts of findings are named: choose another name for the pack", name)
	}
	read(p)
	return p, nil
}

func read(p *assay.RulePack) {
	sources := make([]rule.Source, len(p.Files))
	documents := make(map[string][]document, len(p.Files))
	for i := range p.Files {
		f := &p.Files[i]
		sources[i] = rule.Source{Name: f.Path, Data: f.Data}
		documents[f.Path] = cut(f.Data)
	}
	set, problems := rule.Compile(sources, rule.Config{})
	r := &reader{pack: p, documents: documents, refused: map[string]bool{}}
	for _, problem := range problems {
		r.refused[fmt.Sprintf("%s:%d", problem.Source, r.begins(problem.Source, problem.Line))] = true
		r.problem(problem.Source, problem.Line, problem.RuleID, problem.Reason)
	}
	for _, compiled := range set.Rules() {
		r.take(compiled)
	}
	for i := range p.Files {
		for _, d := range documents[p.Files[i].Path] {
			r.takeFilter(p.Files[i].Path, d)
		}
	}
	slices.SortFunc(p.Rules, func(a, b assay.Rule) int { return strings.Compare(a.ID, b.ID) })
	slices.SortStableFunc(p.Problems, func(a, b assay.RuleProblem) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
}

// document is a YAML document within its file.
type document struct {
	line         int // its first
	begins, ends int
	text         []byte
}

// cut parts a file at the lines that part YAML documents: no document can hold
// such a line.
func cut(data []byte) []document {
	var list []document
	line, at := 1, 0
	current := document{line: 1}
	for at < len(data) {
		end := at + len(data[at:])
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if marks(data[at:end]) {
			current.ends = at
			list = append(list, current)
			current = document{line: line, begins: at}
		}
		line, at = line+1, end
	}
	current.ends = len(data)
	list = append(list, current)
	for i := range list {
		list[i].text = data[list[i].begins:list[i].ends]
	}
	return list
}

// marks reports whether a line begins a document.
func marks(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n')
}

// reader makes the rules of a pack.
type reader struct {
	pack      *assay.RulePack
	documents map[string][]document
	refused   map[string]bool // path:line of documents with a problem
}

func (r *reader) problem(path string, line int, id, reason string) {
	if len(r.pack.Problems) < maxProblems {
		r.pack.Problems = append(r.pack.Problems, assay.RuleProblem{Path: path, Line: line, Rule: short(id, maxTitle), Reason: short(reason, maxTitle)})
	}
}

// begins is the first line of the document that holds a line.
func (r *reader) begins(path string, line int) int {
	first := 1
	for _, d := range r.documents[path] {
		if d.line <= line {
			first = d.line
		}
	}
	return first
}

func (r *reader) find(path string, line int) (document, bool) {
	first := r.begins(path, line)
	for _, d := range r.documents[path] {
		if d.line == first {
			return d, true
		}
	}
	return document{}, false
}

// take makes a rule or correlation. Those that it refers to come before it.
func (r *reader) take(c *rule.Rule) {
	d, ok := r.find(c.Source, c.Line)
	switch {
	case !ok:
		r.problem(c.Source, c.Line, c.Title, "its document cannot be found")
		return
	case c.ID == "":
		r.problem(c.Source, c.Line, c.Title, "it has no id: a rule is turned on, and its alerts are known, by its id")
		return
	case len(c.ID) > maxRuleID || assay.CheckText("id", c.ID, maxRuleID) != nil || strings.ContainsAny(c.ID, " ,*"):
		r.problem(c.Source, c.Line, c.Title, "its id is not one: use a UUID")
		return
	}
	level, err := assay.ParseLevel(string(c.Level))
	if err != nil {
		r.problem(c.Source, c.Line, c.ID, err.Error())
		return
	}
	made := assay.Rule{
		Pack: r.pack.Name, Version: r.pack.Version, ID: c.ID, Kind: assay.KindRule, Title: short(c.Title, maxTitle), Level: level, Status: c.Status,
		Logsource: short(c.Logsource.String(), maxTitle), Description: short(c.Description, maxDescription), Author: short(c.Author, maxTitle),
		License: short(c.License, maxTitle), Tags: shortAll(c.Tags), References: shortAll(c.References), FalsePositives: shortAll(c.FalsePositives),
		Digest: c.Digest, Path: c.Source, Line: c.Line, Begins: d.begins, Ends: d.ends,
	}
	if made.AlertBy, err = alertBy(d.text); err != nil {
		r.problem(c.Source, c.Line, c.ID, err.Error())
		return
	}
	if k := c.Correlation; k != nil {
		made.Kind, made.Logsource = assay.KindCorrelation, ""
		for _, of := range k.Rules {
			if of.ID == "" {
				r.problem(c.Source, c.Line, c.ID, fmt.Sprintf("it refers to %s, which has no id", short(of.Title, 80)))
				return
			}
			made.Related = append(made.Related, of.ID)
		}
	}
	r.pack.Rules = append(r.pack.Rules, made)
}

// extension is what we read of a document beside what Sigma defines, and of a
// filter.
type extension struct {
	ID          string    `yaml:"id"`
	Title       string    `yaml:"title"`
	Description string    `yaml:"description"`
	Status      string    `yaml:"status"`
	Author      string    `yaml:"author"`
	Filter      yaml.Node `yaml:"filter"`
	Assay       struct {
		AlertBy []string `yaml:"alert_by"`
	} `yaml:"assay"`
}

// decode reads a document. The YAML library reports what is wrong as an error;
// should it panic, that costs one document.
func decode(text []byte) (e extension, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML parser failed: %v", p)
		}
	}()
	if err := yaml.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("reading what is ours in it: %w", err)
	}
	return e, nil
}

// alertBy reads the fields that tell a rule's alerts apart.
func alertBy(text []byte) ([]string, error) {
	if !bytes.Contains(text, []byte("alert_by")) {
		return nil, nil
	}
	e, err := decode(text)
	if err != nil {
		return nil, err
	}
	if len(e.Assay.AlertBy) > assay.MaxAlertBy {
		return nil, fmt.Errorf("assay.alert_by names %d fields, at most %d", len(e.Assay.AlertBy), assay.MaxAlertBy)
	}
	for _, name := range e.Assay.AlertBy {
		if err := assay.CheckText("a field of assay.alert_by", name, 128); err != nil || name == "" {
			return nil, fmt.Errorf("assay.alert_by names a field that cannot be one: %.80q", name)
		}
	}
	return e.Assay.AlertBy, nil
}

// takeFilter makes a filter of a document, if it is one that the compiler took.
func (r *reader) takeFilter(path string, d document) {
	if !bytes.Contains(d.text, []byte("filter:")) || r.refused[fmt.Sprintf("%s:%d", path, d.line)] {
		return
	}
	e, err := decode(d.text)
	if err != nil || e.Filter.Kind != yaml.MappingNode {
		return // a rule that says filter somewhere, and was seen to as one
	}
	id := strings.ToLower(e.ID)
	if id == "" || len(id) > maxRuleID || strings.ContainsAny(id, " ,*") || assay.CheckText("id", id, maxRuleID) != nil {
		r.problem(path, d.line, e.Title, "the filter has no id to turn it on by")
		return
	}
	r.pack.Rules = append(r.pack.Rules, assay.Rule{
		Pack: r.pack.Name, Version: r.pack.Version, ID: id, Kind: assay.KindFilter, Title: short(e.Title, maxTitle), Status: short(e.Status, 64),
		Description: short(e.Description, maxDescription), Author: short(e.Author, maxTitle), Digest: sha256.Sum256(d.text),
		Path: path, Line: d.line, Begins: d.begins, Ends: d.ends,
	})
}

// short makes text fit for a column.
func short(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return telemetry.Text(text)
}

func shortAll(texts []string) []string {
	out := make([]string, 0, min(len(texts), maxTexts))
	for _, t := range texts[:min(len(texts), maxTexts)] {
		out = append(out, short(t, maxTitle))
	}
	return out
}

// Choose returns the ids that an import turns on: "" and "none" none, "all" all,
// a level, or level>=… those of at least that level. What only serves others
// goes with them: filters, and rules that state no level only under "all".
func Choose(rules []assay.Rule, enable string) ([]string, error) {
	enable = strings.TrimPrefix(enable, "level>=")
	if enable == "" || enable == "none" {
		return nil, nil
	}
	least := assay.NoLevel
	if enable != "all" {
		level, err := assay.ParseLevel(enable)
		if err != nil {
			return nil, assay.Errorf(assay.Invalid, "%q: use none, all or a least level such as level>=high", enable)
		}
		least = level
	}
	var ids []string
	for i := range rules {
		r := &rules[i]
		if r.Kind == assay.KindFilter || r.Level >= least {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// Difference says how a pack compares with the version before.
type Difference struct{ Added, Changed, Unchanged, Removed int }

// Compare compares by ids and digests.
func Compare(before, after []assay.Rule) (d Difference) {
	old := make(map[string][32]byte, len(before))
	for i := range before {
		old[before[i].ID] = before[i].Digest
	}
	for i := range after {
		digest, known := old[after[i].ID]
		switch {
		case !known:
			d.Added++
		case digest != after[i].Digest:
			d.Changed++
		default:
			d.Unchanged++
		}
		delete(old, after[i].ID)
	}
	d.Removed = len(old)
	return d
}
