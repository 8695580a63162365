package rule

import (
	"fmt"
	"strings"
	"testing"
)

// TestRefused checks that what cannot be evaluated exactly is refused, at its
// line and with its reason, and stops no other rule.
func TestRefused(t *testing.T) {
	t.Parallel()
	head := "title: x\nid: bad\nlogsource: {product: windows, service: security}\n"
	for _, c := range []struct {
		name, text, reason string
		line               int
	}{
		{"syntax", "title: [", "not valid YAML", 1},
		{"tabs", "title: x\n\tid: y\n", "not valid YAML", 2},
		{"a list", "- a\n", "document is not a mapping", 1},
		{"key twice", "title: x\ntitle: y\n", `key "title" is given twice`, 2},
		{"binary", "title: x\nx: !!binary aGk=\n", "YAML tag !!binary", 2},
		{"own tag", "title: x\nx: !foo bar\n", "YAML tag !foo", 2},
		{"merge", "title: x\na: &a {b: c}\nd:\n  <<: *a\n", "YAML tag !!merge", 4},
		{"mapping as key", "title: x\n? {a: b}\n: c\n", "key is not a scalar", 2},
		{"no title", "id: bad\n", "there is no title", 1},
		{"level", "title: x\nlevel: extreme\n", `level "extreme"`, 2},
		{"status", "title: x\nstatus: great\n", `status "great"`, 2},
		{"taxonomy", "title: x\ntaxonomy: ecs\n", `taxonomy "ecs"`, 2},
		{"action", "action: global\ntitle: x\n", "obsolete", 1},
		{"tags", "title: x\ntags: [{a: b}]\n", "tags holds something other", 2},
		{"title list", "title: [x]\n", "title is not a scalar", 1},
		{"no logsource", "title: x\ndetection: {s: {a: 1}, condition: s}\n", "no logsource", 1},
		{"empty logsource", "title: x\nlogsource: {definition: y}\n", "names no category", 2},
		{"other product", "title: x\nlogsource: {product: linux}\ndetection: {s: {a: 1}, condition: s}\n", "not in the table", 1},
		{"unknown service", "title: x\nlogsource: {product: windows, service: foo}\ndetection: {s: {a: 1}, condition: s}\n", "service=foo is not in the table", 1},
		{"never", "title: x\nlogsource: {product: windows, category: image_load}\ndetection: {s: {EventID: 4}, condition: s}\n", "can never match", 1},
		{"no detection", head, "no detection", 1},
		{"no condition", head + "detection:\n  s: {a: 1}\n", "no condition", 5},
		{"timeframe", head + "detection: {s: {a: 1}, timeframe: 5m, condition: s}\n", "timeframe", 4},
		{"empty selection", head + "detection: {s: {}, condition: s}\n", "selection is empty", 4},
		{"empty list", head + "detection: {s: [], condition: s}\n", "selection is empty", 4},
		{"empty values", head + "detection: {s: {a: []}, condition: s}\n", "empty list of values", 4},
		{"nested value", head + "detection: {s: {a: {b: c}}, condition: s}\n", "value is not a scalar", 4},
		{"null keyword", head + "detection: {s: [null], condition: s}\n", "null has no meaning", 4},
		{"unknown modifier", head + "detection:\n  s:\n    a|foo: x\n  condition: s\n", `modifier "foo" is not known`, 6},
		{"i without re", head + "detection: {s: {a|i: x}, condition: s}\n", "only for re", 4},
		{"re after contains", head + "detection: {s: {a|contains|re: x}, condition: s}\n", "re must come first", 4},
		{"look-ahead", head + "detection: {s: {a|re: 'x(?=y)'}, condition: s}\n", "not supported", 4},
		{"huge expression", head + "detection: {s: {a|re: '" + strings.Repeat("(x{900}y)", 40) + "'}, condition: s}\n", "", 4},
		{"long expression", head + "detection: {s: {a|re: '" + strings.Repeat("x", maxRegexpBytes+1) + "'}, condition: s}\n", "longer than", 4},
		{"long value", head + "detection: {s: {a: '" + strings.Repeat("x", maxPatternBytes+1) + "'}, condition: s}\n", "longer than", 4},
		{"not a block", head + "detection: {s: {a|cidr: 10.0.0.0/99}, condition: s}\n", "address block", 4},
		{"not a number", head + "detection: {s: {a|gt: x}, condition: s}\n", "not a number", 4},
		{"exists text", head + "detection: {s: {a|exists: 'yes'}, condition: s}\n", "true or false", 4},
		{"encoded wildcard", head + "detection: {s: {a|base64: 'x*'}, condition: s}\n", "wildcards", 4},
		{"windash explosion", head + "detection: {s: {a|windash|base64: '-----'}, condition: s}\n", "windash permutations", 4},
		{"placeholder", head + "detection: {s: {a|expand: '%nobody%'}, condition: s}\n", "%nobody% is not configured", 4},
		{"fieldref wildcard", head + "detection: {s: {a|fieldref: 'b*'}, condition: s}\n", "field name", 4},
		{"neq all", head + "detection: {s: {a|neq|all: [x, y]}, condition: s}\n", "neq", 4},
		{"keyword cidr", head + "detection: {s: {'|cidr': 10.0.0.0/8}, condition: s}\n", "needs a field", 4},
		{"aggregation", head + "detection: {s: {a: 1}, condition: s | count() > 5}\n", "correlation", 4},
		{"unknown selection", head + "detection: {s: {a: 1}, condition: t}\n", `"t" is not a search identifier`, 4},
		{"no such pattern", head + "detection: {s: {a: 1}, condition: 1 of t*}\n", "named like", 4},
		{"two of", head + "detection: {s: {a: 1}, condition: 2 of s*}\n", `"2" of`, 4},
		{"open parenthesis", head + "detection: {s: {a: 1}, condition: (s}\n", "not closed", 4},
		{"closed too much", head + "detection: {s: {a: 1}, condition: 's)'}\n", "unexpected", 4},
		{"ends early", head + "detection: {s: {a: 1}, condition: s and}\n", "ends where", 4},
		{"two names", head + "detection: {s: {a: 1}, condition: s s}\n", "unexpected", 4},
		{"empty condition", head + "detection: {s: {a: 1}, condition: ''}\n", "condition is empty", 4},
		{"deep condition", head + "detection: {s: {a: 1}, condition: '" + strings.Repeat("(", 200) + "s" + strings.Repeat(")", 200) + "'}\n", "nested deeper", 4},
		{"long condition", head + "detection: {s: {a: 1}, condition: 's" + strings.Repeat(" or s", 600) + "'}\n", "tokens", 4},
		{"deep document", head + "x: " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "\n", "nested deeper", 4},
		{"bomb", "title: x\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n", "more than 20000 nodes", 0},
		{"bites its tail", "title: x\na: &a [*a]\n", "", 0},
		{"large file", "# " + strings.Repeat("x", maxFileBytes), "file is larger", 0},
		{"amplified selections", head + "detection:\n  s:\n" + strings.Repeat("    - {a: 1}\n", 4000) + "  condition: s" + strings.Repeat(" or s", 500) + "\n", "too large", 1},
		{"filter of nothing", head + "filter: {rules: [nobody], s: {a: 1}, condition: not s}\n", "applies to no rule", 1},
		{"filter without rules", head + "filter: {s: {a: 1}, condition: not s}\n", "names no rules", 4},
		{"correlation type", "title: x\ncorrelation: {type: magic}\n", `type "magic"`, 2},
		{"correlation rules", "title: x\ncorrelation: {type: temporal, timespan: 1m}\n", "names no rules", 2},
		{"correlation rule twice", "title: x\ncorrelation: {type: temporal, timespan: 1m, rules: [a, a]}\n", "twice", 2},
		{"correlation timespan", "title: x\ncorrelation: {type: temporal, rules: [good], timespan: 5y}\n", "timespan", 2},
		{"correlation long timespan", "title: x\ncorrelation: {type: temporal, rules: [good], timespan: 2000000000d}\n", "timespan", 2},
		{"correlation missing", "title: x\ncorrelation: {type: temporal, rules: [nobody], timespan: 5m}\n", "nobody", 1},
		{"correlation circle", "title: x\nname: me\ncorrelation: {type: temporal, rules: [me], timespan: 5m}\n", "me", 1},
		{"correlation condition", "title: x\ncorrelation: {type: event_count, rules: [good], timespan: 5m}\n", "needs a condition", 2},
		{"correlation upper bound", "title: x\ncorrelation: {type: event_count, rules: [good], timespan: 5m, condition: {lt: 4}}\n", "lower bound", 2},
		{"correlation never", "title: x\ncorrelation: {type: event_count, rules: [good], timespan: 5m, condition: {gt: 4, lt: 3}}\n", "never hold", 2},
		{"correlation field", "title: x\ncorrelation: {type: value_count, rules: [good], timespan: 5m, condition: {gt: 4}}\n", "names a field", 2},
		{"correlation too many", "title: x\ncorrelation: {type: event_count, rules: [good], timespan: 5m, condition: {gt: 400000}}\n", "more than 10000", 2},
	} {
		good := "title: g\nid: good-id\nname: good\nlogsource: {product: windows, service: security}\ndetection: {s: {F: 1}, condition: s}\n"
		s, problems := Compile([]Source{{"bad.yml", []byte(c.text)}, {"good.yml", []byte(good)}}, Config{})
		if len(problems) != 1 {
			t.Errorf("%s: problems %v, want one", c.name, problems)
			continue
		}
		p := problems[0]
		if p.Source != "bad.yml" || !strings.Contains(p.Reason, c.reason) || c.line != 0 && p.Line != c.line {
			t.Errorf("%s: got %s, want line %d and %q", c.name, p, c.line, c.reason)
		}
		if len(s.Rules()) != 1 || !matches(s, securityEvent("F", "1")) {
			t.Errorf("%s: the other rule is lost", c.name)
		}
	}
}

func TestDuplicatesAreRefused(t *testing.T) {
	t.Parallel()
	s, problems := Compile([]Source{
		{"a.yml", []byte(ruleText("one", "s: {F: 1}\ncondition: s"))},
		{"b.yml", []byte(ruleText("ONE", "s: {F: 2}\ncondition: s"))},
	}, Config{})
	if len(problems) != 1 || problems[0].Source != "b.yml" || !strings.Contains(problems[0].Reason, "already that of a.yml:1") {
		t.Errorf("problems %v", problems)
	}
	if !matches(s, securityEvent("F", "1")) || matches(s, securityEvent("F", "2")) {
		t.Error("not the first rule was kept")
	}
}

func TestDocumentsOfOneFile(t *testing.T) {
	t.Parallel()
	text := "---\n" + ruleText("a", "s: {F: 1}\ncondition: s") + "---\ntitle: bad\n---\n---\n" + ruleText("b", "s: {F: 2}\ncondition: s")
	s, problems := Compile([]Source{{"f.yml", []byte(text)}}, Config{})
	if len(problems) != 1 || problems[0].RuleID != "bad" || problems[0].Line != 11 {
		t.Errorf("problems %v", problems)
	}
	if rs := s.Rules(); len(rs) != 2 || rs[0].ID != "a" || rs[1].ID != "b" || rs[1].Line != 14 {
		t.Errorf("rules %+v", rs)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	rules := ruleText("a", "s: {F: 1}\ncondition: s") + "---\n" + ruleText("b", "s: {F: 1}\ncondition: s")
	filter := func(refs, condition string) string {
		return fmt.Sprintf("---\ntitle: quiet\nlogsource: {product: windows}\nfilter:\n  rules: %s\n  s: {User: adm}\n  condition: %s\n", refs, condition)
	}
	matched := func(text string, e Event) string {
		var ids []string
		for _, m := range compileText(t, text).Match(e, new(Scratch)) {
			ids = append(ids, m.Rule.ID)
		}
		return strings.Join(ids, "")
	}
	adm, other := securityEvent("F", "1", "User", "adm"), securityEvent("F", "1", "User", "eve")
	for _, c := range []struct{ text, adm, other string }{
		{rules, "ab", "ab"},
		{rules + filter("[a]", "not s"), "b", "ab"},
		{rules + filter("a", "not s"), "b", "ab"},
		{filter("[a]", "not s") + "---\n" + rules, "b", "ab"},
		{rules + filter("[tb]", "not s"), "a", "ab"},
		{rules + filter("any", "not s"), "", "ab"},
		{rules + filter("[a]", "s"), "ab", "b"},
	} {
		if got := matched(c.text, adm); got != c.adm {
			t.Errorf("%s: the filtered event matches %q, want %q", c.text, got, c.adm)
		}
		if got := matched(c.text, other); got != c.other {
			t.Errorf("%s: the other event matches %q, want %q", c.text, got, c.other)
		}
	}
	foreign := strings.Replace(filter("[a]", "not s"), "product: windows", "product: windows, service: system", 1)
	s, problems := Compile([]Source{{"f.yml", []byte(rules + foreign)}}, Config{})
	if len(problems) != 1 || !strings.Contains(problems[0].Reason, "applies to no rule") || len(s.Match(adm, new(Scratch))) != 2 {
		t.Errorf("a filter of another log source applies, or is not reported: %v", problems)
	}
	plain, filtered := compileText(t, rules).Rules(), compileText(t, rules+filter("[a]", "not s")).Rules()
	if plain[0].Digest == filtered[0].Digest || plain[1].Digest != filtered[1].Digest {
		t.Error("a filter must change the digest of the rules it filters and of no other")
	}
	if len(filtered[0].Filters) != 1 || filtered[0].Filters[0] != "quiet" {
		t.Errorf("filters %v", filtered[0].Filters)
	}
}

func TestDigests(t *testing.T) {
	t.Parallel()
	base := "title: x\nid: a\nlogsource: {product: windows, service: security}\ndetection:\n  s:\n    F: [a, b]\n  condition: s\n"
	same := "# a comment\nid: a\ntitle: \"x\"\nlogsource:\n    service: security\n    product: windows\ndetection: {condition: s, s: {F: ['a', b]}}\n"
	d := func(text string, cfg Config) ([32]byte, [32]byte) {
		s, problems := Compile([]Source{{"x.yml", []byte(text)}}, cfg)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return s.Rules()[0].Digest, s.Digest()
	}
	rule, set := d(base, Config{})
	if r, s := d(same, Config{}); r != rule || s != set {
		t.Error("style changes the digest")
	}
	for _, other := range []string{
		strings.Replace(base, "[a, b]", "[b, a]", 1),
		strings.Replace(base, "[a, b]", "[a, 'null']", 1),
		strings.Replace(base, "[a, b]", "[ab]", 1),
		strings.Replace(base, "title: x", "title: y", 1),
		strings.Replace(base, "[a, b]", "[1, b]", 1),
		strings.Replace(base, "[a, b]", "['1', b]", 1),
	} {
		if r, s := d(other, Config{}); r == rule || s == set {
			t.Errorf("the digest does not see %s", other)
		}
	}
	one, _ := d(strings.Replace(base, "[a, b]", "[1, b]", 1), Config{})
	text, _ := d(strings.Replace(base, "[a, b]", "['1', b]", 1), Config{})
	if one == text {
		t.Error("a number and a text have one digest")
	}
	if _, s := d(base, Config{Placeholders: map[string][]string{"x": {"y"}}}); s == set {
		t.Error("placeholders do not change the set's digest")
	}
	if _, s := d(base, Config{Logsources: []Source{{"t.yml", []byte("logsources: {}")}}}); s == set {
		t.Error("tables do not change the set's digest")
	}
}

func TestLogsources(t *testing.T) {
	t.Parallel()
	table := `logsources:
  mine:
    category: badge
    product: windows
    conditions: {EventID: [7, 8], Kind: [in, out]}
    fieldmappings: {User: CardHolder}
    sources: ['WinEventLog:Doors/Operational']
  service_security:
    product: windows
    service: security
    sources: ['WinEventLog:Security', 'WinEventLog:ForwardedEvents']
`
	rule := func(id, logsource, detection string) Source {
		return Source{id, []byte("title: " + id + "\nid: " + id + "\nlogsource: " + logsource + "\ndetection: {s: " + detection + ", condition: s}\n")}
	}
	s, problems := Compile([]Source{
		rule("badge", "{category: badge}", "{User: eve}"),
		rule("forwarded", "{product: windows, service: security}", "{User: eve}"),
		rule("process", "{product: windows, category: process_creation}", "{Image: x, User: eve}"),
		rule("auditonly", "{product: windows, category: process_creation, service: security}", "{Image: x}"),
		rule("anywhere", "{product: windows}", "{Channel: doors/operational, EventID: 9}"),
		rule("linux", "{category: process_creation, product: linux}", "{Image: x}"),
	}, Config{Logsources: []Source{{"table.yml", []byte(table)}}})
	if len(problems) != 1 || problems[0].RuleID != "linux" {
		t.Fatalf("problems %v", problems)
	}
	const sysmon = "Microsoft-Windows-Sysmon/Operational"
	for _, c := range []struct {
		channel string
		id      uint32
		data    []Field
		want    string
	}{
		{"DOORS/operational", 7, []Field{{"CardHolder", "eve"}, {"Kind", "in"}}, "badge"},
		{"Doors/Operational", 7, []Field{{"User", "eve"}, {"Kind", "in"}}, ""},
		{"Doors/Operational", 7, []Field{{"CardHolder", "eve"}, {"Kind", "up"}}, ""},
		{"Doors/Operational", 6, []Field{{"CardHolder", "eve"}, {"Kind", "in"}}, ""},
		{"Doors/Operational", 9, nil, "anywhere"},
		{"ForwardedEvents", 1, []Field{{"User", "eve"}}, "forwarded"},
		{"Security", 4688, []Field{{"NewProcessName", "x"}, {"User", "eve"}}, "forwarded process auditonly"},
		{"Security", 4688, []Field{{"Image", "x"}}, ""},
		{sysmon, 1, []Field{{"Image", "x"}, {"User", "eve"}}, "process"},
		{sysmon, 5, []Field{{"Image", "x"}, {"User", "eve"}}, ""},
	} {
		e := &FieldsEvent{ChannelName: c.channel, ID: c.id, Data: c.data}
		var got []string
		for _, m := range s.Match(e, new(Scratch)) {
			got = append(got, m.Rule.ID)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %d %v: got %v, want %s", c.channel, c.id, c.data, got, c.want)
		}
	}
}

// TestMatchedFields checks what a match is explained by.
func TestMatchedFields(t *testing.T) {
	t.Parallel()
	s := oneRule(t, "sel: {A: [x, y], B|contains|all: [p, q]}\nkw: [zz]\nn: {C: null}\nd: {D|neq: v}\nf: {A: never}\ncondition: sel and kw and n and d and not f")
	ms := s.Match(securityEvent("A", "Y", "B", "qp", "K", "azzb", "D", "w"), new(Scratch))
	if len(ms) != 1 {
		t.Fatalf("%d matches", len(ms))
	}
	got := map[MatchedField]bool{}
	for _, f := range ms[0].Fields {
		got[f] = true
	}
	for _, f := range []MatchedField{{"sel", "A", "Y"}, {"sel", "B", "qp"}, {"kw", "", "azzb"}, {"n", "C", ""}, {"d", "D", "w"}} {
		if !got[f] {
			t.Errorf("%+v is not among %+v", f, ms[0].Fields)
		}
	}
	if len(got) != 5 {
		t.Errorf("fields %+v", ms[0].Fields)
	}
}
