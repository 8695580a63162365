package framework

import (
	"regexp"
	"slices"

	"cel.dev/cel-go/cel"

	"github.com/assay-audit/assay/server/internal/assay"
)

// logic compiles the section that the kind asks for and refuses the others.
func (b *builder) logic() {
	f := b.file
	given := map[assay.CheckKind]bool{
		assay.Occurrence: len(f.Occurrence) > 0, assay.StateKind: f.State != nil, assay.Latest: f.Latest != nil,
		assay.Expect: f.Expect != nil, assay.ListKind: f.List != nil, assay.MetricKind: f.Metric != nil,
		assay.RecordKind: f.Record != nil, assay.Capability: f.Capability != nil,
	}
	kind := b.check.Kind
	if _, known := given[kind]; !known {
		b.problem(at("kind"), "kind %q is not known", f.Kind)
		return
	}
	for section, present := range given {
		if present != (section == kind) {
			b.problem(at(string(section)), "a check of kind %s has a section %s and no other", kind, kind)
			return
		}
	}
	switch kind {
	case assay.Occurrence:
		b.occurrence()
	case assay.StateKind:
		b.state()
	case assay.Latest:
		b.latest()
	case assay.Expect:
		b.expect()
	case assay.ListKind:
		b.list()
	case assay.MetricKind:
		b.metric()
	case assay.RecordKind:
		b.record()
	case assay.Capability:
		b.check.Capability = &Capability{Title: b.title(at("capability"), f.Capability.Title, "clause")}
	}
}

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// title checks that each {name} of a finding's title is a kept field or one of
// the extra names.
func (b *builder) title(path []any, text string, extra ...string) string {
	if text == "" {
		b.problem(path, "title of the finding is missing")
	}
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(b.keep, m[1]) && !slices.Contains(extra, m[1]) {
			b.problem(path, "title names {%s}, which no selector keeps", m[1])
		}
	}
	return text
}

func (b *builder) fields(path []any, names []string) []string {
	for _, name := range names {
		if !slices.Contains(b.keep, name) {
			b.problem(path, "no selector keeps the field %q", name)
		}
	}
	return names
}

func (b *builder) selectorsKnown(path []any, names []string) {
	for _, name := range names {
		if !slices.Contains(b.selectors, name) {
			b.problem(path, "%q is not a selector of this check", name)
		}
	}
}

func (b *builder) signal(path []any, on []string, when string) Signal {
	if len(on) == 0 {
		b.problem(path, "names no selector")
	}
	b.selectorsKnown(path, on)
	return Signal{On: on, When: b.expression(path, when, cel.BoolType)}
}

func (b *builder) signals(path []any, files []signalFile) []Signal {
	list := make([]Signal, len(files))
	for i, f := range files {
		list[i] = b.signal(append(slices.Clone(path), i), f.On, f.When)
	}
	return list
}

func (b *builder) occurrence() {
	for i, f := range b.file.Occurrence {
		path := at("occurrence", i)
		if !nameForm.MatchString(f.Name) {
			b.problem(path, "occurrence name %q is malformed", f.Name)
		}
		if f.Per != "" && f.Per != "day" && f.Per != "event" {
			b.problem(path, "per %q is neither day nor event", f.Per)
		}
		o := Occurrence{
			Name: f.Name, Signal: b.signal(path, f.On, f.When), Title: b.title(path, f.Title),
			Key: b.fields(path, f.Key), PerDay: f.Per == "day",
		}
		if r := f.ResolvesWhen; r != nil {
			o.ResolvesWhen = &Resolve{Signal: b.signal(path, r.On, r.When), Same: b.fields(path, r.Same)}
		}
		b.check.Occurrence = append(b.check.Occurrence, o)
	}
}

func (b *builder) state() {
	f, path := b.file.State, at("state")
	s := &State{Of: f.Of, Fresh: f.Fresh}
	b.check.State = s
	if f.Of == OfCoverage {
		s.Title = b.title(path, f.Title, "source", "reason")
		return
	}
	if f.Of != "" || len(f.Facets) == 0 {
		b.problem(path, "state is of coverage or has facets")
	}
	b.parameter(path, "duration", f.Fresh)
	for i, facet := range f.Facets {
		path := at("state", "facets", i)
		if facet.Name == "" || len(facet.Off) == 0 || len(facet.On) == 0 {
			b.problem(path, "facet needs a name, off and on")
		}
		s.Facets = append(s.Facets, Facet{
			Name: facet.Name, Off: b.signals(append(path, "off"), facet.Off), On: b.signals(append(path, "on"), facet.On),
			Proof: facet.Proof, Title: b.title(path, facet.Title),
		})
	}
	if !slices.ContainsFunc(s.Facets, func(f Facet) bool { return f.Proof }) {
		b.problem(path, "no facet can prove that it is on")
	}
}

func (b *builder) latest() {
	f, path := b.file.Latest, at("latest")
	l := &Latest{Of: f.Of, Limit: b.parameter(path, "duration", f.Limit), Fresh: f.Fresh}
	b.check.Latest = l
	l.Off = b.signals(append(path, "off"), f.Off)
	if f.Of == OfHealth {
		l.Title = b.title(path, f.Title, "since")
		return
	}
	b.parameter(path, "duration", f.Fresh)
	l.Title = b.title(path, f.Title, "days")
	l.New = b.signals(append(path, "new"), f.New)
	l.Unchanged = b.signals(append(path, "unchanged"), f.Unchanged)
	for i, a := range f.Aged {
		path := at("latest", "aged", i)
		if a.Age == "" {
			b.problem(path, "age is missing")
		}
		l.Aged = append(l.Aged, Aged{Signal: b.signal(path, a.On, a.When), Age: b.expression(path, a.Age, cel.DurationType)})
	}
	if f.Of != "" || len(l.New)+len(l.Aged) == 0 {
		b.problem(path, "latest is of health or has new or aged signals")
	}
}

func (b *builder) expect() {
	f, path := b.file.Expect, at("expect")
	b.check.Expect = &Expect{
		Ask: b.signals(append(path, "ask"), f.Ask), Answer: b.signals(append(path, "answer"), f.Answer),
		Key: b.fields(path, f.Key), Within: b.parameter(path, "duration", f.Within), Title: b.title(path, f.Title),
	}
	if len(f.Ask) == 0 || len(f.Answer) == 0 || len(f.Key) == 0 {
		b.problem(path, "expect needs ask, answer and key")
	}
}

func (b *builder) list() {
	f, path := b.file.List, at("list")
	l := &List{List: f.List, Title: b.title(path, f.Title, "value")}
	b.check.List = l
	if !nameForm.MatchString(f.List) || len(f.Items) == 0 {
		b.problem(path, "list needs the name of a list and items")
	}
	for i, item := range f.Items {
		path := at("list", "items", i)
		if item.Value == "" {
			b.problem(path, "value is missing")
		}
		l.Items = append(l.Items, Item{Signal: b.signal(path, item.On, item.When), Value: b.expression(path, item.Value, cel.StringType)})
	}
}

func (b *builder) metric() {
	f, path := b.file.Metric, at("metric")
	b.check.Metric = &Metric{
		Name: f.Name, Threshold: b.parameter(path, "percent", f.Threshold), Limit: f.Limit,
		Minimum: b.parameter(path, "int", f.Minimum), Title: b.title(path, f.Title, "key", "share", "day"),
	}
	if f.Name != "fields" && f.Name != "forward_lag" {
		b.problem(path, "metric %q is neither fields nor forward_lag", f.Name)
	}
	if (f.Limit != "") != (f.Name == "forward_lag") {
		b.problem(path, "forward_lag, and it alone, has a limit")
	}
	if f.Limit != "" {
		b.parameter(path, "duration", f.Limit)
	}
}

func (b *builder) record() {
	f, path := b.file.Record, at("record")
	var extra []string
	if f.Of == OfAlert || f.Of == OfFailureAlert {
		extra = []string{"alert", "level", "what", "due"}
	}
	b.check.Record = &Record{Of: f.Of, Title: b.title(path, f.Title, extra...)}
	switch f.Of {
	case OfVerification, OfReview:
		b.check.Record.Within = b.parameter(path, "duration", f.Within)
	case OfAlert, OfFailureAlert:
		if f.Within != "" {
			b.problem(path, "alerts have clocks of their own: there is no within")
		}
	default:
		b.problem(path, "record %q is none of %s, %s, %s and %s", f.Of, OfVerification, OfReview, OfAlert, OfFailureAlert)
	}
}
