package rule

import (
	"container/list"
	"slices"
)

// tally is a match counted in a group of a correlation.
type tally struct {
	at    int64 // Unix nanoseconds
	ref   Ref
	rule  int32  // which of the correlation's rules
	value string // what is counted distinctly; empty for event_count
}

// window is a group of a correlation: its matches of the last timespan and
// lateness.
type window struct {
	rule    *Rule
	key     string
	element *list.Element
	// entries are in order of time; of one event, later rules come first, so
	// that an ordered sequence never takes two of its steps by one event.
	entries []tally
	// active is set while the condition holds at the newest event.
	active bool
	// reported is the time of the last event reported.
	reported int64
	// touched is the number of the newest touch, received when its event came.
	touched  uint64
	received int64
	// values counts the distinct values of entries[start:], the span that ends
	// at the newest event, for the types that count values.
	values map[string]int
	start  int
}

// verdict is a correlation that holds.
type verdict struct {
	first, last int64
	count       int
	refs        []Ref
	onset       bool
}

// add counts a match and says whether the correlation holds by it.
func (w *window) add(c *Correlator, k *Correlation, e tally) (verdict, bool) {
	newest := e.at
	if n := len(w.entries); n > 0 {
		newest = max(newest, w.entries[n-1].at)
	}
	horizon := newest - int64(k.Timespan) - int64(c.cfg.Lateness)
	if e.at <= horizon {
		c.stats.Late++
		return verdict{}, false
	}
	w.drop(c, horizon)
	if len(w.entries) == 0 {
		w.active = false // all that it held by is long over
	}
	at, _ := slices.BinarySearchFunc(w.entries, e, compareTally)
	inOrder := at == len(w.entries)
	if at > 0 && inOrder && w.entries[at-1].at <= e.at-int64(k.Timespan) {
		w.active = false // nothing was left of what it held by
	}
	w.entries = slices.Insert(w.entries, at, e)
	c.stats.Entries++
	if !inOrder {
		return w.addLate(k, at)
	}
	from, count := w.countNewest(k)
	holds := k.holds(count)
	if !holds {
		w.active = false
		return verdict{}, false
	}
	v := w.verdict(k, from, at, count)
	v.onset = !w.active
	w.active, w.reported = true, e.at
	return v, true
}

func compareTally(a, b tally) int {
	switch {
	case a.at != b.at:
		if a.at < b.at {
			return -1
		}
		return 1
	case a.ref != b.ref:
		return -1 // of one time, in order of arrival: b is the new one
	default:
		return int(b.rule - a.rule)
	}
}

// drop removes what is older than the horizon, and the oldest if there is too
// much.
func (w *window) drop(c *Correlator, horizon int64) {
	n := 0
	for n < len(w.entries) && w.entries[n].at <= horizon {
		n++
	}
	if over := len(w.entries) - maxCorrelationCount; over >= n {
		c.stats.DroppedEntries += uint64(over + 1 - n)
		n = over + 1
	}
	if n == 0 {
		return
	}
	for i := w.start; i < n; i++ {
		w.uncount(w.entries[i].value)
	}
	w.entries = slices.Delete(w.entries, 0, n)
	w.start = max(w.start-n, 0)
	c.stats.Entries -= n
}

func (w *window) uncount(value string) {
	if w.values == nil {
		return
	}
	if w.values[value]--; w.values[value] <= 0 {
		delete(w.values, value)
	}
}

// countNewest returns the count of the span that ends at the newest entry, which
// was just appended, and where the span begins.
func (w *window) countNewest(k *Correlation) (from, count int) {
	last := len(w.entries) - 1
	if k.Type == TemporalOrdered {
		return w.ordered(k, last)
	}
	begin := w.entries[last].at - int64(k.Timespan)
	for w.entries[w.start].at <= begin {
		w.uncount(w.entries[w.start].value)
		w.start++
	}
	if k.Type == EventCount {
		return w.start, last - w.start + 1
	}
	if w.values == nil {
		w.values = map[string]int{}
	}
	w.values[w.entries[last].value]++
	return w.start, len(w.values)
}

// ordered looks for a sequence of all rules in their order that ends at the
// entry last and lies within the timespan. It returns where the latest such
// sequence begins, and the number of rules or else 0.
func (w *window) ordered(k *Correlation, last int) (from, count int) {
	end := w.entries[last]
	step := int32(len(k.Rules) - 1)
	if end.rule != step {
		return 0, 0
	}
	// Backwards, always taking the nearest entry of the rule before, gives the
	// latest beginning.
	at := last
	for i := last - 1; i >= 0 && step > 0; i-- {
		e := &w.entries[i]
		if e.at <= end.at-int64(k.Timespan) {
			break
		}
		if e.rule == step-1 && (e.at != w.entries[at].at || e.ref != w.entries[at].ref) {
			at, step = i, step-1
		}
	}
	if step > 0 {
		return 0, 0
	}
	return at, len(k.Rules)
}

// addLate handles an entry that is not the newest: it may complete the span of
// any entry up to a timespan later. It takes time in proportion to the entries
// within a timespan of the late one.
func (w *window) addLate(k *Correlation, at int) (verdict, bool) {
	if w.entries[at].at > w.entries[len(w.entries)-1].at-int64(k.Timespan) {
		if w.values != nil {
			w.values[w.entries[at].value]++
		}
	} else {
		w.start++ // the newest span begins one further on
	}
	var found verdict
	s := newSpan(k, w.entries, at)
	for last := at; last < len(w.entries) && w.entries[last].at < w.entries[at].at+int64(k.Timespan); last++ {
		from, count := s.extend(last)
		holds := count > 0 && from <= at && k.holds(count)
		if last == len(w.entries)-1 {
			w.active = holds
		}
		if holds && found.count == 0 {
			found = w.verdict(k, from, last, count)
		}
	}
	if found.count == 0 {
		return verdict{}, false
	}
	// A span that was already reported goes on; it does not begin again.
	found.onset = w.reported == 0 || w.reported < found.first || w.reported > found.last+int64(k.Timespan)
	w.reported = max(w.reported, found.last)
	return found, true
}

// span is the entries of one timespan while its end moves on.
type span struct {
	k       *Correlation
	entries []tally
	from    int
	values  map[string]int
	// begun is, for each step of an ordered correlation, where the latest
	// sequence up to it begins; -1 for none.
	begun []int
}

// newSpan makes the span that is to end at an entry, without that entry.
func newSpan(k *Correlation, entries []tally, last int) *span {
	s := &span{k: k, entries: entries, from: last}
	for s.from > 0 && entries[s.from-1].at > entries[last].at-int64(k.Timespan) {
		s.from--
	}
	switch k.Type {
	case ValueCount, Temporal:
		s.values = map[string]int{}
	case TemporalOrdered:
		s.begun = slices.Repeat([]int{-1}, len(k.Rules))
	case EventCount: // entries alone
	}
	for i := s.from; i < last; i++ {
		s.take(i)
	}
	return s
}

func (s *span) take(i int) {
	e := &s.entries[i]
	if s.values != nil {
		s.values[e.value]++
	}
	if s.begun == nil {
		return
	}
	if e.rule == 0 {
		s.begun[0] = i
	} else {
		s.begun[e.rule] = s.begun[e.rule-1]
	}
}

// extend moves the end to the next entry and returns the count and where what
// was counted begins.
func (s *span) extend(last int) (from, count int) {
	s.take(last)
	for begin := s.entries[last].at - int64(s.k.Timespan); s.entries[s.from].at <= begin; s.from++ {
		if s.values == nil {
			continue
		}
		if v := s.entries[s.from].value; s.values[v] > 1 {
			s.values[v]--
		} else {
			delete(s.values, v)
		}
	}
	switch {
	case s.values != nil:
		return s.from, len(s.values)
	case s.begun == nil:
		return s.from, last - s.from + 1
	}
	final := len(s.begun) - 1
	if begun := s.begun[final]; int(s.entries[last].rule) == final && begun >= s.from {
		return begun, len(s.begun)
	}
	return 0, 0
}

// verdict describes the span of entries from..last.
func (w *window) verdict(k *Correlation, from, last, count int) verdict {
	v := verdict{first: w.entries[from].at, last: w.entries[last].at, count: count}
	for i := max(from, last-maxRefs+1); i <= last; i++ {
		if r := w.entries[i].ref; len(v.refs) == 0 || v.refs[len(v.refs)-1] != r {
			v.refs = append(v.refs, r)
		}
	}
	return v
}
