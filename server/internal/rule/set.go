package rule

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Set is a compiled set of rules. It is immutable and may be used by any number
// of goroutines at once.
type Set struct {
	fold     *folder
	rules    []*Rule
	programs []*program
	// correlations are the correlation rules, each after those it refers to.
	correlations []*Rule

	// fields numbers the names rules ask for; names and system are by number.
	fields map[string]int32
	names  []string
	system []bool

	channels map[string]*channelGroups
	any      *channelGroups
	// patterns is the number of texts that the prefilter looks for.
	patterns int32
	digest   [32]byte
}

// channelGroups are the groups of one channel: those of an event id and the one
// of rules that take any id.
type channelGroups struct {
	ids map[uint32]*group
	any *group
}

// Rules returns the rules and correlations in the order of their sources. The
// slice is the caller's, the rules are shared and must not be changed.
func (s *Set) Rules() []*Rule { return append([]*Rule(nil), s.rules...) }

// Digest is SHA-256 over the digests of all rules, the logsource tables and the
// placeholders: two Sets of one digest answer alike.
func (s *Set) Digest() [32]byte { return s.digest }

func (s *Set) setFields(fields map[string]int32) {
	s.fields = fields
	s.names = make([]string, len(fields))
	s.system = make([]bool, len(fields))
	for name, id := range fields {
		s.names[id] = name
		s.system[id] = isSystemField(name)
	}
}

// index groups the programs by channel and event id.
func (s *Set) index() {
	s.channels = map[string]*channelGroups{}
	s.any = &channelGroups{ids: map[uint32]*group{}}
	for i, p := range s.programs {
		if p.channels == nil {
			s.any.add(p.ids, int32(i))
			continue
		}
		for _, name := range p.channels {
			g := s.channels[name]
			if g == nil {
				g = &channelGroups{ids: map[uint32]*group{}}
				s.channels[name] = g
			}
			g.add(p.ids, int32(i))
		}
	}
	s.share()
	s.eachGroup(func(g *group) { s.patterns = g.build(s, s.patterns) })
}

// share lets channels whose groups hold the same programs (Sysmon's and the
// kernel driver's) have one table.
func (s *Set) share() {
	same := map[string]*channelGroups{}
	for _, name := range slices.Sorted(maps.Keys(s.channels)) {
		key := s.channels[name].key()
		if first := same[key]; first != nil {
			s.channels[name] = first
		} else {
			same[key] = s.channels[name]
		}
	}
}

// key says which programs the groups hold.
func (c *channelGroups) key() string {
	var b []byte
	add := func(id uint64, g *group) {
		b = binary.AppendUvarint(b, id)
		b = binary.AppendUvarint(b, uint64(len(g.programs)))
		for _, p := range g.programs {
			b = binary.AppendUvarint(b, uint64(p))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.ids)) {
		add(uint64(id)+1, c.ids[id])
	}
	if c.any != nil {
		add(0, c.any)
	}
	return string(b)
}

// eachGroup visits the groups in a fixed order, those that channels share once.
func (s *Set) eachGroup(visit func(*group)) {
	all := []*channelGroups{s.any}
	seen := map[*channelGroups]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.channels)) {
		if c := s.channels[name]; !seen[c] {
			seen[c] = true
			all = append(all, c)
		}
	}
	for _, c := range all {
		if c.any != nil {
			visit(c.any)
		}
		for _, id := range slices.Sorted(maps.Keys(c.ids)) {
			visit(c.ids[id])
		}
	}
}

func (c *channelGroups) add(ids []uint32, program int32) {
	if ids == nil {
		if c.any == nil {
			c.any = &group{}
		}
		c.any.programs = append(c.any.programs, program)
		return
	}
	for _, id := range ids {
		g := c.ids[id]
		if g == nil {
			g = &group{}
			c.ids[id] = g
		}
		g.programs = append(g.programs, program)
	}
}

// Stats describes a Set.
type Stats struct {
	// Programs are the rules times the log sources they read.
	Programs int
	// Unfiltered are the programs that are evaluated for each event of their log
	// source, since there is no text that they need.
	Unfiltered int
	// Groups is the number of (channel, event id) groups.
	Groups int
	// Patterns, States and TableBytes are the texts, states and memory of the
	// prefilter.
	Patterns, States, TableBytes int
}

// Stats counts what the Set is made of.
func (s *Set) Stats() Stats {
	st := Stats{Programs: len(s.programs), Patterns: int(s.patterns)}
	unfiltered := map[int32]struct{}{}
	s.eachGroup(func(g *group) {
		st.Groups++
		for _, p := range g.always {
			unfiltered[p] = struct{}{}
		}
		for i := range g.scans {
			sc := &g.scans[i]
			st.States += len(sc.auto.labels)
			st.TableBytes += sc.auto.bytes() + 4*len(sc.starts) + 8*len(sc.posts)
		}
	})
	st.Unfiltered = len(unfiltered)
	return st
}
