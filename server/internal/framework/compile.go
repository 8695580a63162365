package framework

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
)

// builder compiles one check file. Errors carry the path of the key that they
// speak of, which the loader turns into a line.
type builder struct {
	file      *checkFile
	root      *yaml.Node
	check     *Check
	compiler  *compiler
	keep      []string // every field that any selector keeps
	problems  []error
	selectors []string
}

// problem notes what is wrong at a path of keys and indexes.
func (b *builder) problem(path []any, format string, args ...any) {
	b.problems = append(b.problems, &lineError{line: lineOf(b.root, path), err: fmt.Errorf(format, args...)})
}

// sources are the telemetry sources that a clause may name.
var sources = []string{"kernel", "sysmon", "event_log", "etw", "forwarded", "osquery", "agent"}

func at(path ...any) []any { return path }

var (
	checkIDForm = regexp.MustCompile(`^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$`)
	nameForm    = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

func compileCheck(file *checkFile, root *yaml.Node) (*Check, error) {
	b := &builder{file: file, root: root, check: &Check{}}
	b.head()
	b.parameters()
	b.selectorList()
	compiler, err := newCompiler(b.keep, b.parameterNames(""))
	if err != nil {
		return nil, err
	}
	b.compiler = compiler
	b.check.Applies = b.expression(at("applies"), file.Applies, cel.BoolType)
	if (file.Applies == "") != (file.NotApplicable == "") {
		b.problem(at("applies"), "applies and not_applicable go together")
	}
	b.clauses()
	b.logic()
	b.explanations()
	return b.check, errors.Join(b.problems...)
}

func (b *builder) head() {
	f := b.file
	if !checkIDForm.MatchString(f.ID) {
		b.problem(at("id"), "id %q is not of the form area.name", f.ID)
	}
	for key, text := range map[string]string{"title": f.Title, "description": f.Description, "violation": f.Violation, "remedy": f.Remedy} {
		if strings.TrimSpace(text) == "" {
			b.problem(at(key), "%s is missing", key)
		}
	}
	subject := assay.Subject(f.Subject)
	if subject != assay.OfHost && subject != assay.OfLogService {
		b.problem(at("subject"), "subject %q is neither host nor log_service", f.Subject)
	}
	if f.Window != "day" {
		b.problem(at("window"), "window %q is not day", f.Window)
	}
	switch f.Imported {
	case "", "judge":
	case "not_applicable":
		b.check.ImportedNotApplicable = true
	default:
		b.problem(at("imported"), "imported %q is neither judge nor not_applicable", f.Imported)
	}
	b.check.NotApplicable = f.NotApplicable
	b.check.Check = assay.Check{
		ID: f.ID, Title: f.Title, Kind: assay.CheckKind(f.Kind), Subject: subject,
		Description: oneLine(f.Description), Violation: oneLine(f.Violation), Remedy: oneLine(f.Remedy),
		MinimumGrade: b.grade(at("minimum_grade"), f.MinimumGrade),
	}
}

// oneLine folds the line breaks that YAML keeps.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (b *builder) grade(path []any, text string) assay.Grade {
	switch text {
	case "":
		return assay.GradeD
	case "A":
		return assay.GradeA
	case "B":
		return assay.GradeB
	case "C":
		return assay.GradeC
	case "D":
		return assay.GradeD
	}
	b.problem(path, "grade %q is none of A, B, C, D", text)
	return assay.GradeD
}

func (b *builder) parameters() {
	b.check.defaults = Values{}
	for i, p := range b.file.Parameters {
		path := at("parameters", i)
		if !nameForm.MatchString(p.Name) || slices.ContainsFunc(b.check.parameters, func(o parameter) bool { return o.Name == p.Name }) {
			b.problem(path, "parameter name %q is malformed or doubled", p.Name)
		}
		if p.About == "" {
			b.problem(path, "parameter %s does not say what it is about", p.Name)
		}
		text, err := defaultText(&p.Default)
		var value any
		if err == nil && (text != "" || !slices.Contains(parameterTypes, p.Type)) {
			value, err = ParseParameter(p.Type, text)
		}
		if err != nil {
			b.problem(path, "parameter %s: %w", p.Name, err)
			continue
		}
		described := assay.Parameter{Name: p.Name, Type: p.Type, About: oneLine(p.About), Default: text}
		b.check.parameters = append(b.check.parameters, parameter{described, value})
		b.check.Parameters = append(b.check.Parameters, described)
		b.check.defaults[p.Name] = zeroOf(p.Type, value)
		if isUnset(value) {
			b.check.unset = append(b.check.unset, p.Name)
		}
	}
}

// defaultText renders a default as an organisation would write it.
func defaultText(n *yaml.Node) (string, error) {
	switch n.Kind {
	case 0:
		return "", nil
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return "", nil
		}
		return n.Value, nil
	case yaml.SequenceNode:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode || strings.ContainsAny(item.Value, ",\n") {
				return "", fmt.Errorf("entry %d of the default is not a plain string", i)
			}
			items[i] = item.Value
		}
		return strings.Join(items, ","), nil
	}
	return "", errors.New("the default is neither a scalar nor a list")
}

// parameterNames lists the parameters of a type, or all for "".
func (b *builder) parameterNames(kind string) []string {
	var names []string
	for _, p := range b.check.parameters {
		if kind == "" || p.Type == kind {
			names = append(names, p.Name)
		}
	}
	return names
}

// parameter checks that name is a parameter of the type.
func (b *builder) parameter(path []any, kind, name string) string {
	if !slices.Contains(b.parameterNames(kind), name) {
		b.problem(path, "%q is not a parameter of type %s", name, kind)
	}
	return name
}

func (b *builder) clauses() {
	for i, c := range b.file.Requires {
		path := at("requires", i)
		clause := Clause{Name: c.Name, AtLeast: max(c.AtLeast, 1), MinimumGrade: b.check.MinimumGrade}
		if c.MinimumGrade != "" {
			clause.MinimumGrade = b.grade(path, c.MinimumGrade)
		}
		if c.Name == "" || len(c.AnyOf) < clause.AtLeast {
			b.problem(path, "clause needs a name and at least %d alternatives", clause.AtLeast)
		}
		for j, s := range c.AnyOf {
			if !slices.Contains(sources, s.Source) {
				b.problem(append(path, "any_of", j), "source %q is none of %s", s.Source, strings.Join(sources, ", "))
			}
			for _, name := range s.Capabilities {
				if !telemetry.Capability(name) {
					b.problem(append(path, "any_of", j), "capability %q is not in the vocabulary", name)
				}
			}
			clause.AnyOf = append(clause.AnyOf, Source(s))
		}
		b.check.Clauses = append(b.check.Clauses, clause)
		b.check.Requires = append(b.check.Requires, describeClause(&clause))
	}
}

func describeClause(c *Clause) string {
	alternatives := make([]string, len(c.AnyOf))
	for i, s := range c.AnyOf {
		text := s.Source
		if s.Channel != "" {
			text += " " + s.Channel
		}
		if len(s.Capabilities) > 0 {
			text += " (" + strings.Join(s.Capabilities, " and ") + ")"
		}
		alternatives[i] = text
	}
	return fmt.Sprintf("%s: %d of %s, grade %s or better", c.Name, c.AtLeast, strings.Join(alternatives, " or "), c.MinimumGrade)
}

func (b *builder) explanations() {
	for i, e := range b.file.ExplainedBy {
		path := at("explained_by", i)
		for _, name := range e.Of {
			if !slices.ContainsFunc(b.check.Occurrence, func(o Occurrence) bool { return o.Name == name }) {
				b.problem(path, "%q is not an occurrence of this check", name)
			}
		}
		b.selectorsKnown(path, e.Near)
		if e.ChangeWindow == (len(e.Near) > 0) {
			b.problem(path, "an explanation is either near selectors or a change window")
		}
		for _, name := range []string{e.Before, e.After} {
			if len(e.Near) > 0 {
				b.parameter(path, "duration", name)
			}
		}
		if b.file.Kind != string(assay.Occurrence) {
			b.problem(path, "only an occurrence can be explained")
		}
		b.check.ExplainedBy = append(b.check.ExplainedBy, Explanation(e))
	}
}

func (b *builder) expression(path []any, source string, want *cel.Type) *Expression {
	e, err := b.compiler.compile(source, want)
	if err != nil {
		b.problem(path, "%w", err)
	}
	return e
}
