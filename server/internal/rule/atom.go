package rule

import (
	"net/netip"
	"regexp"
)

// atom is one entry of a selection: a field (or, with an empty name, the whole
// event) and what its values must satisfy.
type atom struct {
	field    string
	matchers []*matcher
	// all asks for every matcher instead of any.
	all bool
	// negate asks that the field occurs and no matcher accepts it (neq).
	negate bool
}

// keyword reports whether the atom looks at every value of the event.
func (a *atom) keyword() bool { return a.field == "" }

type matcherKind uint8

const (
	matchText   matcherKind = iota
	matchRegexp             // re
	matchNull               // null: no value, or an empty one
	matchExists             // exists
	matchCIDR               // cidr
	matchNumber             // lt lte gt gte, and time parts
	matchRef                // fieldref
)

// shape is how a text stands in the value.
type shape uint8

const (
	shapeEqual shape = iota
	shapePrefix
	shapeSuffix
	shapeContains
	shapeGlob
)

// variant selects the form of a value that a text is compared with.
type variant uint8

const (
	variantRaw    variant = 1 << 0 // not case-folded (cased)
	variantDashed variant = 1 << 1 // windash's dashes all written '-'
)

// matcher is one value of an atom, compiled. It is immutable.
type matcher struct {
	kind    matcherKind
	shape   shape
	variant variant
	// text is what shapes other than shapeGlob look for, in its variant's form.
	text []byte
	glob *glob

	re *regexp.Regexp
	// reText is the expression as the engine runs it, for finding what every
	// match must contain.
	reText string
	// reMin is the length in bytes that no match is shorter than.
	reMin int
	// run is set where the expression is simple enough to count instead.
	run *run

	exists bool
	prefix netip.Prefix
	number number
	op     compareOp
	part   timePart
	// ref is the other field of a fieldref.
	ref string
}

// newTextMatcher compiles a pattern. cased keeps case apart, dashed makes the
// dashes of windash equal.
func newTextMatcher(f *folder, p pattern, cased, dashed bool) *matcher {
	form := func(s string) []byte {
		b := []byte(s)
		if !cased {
			b, _ = f.append(nil, s)
		}
		if dashed {
			b = appendDashed(nil, b)
		}
		return b
	}
	m := &matcher{kind: matchText}
	if cased {
		m.variant |= variantRaw
	}
	if dashed {
		m.variant |= variantDashed
	}
	inner := p
	openStart := len(inner) > 0 && inner[0].kind == tokenAny
	if openStart {
		inner = inner[1:]
	}
	openEnd := len(inner) > 0 && inner[len(inner)-1].kind == tokenAny
	if openEnd {
		inner = inner[:len(inner)-1]
	}
	s, plain := inner.plain()
	switch {
	case !plain:
		m.shape, m.glob = shapeGlob, newGlob(inner, openStart, openEnd, form)
		return m
	case len(inner) == 0 && (openStart || openEnd):
		m.shape = shapeContains // `*`: any value
	case openStart && openEnd:
		m.shape = shapeContains
	case openStart:
		m.shape = shapeSuffix
	case openEnd:
		m.shape = shapePrefix
	default:
		m.shape = shapeEqual
	}
	m.text = form(s)
	return m
}
