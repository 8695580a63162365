package rule

import "slices"

// group is the programs that look at the same records (a channel, an event id)
// with the prefilter that picks those worth evaluating.
type group struct {
	programs []int32
	// always are the programs that have no required literal.
	always []int32
	scans  []scan
}

// scan is the automaton of one field of a group.
type scan struct {
	field int32 // -1: every value of the event
	auto  *automaton
	// base numbers the automaton's patterns within the Set.
	base int32
	// posts[starts[i]:starts[i+1]] are the programs that pattern i serves.
	starts []int32
	posts  []post
}

// post says that a pattern is one of the alternatives of a set of a program.
type post struct {
	program int32
	bit     uint8
	// all has the bits of all sets the program has in this group.
	all uint8
}

// Scores of the prefilter's choice. A literal that many rules of a group name
// (\powershell.exe) is one that many events contain; a short one is found by
// chance; the provider is nearly the same for all records of a group.
const (
	scoreProvider = 500
	scoreKeyword  = 20
	// scoreUseless is that of a set which is nearly always found: scanning for it
	// would not spare an evaluation.
	scoreUseless = 1000
)

func scoreLength(n int) int {
	switch n {
	case 1:
		return 1000
	case 2:
		return 200
	case 3:
		return 40
	case 4:
		return 10
	}
	return 0
}

// build chooses each program's required literals and compiles the automata.
// patterns is the number of patterns in use, which it returns increased.
func (g *group) build(s *Set, patterns int32) int32 {
	popular := map[literal]int{}
	x := &extractor{fold: s.fold, eventID: s.fieldNumber(fieldEventID)}
	for _, p := range g.programs {
		x.tally(&s.programs[p].root, popular)
	}
	provider := s.fieldNumber(fieldProvider)
	x.score = func(l literal) int {
		n := popular[l] + scoreLength(len(l.text)) + 1
		switch l.field {
		case provider:
			n += scoreProvider
		case -1:
			n += scoreKeyword
		}
		return n
	}
	byField := map[int32]map[string][]post{}
	for _, p := range g.programs {
		sets := x.choose(x.required(&s.programs[p].root))
		if len(sets) == 0 {
			g.always = append(g.always, p)
		}
		all := uint8(1<<len(sets) - 1)
		for i, set := range sets {
			for _, l := range set {
				if byField[l.field] == nil {
					byField[l.field] = map[string][]post{}
				}
				byField[l.field][l.text] = append(byField[l.field][l.text], post{p, 1 << i, all})
			}
		}
	}
	for _, field := range sortedKeys(byField) {
		sc := newScan(field, byField[field], patterns)
		patterns += int32(len(sc.starts) - 1)
		g.scans = append(g.scans, sc)
	}
	return patterns
}

func newScan(field int32, posts map[string][]post, base int32) scan {
	texts := make([]string, 0, len(posts))
	for t := range posts {
		texts = append(texts, t)
	}
	texts = sortedTexts(texts)
	sc := scan{field: field, auto: newAutomaton(texts), base: base, starts: []int32{0}}
	for _, t := range texts {
		sc.posts = append(sc.posts, slices.Compact(posts[t])...)
		sc.starts = append(sc.starts, int32(len(sc.posts)))
	}
	return sc
}

// tally counts in how many places the rules of a group name a literal.
func (x *extractor) tally(n *node, count map[literal]int) {
	if n.op == opNot {
		return
	}
	for i := range n.kids {
		x.tally(&n.kids[i], count)
	}
	if n.op != opAtom || n.atom.negate {
		return
	}
	for _, m := range n.atom.matchers {
		for _, l := range x.ofMatcher(n.field, m) {
			count[l]++
		}
	}
}

func sortedKeys(m map[int32]map[string][]post) []int32 {
	keys := make([]int32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// fieldNumber is the number of a field, -2 if no rule asks for it.
func (s *Set) fieldNumber(name string) int32 {
	if id, ok := s.fields[name]; ok {
		return id
	}
	return -2
}

// candidates adds the group's programs that the event may match to sc.matched.
func (g *group) candidates(sc *Scratch) {
	sc.picked = append(sc.picked, g.always...)
	for i := range g.scans {
		s := &g.scans[i]
		if s.field >= 0 {
			for at := sc.first(s.field); at >= 0; at = sc.values[at].next {
				s.run(sc, &sc.values[at])
			}
			continue
		}
		sc.loadKeywords()
		for at := range sc.data {
			s.run(sc, &sc.values[at])
		}
		for at := sc.words; at < sc.wordsEnd; at++ {
			s.run(sc, &sc.values[at])
		}
	}
}

// run scans one value and picks the programs of the patterns found.
func (s *scan) run(sc *Scratch, v *value) {
	text := sc.folded(v)
	if v.dashes {
		sc.dash = appendDashed(sc.dash[:0], text)
		text = sc.dash
	}
	a := s.auto
	rows, row, out := a.rows, a.row, a.out
	state := int32(0)
	for _, c := range text {
		if c == '/' {
			c = '-'
		}
		// Most of a text is spent in states that have a row.
		if r := row[state]; r != 0 {
			state = rows[r-1][c]
		} else {
			state = a.next(state, c)
		}
		for o := out[state]; o != 0; o = out[a.fail[o]] {
			s.pick(sc, a.ends[o]-1)
		}
	}
}

// pick notes a pattern, once per event, and takes the programs of which all sets
// have been seen.
func (s *scan) pick(sc *Scratch, pattern int32) {
	if sc.seen[s.base+pattern] == sc.stamp {
		return
	}
	sc.seen[s.base+pattern] = sc.stamp
	for _, p := range s.posts[s.starts[pattern]:s.starts[pattern+1]] {
		m := &sc.masks[p.program]
		if m.stamp != sc.stamp {
			*m = mask{stamp: sc.stamp}
		}
		if had := m.sets; had|p.bit != had {
			m.sets |= p.bit
			if m.sets == p.all {
				sc.picked = append(sc.picked, p.program)
			}
		}
	}
}
