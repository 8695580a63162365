package rule

import "slices"

// Match returns the rules that the event matches, in the order of Rules, nil if
// none. An event that matches nothing allocates nothing once the Scratch has
// grown. The result is the caller's.
func (s *Set) Match(ev Event, sc *Scratch) []Match {
	groups := s.groups(ev, sc)
	if groups == ([4]*group{}) {
		return nil // most channels have no rule: their events are not even looked into
	}
	sc.load(s, ev)
	defer sc.release()
	sc.picked = sc.picked[:0]
	for _, g := range groups {
		if g != nil {
			g.candidates(sc)
		}
	}
	return sc.evaluate()
}

// matchAll is Match without the prefilter: it evaluates every program of the
// event's groups.
func (s *Set) matchAll(ev Event, sc *Scratch) []Match {
	sc.load(s, ev)
	defer sc.release()
	sc.picked = sc.picked[:0]
	for _, g := range s.groups(ev, sc) {
		if g != nil {
			sc.picked = append(sc.picked, g.programs...)
		}
	}
	return sc.evaluate()
}

// evaluate returns the matches among the picked programs.
func (sc *Scratch) evaluate() []Match {
	sc.matched = sc.matched[:0]
	for _, p := range sc.picked {
		if sc.holds(&sc.set.programs[p].root) {
			sc.matched = append(sc.matched, p)
		}
	}
	return sc.results()
}

// groups returns the groups that hold all programs for the event's channel and
// id, some of them nil.
func (s *Set) groups(ev Event, sc *Scratch) (out [4]*group) {
	id := ev.EventID()
	sc.name, _ = s.fold.append(sc.name[:0], ev.Channel())
	if g := s.channels[string(sc.name)]; g != nil {
		out[0], out[1] = g.ids[id], g.any
	}
	out[2], out[3] = s.any.ids[id], s.any.any
	return out
}

// results turns the matched programs into matches, once per rule.
func (sc *Scratch) results() []Match {
	if len(sc.matched) == 0 {
		return nil
	}
	programs := sc.set.programs
	slices.SortFunc(sc.matched, func(a, b int32) int {
		if d := programs[a].rule.index - programs[b].rule.index; d != 0 {
			return int(d)
		}
		return int(a - b)
	})
	out := make([]Match, 0, len(sc.matched))
	for _, p := range sc.matched {
		r := programs[p].rule
		if n := len(out); n > 0 && out[n-1].Rule == r {
			continue
		}
		out = append(out, Match{Rule: r, Fields: sc.explain(nil, &programs[p].root), fields: programs[p].fields})
	}
	return out
}

// explain collects the values that made a tree hold: of an AND all of its kids,
// of an OR those that hold, of a NOT nothing.
func (sc *Scratch) explain(out []MatchedField, n *node) []MatchedField {
	switch n.op {
	case opAnd, opOr:
		for i := range n.kids {
			if n.op == opAnd || sc.holds(&n.kids[i]) {
				out = sc.explain(out, &n.kids[i])
			}
		}
	case opAtom:
		for i, m := range n.atom.matchers {
			if n.atom.negate || sc.accepts(n, i, m) {
				f := MatchedField{Selection: n.selection, Field: n.atom.field}
				if at := sc.acceptedAt(n, i, m); at >= 0 {
					f.Value = sc.values[at].raw
				}
				if !slices.Contains(out, f) {
					out = append(out, f)
				}
			}
		}
	case opNot:
	case opSelection: // bound trees have none
	}
	return out
}

// acceptedAt returns the value to show for a matcher, or -1.
func (sc *Scratch) acceptedAt(n *node, i int, m *matcher) int32 {
	switch {
	case n.field < 0:
		return sc.keywordAt(m)
	case n.atom.negate, m.kind == matchExists, m.kind == matchNull:
		return sc.first(n.field)
	case m.kind == matchRef:
		return sc.refAt(n.field, n.refs[i], m)
	}
	return sc.valueAt(n.field, m)
}
