package rule

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
	digest   [32]byte
}

// channelGroups are the groups of one channel: those of an event id and the one
// of rules that take any id.
type channelGroups struct {
	ids map[uint32]*group
	any *group
}

// group is the programs that look at the same records.
type group struct {
	programs []int32
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
