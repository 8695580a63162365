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
		return w.ordered(k, 0, last)
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
func (w *window) ordered(k *Correlation, lowest, last int) (from, count int) {
	end := w.entries[last]
	step := int32(len(k.Rules) - 1)
	if end.rule != step {
		return 0, 0
	}
	// Backwards, always taking the nearest entry of the rule before, gives the
	// latest beginning.
	at := last
	for i := last - 1; i >= lowest && step > 0; i-- {
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
// any entry up to a timespan later.
func (w *window) addLate(k *Correlation, at int) (verdict, bool) {
	w.recount(k)
	newest := len(w.entries) - 1
	if w.entries[newest].at < w.entries[at].at+int64(k.Timespan) {
		_, count := w.countAt(k, newest)
		w.active = k.holds(count)
	}
	for last := at; last <= newest && w.entries[last].at < w.entries[at].at+int64(k.Timespan); last++ {
		from, count := w.countAt(k, last)
		if count == 0 || from > at || !k.holds(count) {
			continue
		}
		v := w.verdict(k, from, last, count)
		// A span that was already reported goes on; it does not begin again.
		v.onset = w.reported == 0 || w.reported < v.first || w.reported > v.last+int64(k.Timespan)
		w.reported = max(w.reported, v.last)
		return v, true
	}
	return verdict{}, false
}

// countAt counts the span that ends at an entry, from its entries.
func (w *window) countAt(k *Correlation, last int) (from, count int) {
	if k.Type == TemporalOrdered {
		return w.ordered(k, 0, last)
	}
	begin := w.entries[last].at - int64(k.Timespan)
	from = last
	for from > 0 && w.entries[from-1].at > begin {
		from--
	}
	if k.Type == EventCount {
		return from, last - from + 1
	}
	values := map[string]struct{}{}
	for _, e := range w.entries[from : last+1] {
		values[e.value] = struct{}{}
	}
	return from, len(values)
}

// recount makes the running count of the newest span anew, after an entry came
// in below it.
func (w *window) recount(k *Correlation) {
	begin := w.entries[len(w.entries)-1].at - int64(k.Timespan)
	w.start = 0
	for w.entries[w.start].at <= begin {
		w.start++
	}
	if w.values == nil {
		return
	}
	clear(w.values)
	for _, e := range w.entries[w.start:] {
		w.values[e.value]++
	}
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
