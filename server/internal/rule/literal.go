package rule

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// literal is a text that a field must contain, in the form the prefilter
// scans: case-folded, every dash of windash written '-'. Field -1 is any value
// of the event.
type literal struct {
	field int32
	text  string
}

// Bounds on the texts of the prefilter. A longer text is cut, which only makes
// it find more; more alternatives than that are not worth a scan.
const (
	maxLiteralBytes = 32
	maxAlternatives = 8192
	minRegexpText   = 2
	maxSets         = 8 // bits of post.bit
)

// literalScore says how often a literal is expected to be found where rules
// look for it, in arbitrary units: lower is rarer.
type literalScore func(literal) int

// extractor finds what an event must contain for a program to match.
type extractor struct {
	fold  *folder
	score literalScore
	// eventID is the number of the EventID field, which the grouping has already
	// answered, or -2.
	eventID int32
}

// literals are alternatives: an event must contain at least one of them.
type literals []literal

// required returns sets of alternatives of which every event that satisfies the
// tree contains at least one each; none if nothing can be said.
func (x *extractor) required(n *node) []literals {
	switch n.op {
	case opAnd:
		var sets []literals
		for i := range n.kids {
			sets = append(sets, x.required(&n.kids[i])...)
		}
		return sets
	case opOr:
		var union literals
		for i := range n.kids {
			best := x.rarest(x.required(&n.kids[i]))
			if best == nil || len(union)+len(best) > maxAlternatives {
				return nil
			}
			union = append(union, best...)
		}
		return []literals{union}
	case opAtom:
		return x.ofAtom(n)
	case opNot: // its kid need not hold
	case opSelection: // bound trees have none
	}
	return nil
}

func (x *extractor) ofAtom(n *node) []literals {
	if n.atom.negate || n.field == x.eventID {
		return nil
	}
	var sets []literals
	var union literals
	for _, m := range n.atom.matchers {
		k := x.ofMatcher(n.field, m)
		if n.atom.all {
			if k != nil {
				sets = append(sets, k)
			}
			continue
		}
		if k == nil || len(union)+len(k) > maxAlternatives {
			return nil
		}
		union = append(union, k...)
	}
	if n.atom.all {
		return sets
	}
	if union == nil {
		return nil
	}
	return []literals{union}
}

// rarest returns the set that is expected to be found least often.
func (x *extractor) rarest(sets []literals) literals {
	var best literals
	for _, set := range sets {
		if best == nil || x.total(set) < x.total(best) {
			best = set
		}
	}
	return best
}

// choose returns the rarest sets, distinct, as many as a mask has bits.
func (x *extractor) choose(sets []literals) []literals {
	slices.SortStableFunc(sets, func(a, b literals) int { return x.total(a) - x.total(b) })
	var out []literals
	for _, set := range sets {
		if len(out) == maxSets || len(out) > 0 && x.total(set) > scoreUseless {
			break
		}
		if !slices.ContainsFunc(out, func(o literals) bool { return slices.Equal(o, set) }) {
			out = append(out, set)
		}
	}
	return out
}

func (x *extractor) total(set literals) int {
	sum := 0
	for _, l := range set {
		sum += x.score(l)
	}
	return sum
}

func (x *extractor) ofMatcher(field int32, m *matcher) literals {
	switch m.kind {
	case matchText:
		text := m.text
		if m.shape == shapeGlob {
			text = m.glob.longest()
		}
		return x.normal(field, []string{string(text)})
	case matchRegexp:
		tree, err := syntax.Parse(m.reText, syntax.Perl)
		if err != nil {
			return nil
		}
		return x.normal(field, regexpTexts(tree))
	case matchNull, matchExists, matchCIDR, matchNumber, matchRef: // no text that must stand in the event
	}
	return nil
}

// longest returns the glob's longest text.
func (g *glob) longest() []byte {
	var best []byte
	for _, s := range g.segments {
		for _, p := range s.parts {
			if len(p.text) > len(best) {
				best = p.text
			}
		}
	}
	return best
}

// normal brings texts to the prefilter's form; nil if one of them is empty,
// since it would be found everywhere.
func (x *extractor) normal(field int32, texts []string) literals {
	out := make(literals, 0, len(texts))
	for _, s := range texts {
		folded, _ := x.fold.append(nil, s)
		b := appendDashed(nil, folded)
		if len(b) == 0 {
			return nil
		}
		if len(b) > maxLiteralBytes {
			b = b[:maxLiteralBytes]
		}
		out = append(out, literal{field: field, text: string(b)})
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// regexpTexts returns texts of which every match of the expression contains one
// (up to case), nil if there is no such set.
func regexpTexts(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		s := string(re.Rune)
		// U+FFFD in an expression also matches a byte that is not UTF-8.
		if len(s) < minRegexpText || strings.ContainsRune(s, utf8.RuneError) {
			return nil
		}
		return []string{s}
	case syntax.OpCapture, syntax.OpPlus:
		return regexpTexts(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return regexpTexts(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if k := regexpTexts(sub); k != nil && (best == nil || shortest(k) > shortest(best)) {
				best = k
			}
		}
		return best
	case syntax.OpAlternate:
		var union []string
		for _, sub := range re.Sub {
			k := regexpTexts(sub)
			if k == nil || len(union)+len(k) > maxAlternatives {
				return nil
			}
			union = append(union, k...)
		}
		return union
	}
	return nil
}

func shortest(texts []string) int {
	n := len(texts[0])
	for _, s := range texts[1:] {
		n = min(n, len(s))
	}
	return n
}

// minMatch returns a length in bytes that no match of the expression is shorter
// than: one for each character that must be there.
func minMatch(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return minMatch(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * minMatch(re.Sub[0])
	case syntax.OpConcat:
		sum := 0
		for _, sub := range re.Sub {
			sum += minMatch(sub)
		}
		return sum
	case syntax.OpAlternate:
		least := minMatch(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			least = min(least, minMatch(sub))
		}
		return least
	}
	return 0
}
