package rule

import (
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// entry is a key of a selection with its modifiers, while it is compiled.
type entry struct {
	c     *compiler
	key   *yaml.Node
	field string

	all, cased, negate, dashed bool
	encoded                    bool // the values are texts made by an encoding
	expanded                   bool
	flags                      string
	kind                       matcherKind
	op                         compareOp
	part                       timePart
	start, end                 bool // `*` before, after
}

// item is one value on its way through the modifiers.
type item struct {
	node *yaml.Node
	// null, or a text as the Sigma string raw and its pattern.
	null    bool
	raw     string
	pattern pattern
}

// parseEntry compiles `field|modifiers: values`.
func (c *compiler) parseEntry(key, value *yaml.Node) (*atom, error) {
	field, rest, chained := strings.Cut(key.Value, "|")
	e := &entry{c: c, key: key, field: field}
	nodes := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		nodes = value.Content
	}
	if len(nodes) == 0 {
		return nil, errAt(key, "%s has an empty list of values", key.Value)
	}
	items := make([]item, 0, len(nodes))
	for _, n := range nodes {
		it, err := newItem(n)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if chained {
		for _, m := range strings.Split(rest, "|") {
			var err error
			if items, err = e.apply(m, items); err != nil {
				return nil, err
			}
		}
	}
	return e.finish(items)
}

// newItem reads a scalar. Numbers and truth values are texts to Sigma.
func newItem(n *yaml.Node) (item, error) {
	if n.Kind != yaml.ScalarNode {
		return item{}, errAt(n, "a value is not a scalar")
	}
	if len(n.Value) > maxPatternBytes {
		return item{}, errAt(n, "a value is longer than %d bytes", maxPatternBytes)
	}
	switch n.Tag {
	case "!!null":
		return item{node: n, null: true}, nil
	case "!!int":
		s, err := decimal(n)
		return item{node: n, raw: s, pattern: parsePattern(s)}, err
	case "!!bool":
		s := strings.ToLower(n.Value)
		return item{node: n, raw: s, pattern: parsePattern(s)}, nil
	}
	return item{node: n, raw: n.Value, pattern: parsePattern(n.Value)}, nil
}

// decimal writes a YAML integer the way a log would: 0x10 is 16.
func decimal(n *yaml.Node) (string, error) {
	var i int64
	if err := n.Decode(&i); err == nil {
		b := intNumber(int(i))
		return b.text(), nil
	}
	var u uint64
	if err := n.Decode(&u); err == nil {
		return number{integer: true, magnitude: u}.text(), nil
	}
	return "", errAt(n, "number %s is out of range", n.Value)
}

// apply applies one modifier, in the order written.
func (e *entry) apply(m string, items []item) ([]item, error) {
	if e.kind != matchText && !slices.Contains([]string{"all", "neq", "cased", "i", "m", "s", "startswith", "endswith", "contains", "lt", "lte", "gt", "gte"}, m) {
		return nil, errAt(e.key, "modifier %s cannot follow in %q", m, e.key.Value)
	}
	switch m {
	case "contains", "startswith", "endswith":
		return items, e.applyAnchor(m, items)
	case "all":
		e.all = true
	case "cased":
		e.cased = true
	case "neq":
		e.negate = true
	case "windash":
		return e.applyWindash(items)
	case "base64", "base64offset", "wide", "utf16", "utf16le", "utf16be":
		return e.applyEncoding(m, items)
	case "expand":
		return e.applyExpand(items)
	case "re":
		if e.encoded || e.expanded || e.dashed || e.start || e.end {
			return nil, errAt(e.key, "re must come first in %q", e.key.Value)
		}
		e.kind = matchRegexp
	case "i", "m", "s":
		if e.kind != matchRegexp {
			return nil, errAt(e.key, "modifier %s is only for re", m)
		}
		e.flags += m
	case "cidr":
		e.kind = matchCIDR
	case "exists":
		e.kind = matchExists
	case "fieldref":
		e.kind = matchRef
	case "lt", "lte", "gt", "gte":
		return items, e.applyCompare(m)
	case "minute", "hour", "day", "week", "month", "year":
		e.kind, e.part = matchNumber, timePartOf(m)
	default:
		return nil, errAt(e.key, "modifier %q is not known", m)
	}
	return items, nil
}

func (e *entry) applyAnchor(m string, items []item) error {
	if e.kind != matchText && e.kind != matchRegexp && e.kind != matchRef {
		return errAt(e.key, "modifier %s cannot follow in %q", m, e.key.Value)
	}
	for _, it := range items {
		if it.null {
			return errAt(it.node, "%s is not for null", m)
		}
	}
	e.start = e.start || m != "startswith"
	e.end = e.end || m != "endswith"
	return nil
}

func (e *entry) applyCompare(m string) error {
	if e.kind != matchText && (e.kind != matchNumber || e.op != opEqual) {
		return errAt(e.key, "modifier %s cannot follow in %q", m, e.key.Value)
	}
	e.kind = matchNumber
	e.op = map[string]compareOp{"lt": opLess, "lte": opLessEqual, "gt": opGreater, "gte": opGreaterEqual}[m]
	return nil
}

// applyWindash only notes that dashes are equal: comparing texts in a form
// where they are is the same as all permutations, without their number.
func (e *entry) applyWindash(items []item) ([]item, error) {
	for _, it := range items {
		if it.null {
			return nil, errAt(it.node, "windash is not for null")
		}
	}
	if e.encoded {
		return nil, errAt(e.key, "windash cannot follow an encoding in %q", e.key.Value)
	}
	e.dashed = true
	return items, nil
}

// applyEncoding replaces each value by its encoded forms.
func (e *entry) applyEncoding(m string, items []item) ([]item, error) {
	if e.start || e.end {
		return nil, errAt(e.key, "%s cannot follow an anchor in %q", m, e.key.Value)
	}
	var out []item
	for _, it := range items {
		plain, ok := it.pattern.plain()
		if it.null || !ok {
			return nil, errAt(it.node, "%s is not for null nor for wildcards", m)
		}
		variants := []string{plain}
		if e.dashed {
			// An encoding hides the dashes, so here they are permuted.
			var err error
			if variants, err = dashVariants(plain); err != nil {
				return nil, errAt(it.node, "%s", err)
			}
		}
		for _, v := range variants {
			for _, s := range encodeText(m, v) {
				out = append(out, item{node: it.node, pattern: pattern(nil).add(token{kind: tokenText, text: s})})
			}
		}
	}
	if len(out) == 0 || len(out) > maxNodes {
		return nil, errAt(e.key, "%s leaves no value, or too many", m)
	}
	e.encoded, e.dashed = true, false
	return out, nil
}

func (e *entry) applyExpand(items []item) ([]item, error) {
	if e.encoded {
		return nil, errAt(e.key, "expand cannot follow an encoding in %q", e.key.Value)
	}
	var out []item
	for _, it := range items {
		if it.null {
			return nil, errAt(it.node, "expand is not for null")
		}
		patterns, err := expandPlaceholders(it.raw, e.c.cfg.Placeholders)
		if err != nil {
			return nil, errAt(it.node, "%s", err)
		}
		for _, p := range patterns {
			plain, _ := p.plain()
			out = append(out, item{node: it.node, raw: plain, pattern: p})
		}
	}
	e.expanded = true
	return out, nil
}

// finish turns the values into matchers.
func (e *entry) finish(items []item) (*atom, error) {
	if e.field == "" && e.kind != matchText && e.kind != matchRegexp {
		return nil, errAt(e.key, "%q needs a field", e.key.Value)
	}
	if e.negate && (e.all || e.field == "" || e.kind == matchExists) {
		return nil, errAt(e.key, "neq cannot be combined so in %q", e.key.Value)
	}
	if e.kind == matchExists && (len(items) != 1 || items[0].node.Tag != "!!bool") {
		return nil, errAt(e.key, "exists asks for true or false")
	}
	a := &atom{field: e.field, all: e.all, negate: e.negate}
	for _, it := range items {
		m, err := e.matcher(it)
		if err != nil {
			return nil, err
		}
		a.matchers = append(a.matchers, m)
	}
	return a, nil
}

func (e *entry) matcher(it item) (*matcher, error) {
	if it.null {
		if e.kind != matchText || e.field == "" {
			return nil, errAt(it.node, "null has no meaning in %q", e.key.Value)
		}
		return &matcher{kind: matchNull}, nil
	}
	switch e.kind {
	case matchRegexp:
		return e.regexpMatcher(it)
	case matchExists:
		return &matcher{kind: matchExists, exists: it.raw == "true"}, nil
	case matchCIDR:
		p, err := parsePrefix(it.raw)
		if err != nil {
			return nil, errAt(it.node, "not an address block: %q", it.raw)
		}
		return &matcher{kind: matchCIDR, prefix: p}, nil
	case matchNumber:
		n, ok := parseNumber(it.raw)
		if !ok {
			return nil, errAt(it.node, "not a number: %q", it.raw)
		}
		return &matcher{kind: matchNumber, number: n, op: e.op, part: e.part}, nil
	case matchRef:
		name, ok := it.pattern.plain()
		if !ok || name == "" {
			return nil, errAt(it.node, "not a field name: %q", it.raw)
		}
		m := &matcher{kind: matchRef, ref: name, shape: anchorShape(e.start, e.end)}
		if e.cased {
			m.variant = variantRaw
		}
		return m, nil
	case matchText:
	case matchNull: // null is a value's, never an entry's
	}
	p := it.pattern
	if e.start || e.field == "" {
		p = p.openStart()
	}
	if e.end || e.field == "" {
		p = p.openEnd()
	}
	return newTextMatcher(e.c.fold, p, e.cased, e.dashed), nil
}

func anchorShape(start, end bool) shape {
	switch {
	case start && end:
		return shapeContains
	case start:
		return shapeSuffix
	case end:
		return shapePrefix
	}
	return shapeEqual
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// regexpMatcher compiles an expression. RE2 is asked for what it cannot do
// (look-around, back references) at compile time, so a rule that needs them is
// refused and matching stays linear in the text.
func (e *entry) regexpMatcher(it item) (*matcher, error) {
	if len(it.raw) > maxRegexpBytes {
		return nil, errAt(it.node, "regular expression is longer than %d bytes", maxRegexpBytes)
	}
	flags := syntax.Perl
	if strings.Contains(e.flags, "i") {
		flags |= syntax.FoldCase
	}
	if strings.Contains(e.flags, "m") {
		flags &^= syntax.OneLine
	}
	if strings.Contains(e.flags, "s") {
		flags |= syntax.DotNL
	}
	tree, err := syntax.Parse(it.raw, flags)
	if err != nil {
		return nil, errAt(it.node, "regular expression is not supported: %s", err)
	}
	pcreDollar(tree)
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil || len(prog.Inst) > maxRegexpInsts {
		return nil, errAt(it.node, "regular expression is too large")
	}
	text := tree.String()
	if e.start != e.end {
		// `re|startswith` and `re|endswith` anchor; a search contains anyway.
		if e.start {
			text = `(?:` + text + `)\z`
		} else {
			text = `\A(?:` + text + `)`
		}
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, errAt(it.node, "regular expression is not supported: %s", err)
	}
	m := &matcher{kind: matchRegexp, re: re, reText: text, reMin: minMatch(tree)}
	if e.start == e.end {
		m.run = runOf(tree)
	}
	return m, nil
}

// pcreDollar makes `$` without the m flag also accept a last line feed, as the
// flavour of the specification (PCRE) does and RE2 does not.
func pcreDollar(re *syntax.Regexp) {
	for _, s := range re.Sub {
		pcreDollar(s)
	}
	if re.Op != syntax.OpEndText || re.Flags&syntax.WasDollar == 0 {
		return
	}
	end := *re
	end.Flags &^= syntax.WasDollar
	*re = syntax.Regexp{Op: syntax.OpConcat, Flags: re.Flags, Sub: []*syntax.Regexp{
		{Op: syntax.OpQuest, Flags: re.Flags, Sub: []*syntax.Regexp{{Op: syntax.OpLiteral, Rune: []rune{'\n'}}}},
		&end,
	}}
}
