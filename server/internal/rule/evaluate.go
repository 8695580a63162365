package rule

import (
	"bytes"
	"net/netip"
	"strings"
)

// holds evaluates a tree on the loaded event.
func (sc *Scratch) holds(n *node) bool {
	switch n.op {
	case opAnd:
		for i := range n.kids {
			if !sc.holds(&n.kids[i]) {
				return false
			}
		}
		return true
	case opOr:
		for i := range n.kids {
			if sc.holds(&n.kids[i]) {
				return true
			}
		}
		return false
	case opNot:
		return !sc.holds(&n.kids[0])
	default:
		return sc.atomHolds(n)
	}
}

func (sc *Scratch) atomHolds(n *node) bool {
	a := n.atom
	if a.negate && sc.first(n.field) < 0 {
		return false
	}
	for i, m := range a.matchers {
		if sc.accepts(n, i, m) {
			if !a.all {
				return !a.negate
			}
		} else if a.all {
			return false
		}
	}
	return a.all != a.negate
}

// accepts reports whether any value of the atom's field, or of the event for a
// keyword, satisfies the matcher.
func (sc *Scratch) accepts(n *node, i int, m *matcher) bool {
	if n.field < 0 {
		return sc.keywordAt(m) >= 0
	}
	switch m.kind {
	case matchExists:
		return (sc.first(n.field) >= 0) == m.exists
	case matchNull:
		return sc.isNull(n.field)
	case matchRef:
		return sc.refAt(n.field, n.refs[i], m) >= 0
	case matchText, matchRegexp, matchCIDR, matchNumber:
	}
	return sc.valueAt(n.field, m) >= 0
}

// valueAt returns the first value of the field that the matcher accepts, or -1.
func (sc *Scratch) valueAt(field int32, m *matcher) int32 {
	for at := sc.first(field); at >= 0; at = sc.values[at].next {
		if sc.valueAccepted(&sc.values[at], m) {
			return at
		}
	}
	return -1
}

// keywordAt returns the first value of the event that the matcher accepts.
func (sc *Scratch) keywordAt(m *matcher) int32 {
	sc.loadKeywords()
	for _, span := range [...][2]int{{0, sc.data}, {sc.words, sc.wordsEnd}} {
		for at := span[0]; at < span[1]; at++ {
			if sc.valueAccepted(&sc.values[at], m) {
				return int32(at)
			}
		}
	}
	return -1
}

// loadKeywords adds the system texts that keywords see, once per event. They
// are apart from the values that fields asked for, so that what a keyword sees
// does not depend on which rules came before.
func (sc *Scratch) loadKeywords() {
	if sc.wordsEnd > 0 {
		return
	}
	sc.words = len(sc.values)
	for _, s := range [...]string{sc.ev.Provider(), sc.ev.Channel()} {
		sc.values = append(sc.values, value{raw: s, next: -1})
	}
	for _, name := range [...]string{fieldComputer, fieldUserSID} {
		if s, ok := sc.ev.SystemField(name); ok {
			sc.values = append(sc.values, value{raw: s, next: -1})
		}
	}
	sc.wordsEnd = len(sc.values)
}

func (sc *Scratch) valueAccepted(v *value, m *matcher) bool {
	switch m.kind {
	case matchText:
		return m.textAccepts(sc.text(v, m.variant))
	case matchRegexp:
		return m.regexpAccepts(v.raw)
	case matchCIDR:
		return m.cidrAccepts(v.raw)
	case matchNumber:
		got, ok := number{}, false
		if m.part != partNone {
			got, ok = m.part.of(v.raw)
		} else {
			got, ok = parseNumber(v.raw)
		}
		return ok && m.op.holds(got.compare(m.number))
	case matchNull, matchExists, matchRef: // of the field, not of one value
	}
	return false
}

func (m *matcher) regexpAccepts(s string) bool {
	switch {
	case len(s) < m.reMin:
		return false
	case m.run != nil:
		return m.run.match(s)
	}
	return m.re.MatchString(s)
}

func (m *matcher) textAccepts(text []byte) bool {
	switch m.shape {
	case shapeEqual:
		return bytes.Equal(text, m.text)
	case shapePrefix:
		return bytes.HasPrefix(text, m.text)
	case shapeSuffix:
		return bytes.HasSuffix(text, m.text)
	case shapeContains:
		return bytes.Contains(text, m.text)
	default:
		return m.glob.match(text)
	}
}

// cidrAccepts reports whether s is an address of the block. An IPv4 address
// mapped into IPv6 is one of IPv4, and a zone is ignored.
func (m *matcher) cidrAccepts(s string) bool {
	// What cannot be an address is turned away first: the parser allocates an
	// error.
	if len(s) > 64 || strings.IndexByte(s, '.') < 0 && strings.IndexByte(s, ':') < 0 {
		return false
	}
	a, err := netip.ParseAddr(s)
	return err == nil && m.prefix.Contains(a.Unmap().WithZone(""))
}

// isNull reports whether the field is missing or has an empty value.
func (sc *Scratch) isNull(field int32) bool {
	at := sc.first(field)
	if at < 0 {
		return true
	}
	for ; at >= 0; at = sc.values[at].next {
		if sc.values[at].raw == "" {
			return true
		}
	}
	return false
}

// refAt returns the first value of the field that stands in the matcher's
// relation to a value of the other field, or -1.
func (sc *Scratch) refAt(field, other int32, m *matcher) int32 {
	sc.first(other) // may add values, so before pointers into them are taken
	for at := sc.first(field); at >= 0; at = sc.values[at].next {
		for o := sc.first(other); o >= 0; o = sc.values[o].next {
			if sc.refAccepts(&sc.values[at], &sc.values[o], m) {
				return at
			}
		}
	}
	return -1
}

func (sc *Scratch) refAccepts(v, o *value, m *matcher) bool {
	var a, b []byte
	if m.variant&variantRaw != 0 {
		sc.dash = append(sc.dash[:0], v.raw...)
		n := len(sc.dash)
		sc.dash = append(sc.dash, o.raw...)
		a, b = sc.dash[:n], sc.dash[n:]
	} else {
		a, b = sc.folded(v), sc.folded(o)
	}
	switch m.shape {
	case shapePrefix:
		return bytes.HasPrefix(a, b)
	case shapeSuffix:
		return bytes.HasSuffix(a, b)
	case shapeContains:
		return bytes.Contains(a, b)
	default:
		return bytes.Equal(a, b)
	}
}
