package rule

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// randomRules writes random detections together with a function that decides
// them in the plainest way: texts by translation into regular expressions,
// permutations written out, every field looked up anew. It shares no code with
// the engine.
type randomRules struct{ *rand.Rand }

type decide func(e *FieldsEvent) bool

func (r randomRules) of(items ...string) string { return items[r.IntN(len(items))] }

// word is a text of few characters, so that values and patterns meet often.
func (r randomRules) word(most int) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteString(r.of("a", "b", "A", "B", "é", "É", "-", "/", "–", `\`, "k", "\u212a", " ", "ab", "aab"))
	}
	return b.String()
}

// pattern is a Sigma string: a word with wildcards and escapes.
func (r randomRules) pattern() string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString(r.word(2))
		b.WriteString(r.of("", "", "", "*", "?", `\*`, `\?`, `\\`))
	}
	return b.String()
}

// patternExpr translates a Sigma string, by hand.
func patternExpr(p string, dashes bool) string {
	var b strings.Builder
	rs := []rune(p)
	for i := 0; i < len(rs); i++ {
		c := rs[i]
		switch {
		case c == '\\' && i+1 < len(rs) && strings.ContainsRune(`*?\`, rs[i+1]):
			i++
			b.WriteString(regexp.QuoteMeta(string(rs[i])))
		case c == '*':
			b.WriteString(".*")
		case c == '?':
			b.WriteString(".")
		case dashes && strings.ContainsRune("-/–—―", c):
			b.WriteString("[-/–—―]")
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return b.String()
}

func valuesOf(e *FieldsEvent, field string) []string {
	var out []string
	for _, f := range e.Data {
		if f.Name == field || strings.ReplaceAll(f.Name, " ", "") == field {
			out = append(out, f.Value)
		}
	}
	return out
}

// quote writes a text as a YAML scalar.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// entry writes `field|modifiers: values`.
func (r randomRules) entry() (string, decide) {
	field := r.of("A", "B", "C")
	switch r.IntN(14) {
	case 0:
		return field + ": null", func(e *FieldsEvent) bool {
			v := valuesOf(e, field)
			return len(v) == 0 || slices.Contains(v, "")
		}
	case 1:
		want := r.IntN(2) == 0
		return fmt.Sprintf("%s|exists: %v", field, want), func(e *FieldsEvent) bool { return (len(valuesOf(e, field)) > 0) == want }
	case 2:
		other := r.of("A", "B", "C")
		return fmt.Sprintf("%s|fieldref: %s", field, other), func(e *FieldsEvent) bool {
			for _, a := range valuesOf(e, field) {
				for _, b := range valuesOf(e, other) {
					if strings.EqualFold(a, b) {
						return true
					}
				}
			}
			return false
		}
	case 3:
		n := r.IntN(4)
		return fmt.Sprintf("N|gte: %d", n), func(e *FieldsEvent) bool {
			return slices.ContainsFunc(valuesOf(e, "N"), func(s string) bool { v, err := strconv.Atoi(s); return err == nil && v >= n })
		}
	case 4:
		text := r.of("a+b", "^a", "b$", "(ab|BA)", "a.b", "[ab]{2}", "x?", "a{2,}", "é")
		flag := r.of("", "|i")
		re := regexp.MustCompile(map[string]string{"": "", "|i": "(?i)"}[flag] + text)
		return fmt.Sprintf("%s|re%s: %s", field, flag, quote(text)), func(e *FieldsEvent) bool { return slices.ContainsFunc(valuesOf(e, field), re.MatchString) }
	case 5:
		plain := r.of("ab", "aab", "k a")
		return fmt.Sprintf("%s|base64offset|contains: %s", field, quote(plain)), func(e *FieldsEvent) bool {
			return slices.ContainsFunc(valuesOf(e, field), func(s string) bool { return holdsBase64(s, plain) })
		}
	}
	return r.textEntry(field)
}

// holdsBase64 reports whether any encoding of text with up to two bytes around
// it agrees with a part of s up to case, by trying neighbours.
func holdsBase64(s, text string) bool {
	for shift := range 3 {
		full := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + text + "\x00\x00\x00"))
		from, bits := (8*shift+5)/6, 8*(shift+len(text))
		if strings.Contains(strings.ToLower(s), strings.ToLower(full[from:bits/6])) {
			return true
		}
	}
	return false
}

func (r randomRules) textEntry(field string) (string, decide) {
	anchor, cased, windash, all := r.of("", "|contains", "|contains", "|startswith", "|endswith"), r.IntN(6) == 0, r.IntN(4) == 0, r.IntN(5) == 0
	negate := !all && r.IntN(8) == 0
	key := field + anchor
	for _, m := range []struct {
		on   bool
		name string
	}{{windash, "|windash"}, {cased, "|cased"}, {all, "|all"}, {negate, "|neq"}} {
		if m.on {
			key += m.name
		}
	}
	var list []string
	var res []*regexp.Regexp
	for range 1 + r.IntN(3) {
		p := r.pattern()
		list = append(list, quote(p))
		x := patternExpr(p, windash)
		if anchor == "|contains" || anchor == "|endswith" {
			x = ".*" + x
		}
		if anchor == "|contains" || anchor == "|startswith" {
			x += ".*"
		}
		flags := "(?is)"
		if cased {
			flags = "(?s)"
		}
		res = append(res, regexp.MustCompile(flags+`\A(?:`+x+`)\z`))
	}
	return key + ": [" + strings.Join(list, ", ") + "]", func(e *FieldsEvent) bool {
		vs := valuesOf(e, field)
		n := 0
		for _, re := range res {
			if slices.ContainsFunc(vs, re.MatchString) {
				n++
			}
		}
		switch {
		case negate:
			return len(vs) > 0 && n == 0
		case all:
			return n == len(res)
		}
		return n > 0
	}
}

func (r randomRules) keywords() (string, decide) {
	p := r.of("ab", "ba", "aab", "k", "-a", "b*a")
	re := regexp.MustCompile("(?is)" + patternExpr(p, false))
	return "[" + quote(p) + "]", func(e *FieldsEvent) bool {
		return slices.ContainsFunc(e.Data, func(f Field) bool { return re.MatchString(f.Value) })
	}
}

// selection writes a mapping, a list of mappings, or keywords.
func (r randomRules) selection() (string, decide) {
	if r.IntN(8) == 0 {
		return r.keywords()
	}
	list, any := r.IntN(3) == 0, []decide(nil)
	var maps []string
	for range 1 + r.IntN(2) {
		var keys, texts []string
		var all []decide
		for range 1 + r.IntN(2) {
			t, d := r.entry()
			if key, _, _ := strings.Cut(t, ":"); !slices.Contains(keys, key) {
				keys, texts, all = append(keys, key), append(texts, "'"+key+"'"+t[len(key):]), append(all, d)
			}
		}
		maps = append(maps, "{"+strings.Join(texts, ", ")+"}")
		any = append(any, func(e *FieldsEvent) bool {
			return !slices.ContainsFunc(all, func(d decide) bool { return !d(e) })
		})
		if !list {
			return maps[0], any[0]
		}
	}
	return "[" + strings.Join(maps, ", ") + "]", func(e *FieldsEvent) bool {
		return slices.ContainsFunc(any, func(d decide) bool { return d(e) })
	}
}

// rule writes a whole detection over three selections.
func (r randomRules) rule() (string, decide) {
	var text strings.Builder
	var s [3]decide
	for i := range s {
		t, d := r.selection()
		fmt.Fprintf(&text, "s%d: %s\n", i, t)
		s[i] = d
	}
	conditions := []struct {
		text string
		of   func(a, b, c bool) bool
	}{
		{"s0", func(a, _, _ bool) bool { return a }},
		{"s0 and s1", func(a, b, _ bool) bool { return a && b }},
		{"s0 or s1 and not s2", func(a, b, c bool) bool { return a || b && !c }},
		{"s0 and not 1 of s1*", func(a, b, _ bool) bool { return a && !b }},
		{"all of them", func(a, b, c bool) bool { return a && b && c }},
		{"1 of them", func(a, b, c bool) bool { return a || b || c }},
		{"not s0 and (s1 or s2)", func(a, b, c bool) bool { return !a && (b || c) }},
		{"not (s0 or s1)", func(a, b, _ bool) bool { return !a && !b }},
	}
	c := conditions[r.IntN(len(conditions))]
	fmt.Fprintf(&text, "condition: %s", c.text)
	return text.String(), func(e *FieldsEvent) bool { return c.of(s[0](e), s[1](e), s[2](e)) }
}

func (r randomRules) event() *FieldsEvent {
	e := &FieldsEvent{ChannelName: "Security", ID: 1}
	for range r.IntN(5) {
		v := r.word(6)
		if r.IntN(10) == 0 {
			v = base64.StdEncoding.EncodeToString([]byte(v))
		}
		e.Data = append(e.Data, Field{r.of("A", "B", "C", "N", "Other", " A"), v})
	}
	e.Data = append(e.Data, Field{"N", strconv.Itoa(r.IntN(5))})
	return e
}

// agree compares Match, matchAll and the plain decision for one seed.
func agree(tb testing.TB, seed uint64) (matched, compared int) {
	tb.Helper()
	r := randomRules{rand.New(rand.NewPCG(seed, 7))}
	var sources []Source
	var plain []decide
	for i := range 12 {
		text, d := r.rule()
		sources = append(sources, Source{strconv.Itoa(i), []byte(ruleText(strconv.Itoa(i), text))})
		plain = append(plain, d)
	}
	s, problems := Compile(sources, Config{})
	for _, p := range problems {
		tb.Fatalf("seed %d: %s", seed, p)
	}
	one, two := new(Scratch), new(Scratch)
	for range 40 {
		e := r.event()
		fast, slow := shown(s.Match(e, one)), shown(s.matchAll(e, two))
		if !slices.Equal(fast, slow) {
			tb.Fatalf("seed %d: prefilter %v, all %v, event %+v", seed, fast, slow, e.Data)
		}
		for i, d := range plain {
			got := slices.ContainsFunc(fast, func(m string) bool { return strings.HasPrefix(m, strconv.Itoa(i)+" ") })
			if want := d(e); got != want {
				tb.Fatalf("seed %d: got %v, want %v of\n%s\nfor %+v", seed, got, want, sources[i].Data, e.Data)
			}
			compared++
			if got {
				matched++
			}
		}
	}
	return matched, compared
}

// TestRandomRulesAgree compares the engine, with and without its prefilter, with
// the plain decision of random rules over random events.
func TestRandomRulesAgree(t *testing.T) {
	t.Parallel()
	matched, compared := 0, 0
	seeds := uint64(150)
	if raceEnabled {
		seeds = 20 // one goroutine: nothing to see but the time it takes
	}
	for seed := range seeds {
		m, c := agree(t, seed)
		matched, compared = matched+m, compared+c
	}
	t.Logf("%d of %d matched", matched, compared)
	if matched < compared/10 || matched > compared*9/10 {
		t.Errorf("%d of %d matched: the comparison says little", matched, compared)
	}
}

// FuzzRandomRules is TestRandomRulesAgree for seeds of the fuzzer's choice.
func FuzzRandomRules(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { agree(t, seed) })
}

// FuzzCompile checks that no file makes the compiler or the engine panic.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(ruleText("1", "s:\n  A|windash|contains|all: ['-x', y*]\n  B|re|i: 'a+'\nk: [foo]\ncondition: 1 of s* and not k")), "A", "-X y")
	f.Add([]byte(failedAndGood+correlationText("9", "type: event_count\nrules: [failed]\ntimespan: 1m\ncondition: {gte: 2}")), "B", "aa")
	f.Add([]byte("title: f\nlogsource: {product: windows}\nfilter: {rules: any, s: {A|cidr: '10.0.0.0/8'}, condition: not s}\n"), "A", "10.1.1.1")
	f.Add([]byte("a: &a [*a]"), "", "")
	f.Fuzz(func(t *testing.T, data []byte, name, val string) {
		s, problems := Compile([]Source{{"f.yml", data}}, Config{Placeholders: map[string][]string{"x": {"y*"}}})
		for _, p := range problems {
			if p.Reason == "" {
				t.Errorf("a problem without reason: %+v", p)
			}
		}
		c := s.NewCorrelator(CorrelatorConfig{})
		e := securityEvent(name, val)
		one, two := s.Match(e, new(Scratch)), s.matchAll(e, new(Scratch))
		if !slices.Equal(shown(one), shown(two)) {
			t.Errorf("prefilter %v, all %v", shown(one), shown(two))
		}
		c.Observe(Observation{Time: start, Event: e, Matches: one})
	})
}
