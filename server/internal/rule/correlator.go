package rule

import (
	"container/list"
	"encoding/binary"
	"time"
)

// Ref names an event to the caller of a Correlator: where it lies in the ledger.
type Ref struct {
	Position uint64
	Ordinal  uint32
}

// Observation is an event with the rules it matched.
type Observation struct {
	// Time is when the event happened. An event without a time, or with one
	// that cannot be, is not correlated.
	Time    time.Time
	Ref     Ref
	Event   Event
	Matches []Match
	// Received is when it arrived, for ForgetQuiet; zero where that is not used.
	Received time.Time
}

// Correlated is a correlation that has come to hold.
type Correlated struct {
	Rule *Rule
	// First and Last are the times of the earliest and latest event counted.
	First, Last time.Time
	// Group are the values of the rule's group-by fields, as last written.
	Group []Field
	// Count is what the condition was applied to.
	Count int
	// Refs are the events counted, in order of time, the latest maxRefs of them.
	Refs []Ref
}

// Times outside of these years are not those of events, and do not fit into 64
// bits of nanoseconds.
const minYear, maxYear = 1700, 2200

// maxRefs bounds the events that a result names.
const maxRefs = 256

// CorrelatorConfig bounds a Correlator. Zero values take the defaults.
type CorrelatorConfig struct {
	// MaxGroups bounds the groups of all correlations together (100,000) and
	// MaxEntries the matches they keep (1,000,000, about 100 bytes each). Past
	// them the groups that were quiet longest are forgotten, and counted.
	MaxGroups, MaxEntries int
	// Lateness is how much older than the newest event of its group an event may
	// be and still be counted (1 h).
	Lateness time.Duration
	// Track notes what changes, for Changes. Whoever sets it calls Changes now
	// and then.
	Track bool
}

// CorrelatorStats says what a Correlator holds and what it could not count:
// where a counter other than Groups and Entries moves, correlations may have
// been missed.
type CorrelatorStats struct {
	Groups, Entries int
	// EvictedGroups were forgotten for want of room while still in their window,
	// as far as known; DroppedEntries were the oldest of a group too large.
	EvictedGroups, DroppedEntries uint64
	// Late came after their group's window had passed; Untimed had no time;
	// Ungrouped had no value for a group-by or counted field.
	Late, Untimed, Ungrouped uint64
}

// Correlator evaluates the correlations of a Set over event time. Events may
// come out of order within Lateness. A correlation holds at an event if the
// matches of its group within the timespan that ends there satisfy its
// condition; Observe reports it when it comes to hold and not again until it has
// ceased to. One goroutine at a time may use a Correlator. Its state is lost
// with it unless it is kept (Changes) and given back (Restore).
type Correlator struct {
	cfg   CorrelatorConfig
	set   *Set
	users map[*Rule][]use
	stats CorrelatorStats
	// recent orders all groups, the most recently touched first.
	recent *list.List
	states map[*Rule]map[string]*window
	// touches numbers the touches of windows.
	touches uint64
	tracked tracked
}

// use is a correlation that refers to a rule, and as which of its rules.
type use struct {
	by *Rule
	at int
}

// occurrence is a match of a rule, or of a correlation, on its way up.
type occurrence struct {
	rule  *Rule
	match *Match // of the event; nil for a correlation
	group []Field
	// onset is set unless a correlation merely goes on to hold.
	onset bool
}

// NewCorrelator makes a Correlator for the Set's correlations.
func (s *Set) NewCorrelator(cfg CorrelatorConfig) *Correlator {
	if cfg.MaxGroups <= 0 {
		cfg.MaxGroups = 100_000
	}
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = 1_000_000
	}
	if cfg.Lateness <= 0 {
		cfg.Lateness = time.Hour
	}
	c := &Correlator{cfg: cfg, set: s, users: map[*Rule][]use{}, recent: list.New(), states: map[*Rule]map[string]*window{}}
	for _, r := range s.correlations {
		c.states[r] = map[string]*window{}
		for i, of := range r.Correlation.Rules {
			c.users[of] = append(c.users[of], use{by: r, at: i})
		}
	}
	return c
}

// Stats returns what the Correlator holds and has lost.
func (c *Correlator) Stats() CorrelatorStats { return c.stats }

// Observe counts an event's matches and returns the correlations that come to
// hold by it.
func (c *Correlator) Observe(o Observation) []Correlated {
	if len(c.users) == 0 || len(o.Matches) == 0 {
		return nil
	}
	var queue []occurrence
	for i := range o.Matches {
		m := &o.Matches[i]
		if len(c.users[m.Rule]) > 0 {
			queue = append(queue, occurrence{rule: m.Rule, match: m, onset: true})
		}
	}
	if len(queue) == 0 {
		return nil
	}
	if y := o.Time.Year(); y < minYear || y > maxYear {
		c.stats.Untimed++
		return nil
	}
	var out []Correlated
	// Correlations form no circle, so the queue ends.
	for len(queue) > 0 {
		up := queue[0]
		queue = queue[1:]
		for _, u := range c.users[up.rule] {
			r, next, holds := c.count(&o, up, u)
			if !holds {
				continue
			}
			queue = append(queue, next)
			if next.onset {
				out = append(out, r)
			}
		}
	}
	return out
}

// count adds an occurrence to a correlation's group and says whether the
// correlation holds.
func (c *Correlator) count(o *Observation, up occurrence, u use) (Correlated, occurrence, bool) {
	k := u.by.Correlation
	group, key, ok := c.groupOf(o.Event, up, k, k.GroupBy)
	if !ok {
		return Correlated{}, occurrence{}, false
	}
	e := tally{at: o.Time.UnixNano(), ref: o.Ref, rule: int32(u.at)}
	switch k.Type {
	case EventCount:
		if !up.onset {
			return Correlated{}, occurrence{}, false
		}
	case ValueCount:
		if _, e.value, ok = c.groupOf(o.Event, up, k, k.Fields); !ok || !up.onset {
			return Correlated{}, occurrence{}, false
		}
	default:
		e.value = string(binary.AppendUvarint(nil, uint64(u.at)))
	}
	w := c.window(u.by, key)
	if !o.Received.IsZero() {
		w.received = o.Received.UnixNano()
	}
	v, ok := w.add(c, k, e)
	c.shrink(w)
	if !ok {
		return Correlated{}, occurrence{}, false
	}
	r := Correlated{Rule: u.by, Group: group, Count: v.count, Refs: v.refs,
		First: time.Unix(0, v.first).UTC(), Last: time.Unix(0, v.last).UTC()}
	return r, occurrence{rule: u.by, match: up.match, group: group, onset: v.onset}, true
}

// groupOf returns the values of fields of an occurrence and a key of them, equal
// for values equal up to case.
func (c *Correlator) groupOf(ev Event, up occurrence, k *Correlation, names []string) ([]Field, string, bool) {
	group := make([]Field, 0, len(names))
	var key []byte
	for _, name := range names {
		v, ok := up.value(ev, k, name)
		if !ok {
			c.stats.Ungrouped++
			return nil, "", false
		}
		group = append(group, Field{Name: name, Value: v})
		folded, _ := c.set.fold.append(nil, v)
		key = appendText(key, string(folded))
	}
	return group, string(key), true
}

// value returns a field of the occurrence under the name a correlation uses: by
// its alias for the rule, or else a group-by value of the correlation that
// occurred, or else a field of the event.
func (o *occurrence) value(ev Event, k *Correlation, name string) (string, bool) {
	of := k.aliases[name]
	if to, ok := of[o.rule.Name]; ok && o.rule.Name != "" {
		name = to
	} else if to, ok := of[o.rule.ID]; ok && o.rule.ID != "" {
		name = to
	}
	for _, f := range o.group {
		if f.Name == name {
			return f.Value, true
		}
	}
	return o.match.Value(ev, name)
}

// window returns a correlation's group, made if need be, and marks it touched.
func (c *Correlator) window(r *Rule, key string) *window {
	w := c.states[r][key]
	if w == nil {
		w = &window{rule: r, key: key}
		w.element = c.recent.PushFront(w)
		c.states[r][key] = w
		c.stats.Groups++
	} else {
		c.recent.MoveToFront(w.element)
	}
	c.touches++
	w.touched = c.touches
	c.track(w)
	return w
}

// shrink forgets the quietest groups until the bounds hold, sparing one.
func (c *Correlator) shrink(spare *window) {
	for c.stats.Groups > c.cfg.MaxGroups || c.stats.Entries > c.cfg.MaxEntries {
		w, _ := c.recent.Back().Value.(*window)
		if w == spare {
			return
		}
		c.forget(w)
		c.stats.EvictedGroups++
	}
}

func (c *Correlator) forget(w *window) {
	c.untrack(w)
	c.recent.Remove(w.element)
	delete(c.states[w.rule], w.key)
	c.stats.Groups--
	c.stats.Entries -= len(w.entries)
}

// Expire forgets the groups of which no event can be counted any more once all
// further events are later than before, the caller's watermark of event time.
func (c *Correlator) Expire(before time.Time) {
	for e := c.recent.Back(); e != nil; {
		w, _ := e.Value.(*window)
		e = e.Prev()
		span := w.rule.Correlation.Timespan
		if n := len(w.entries); n == 0 || w.entries[n-1].at < before.Add(-span).UnixNano() {
			c.forget(w)
		}
	}
}
