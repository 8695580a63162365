package rule

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"
)

// Kept is a window of a correlation as it is stored: whoever gives all of them
// back to a Correlator of the same rules has the one that they came from.
type Kept struct {
	// Rule is the correlation's id and Key a digest of its group.
	Rule string
	Key  [32]byte
	// Touched orders the windows by their newest match.
	Touched uint64
	State   []byte
}

// tracked is what has changed since Changes was called.
type tracked struct {
	dirty map[*window]struct{}
	gone  map[goneKey]struct{}
}

type goneKey struct {
	rule string
	key  [32]byte
}

func (w *window) name() goneKey {
	return goneKey{w.rule.ID, sha256.Sum256([]byte(w.key))}
}

func (c *Correlator) track(w *window) {
	if !c.cfg.Track {
		return
	}
	if c.tracked.dirty == nil {
		c.tracked.dirty, c.tracked.gone = map[*window]struct{}{}, map[goneKey]struct{}{}
	}
	c.tracked.dirty[w] = struct{}{}
	delete(c.tracked.gone, w.name())
}

func (c *Correlator) untrack(w *window) {
	if !c.cfg.Track {
		return
	}
	c.track(w)
	delete(c.tracked.dirty, w)
	c.tracked.gone[w.name()] = struct{}{}
}

// Changes returns the windows that were touched and those that were forgotten
// since it was last called, in a fixed order. Of the forgotten, State is nil.
func (c *Correlator) Changes() (touched, gone []Kept) {
	for w := range c.tracked.dirty {
		name := w.name()
		touched = append(touched, Kept{Rule: name.rule, Key: name.key, Touched: w.touched, State: w.encode(basis(w.rule))})
	}
	for g := range c.tracked.gone {
		gone = append(gone, Kept{Rule: g.rule, Key: g.key})
	}
	c.tracked = tracked{}
	slices.SortFunc(touched, compareKept)
	slices.SortFunc(gone, compareKept)
	return touched, gone
}

func compareKept(a, b Kept) int {
	if d := strings.Compare(a.Rule, b.Rule); d != 0 {
		return d
	}
	return bytes.Compare(a.Key[:], b.Key[:])
}

// Restore gives a new Correlator the windows that another kept. Those of
// correlations that it does not have, or that have changed since, are left out
// and count as forgotten. It fails on what no Correlator wrote.
func (c *Correlator) Restore(kept []Kept) error {
	kept = slices.Clone(kept)
	slices.SortStableFunc(kept, func(a, b Kept) int {
		switch {
		case a.Touched < b.Touched:
			return -1
		case a.Touched > b.Touched:
			return 1
		}
		return compareKept(a, b)
	})
	for i := range kept {
		k := &kept[i]
		r := c.correlation(k.Rule)
		if r == nil {
			c.forgot(k)
			continue
		}
		w := &window{rule: r, touched: k.Touched}
		same, err := w.decode(k.State, basis(r))
		if err != nil {
			return err
		}
		if !same {
			c.forgot(k)
			continue
		}
		c.adopt(w)
	}
	return nil
}

func (c *Correlator) forgot(k *Kept) {
	if !c.cfg.Track {
		return
	}
	if c.tracked.dirty == nil {
		c.tracked.dirty, c.tracked.gone = map[*window]struct{}{}, map[goneKey]struct{}{}
	}
	c.tracked.gone[goneKey{k.Rule, k.Key}] = struct{}{}
}

func (c *Correlator) correlation(id string) *Rule {
	for _, r := range c.set.correlations {
		if r.ID == id && id != "" {
			return r
		}
	}
	return nil
}

// adopt takes in a window that is touched later than all others.
func (c *Correlator) adopt(w *window) {
	if old := c.states[w.rule][w.key]; old != nil {
		c.recent.Remove(old.element)
		c.stats.Groups--
		c.stats.Entries -= len(old.entries)
	}
	w.element = c.recent.PushFront(w)
	c.states[w.rule][w.key] = w
	c.stats.Groups++
	c.stats.Entries += len(w.entries)
	c.touches = max(c.touches, w.touched)
	w.recount()
}

// Succeed takes over the windows of the Correlator of an earlier set, for the
// correlations that have not changed, and what it has lost. The earlier one must
// not be used any more.
func (c *Correlator) Succeed(earlier *Correlator) error {
	var kept []Kept
	for e := earlier.recent.Back(); e != nil; e = e.Prev() {
		w, _ := e.Value.(*window)
		name := w.name()
		kept = append(kept, Kept{Rule: name.rule, Key: name.key, Touched: w.touched, State: w.encode(basis(w.rule))})
	}
	if err := c.Restore(kept); err != nil {
		return err
	}
	c.touches = max(c.touches, earlier.touches)
	for g := range earlier.tracked.gone {
		c.forgot(&Kept{Rule: g.rule, Key: g.key})
	}
	// What was touched and not yet asked for must be told by this one.
	for w := range earlier.tracked.dirty {
		if r := c.correlation(w.rule.ID); r != nil && c.states[r][w.key] != nil {
			c.track(c.states[r][w.key])
		}
	}
	s := earlier.stats
	c.stats.EvictedGroups, c.stats.DroppedEntries = s.EvictedGroups, s.DroppedEntries
	c.stats.Late, c.stats.Untimed, c.stats.Ungrouped = s.Late, s.Untimed, s.Ungrouped
	return nil
}

// ForgetQuiet forgets the groups that had their newest match received before a
// time less their timespan.
func (c *Correlator) ForgetQuiet(before time.Time) {
	for e := c.recent.Back(); e != nil; {
		w, _ := e.Value.(*window)
		e = e.Prev()
		if w.received >= before.UnixNano() {
			return // those touched later were received later, but for clocks' jitter
		}
		if w.received < before.Add(-w.rule.Correlation.Timespan).UnixNano() {
			c.forget(w)
		}
	}
}

// basis is a digest of all that decides what a correlation counts.
func basis(r *Rule) [32]byte {
	b := append([]byte("assay correlation basis v1\x00"), r.Digest[:]...)
	if r.Correlation != nil {
		for _, of := range r.Correlation.Rules {
			d := basis(of)
			b = append(b, d[:]...)
		}
	}
	return sha256.Sum256(b)
}

// Needed lists the fields that correlations may ask of an event that a rule
// matched, by the names that Match.Value takes; ok is false for a rule that none
// refers to.
func (s *Set) Needed(r *Rule) (fields []string, ok bool) {
	for _, c := range s.correlations {
		k := c.Correlation
		if !slices.Contains(k.Rules, r) {
			continue
		}
		ok = true
		for _, name := range slices.Concat(k.GroupBy, k.Fields) {
			fields = append(fields, k.nameFor(r, name))
		}
		fields = append(fields, s.neededAbove(c)...)
	}
	slices.Sort(fields)
	return slices.Compact(fields), ok
}

// neededAbove are the fields that correlations of a correlation ask of the event
// it holds by: those that its own group does not answer.
func (s *Set) neededAbove(c *Rule) (fields []string) {
	for _, above := range s.correlations {
		k := above.Correlation
		if !slices.Contains(k.Rules, c) {
			continue
		}
		for _, name := range slices.Concat(k.GroupBy, k.Fields) {
			if name = k.nameFor(c, name); !slices.Contains(c.Correlation.GroupBy, name) {
				fields = append(fields, name)
			}
		}
		fields = append(fields, s.neededAbove(above)...)
	}
	return fields
}

// nameFor is the name that a correlation's field has in a rule.
func (k *Correlation) nameFor(r *Rule, name string) string {
	of := k.aliases[name]
	if to, ok := of[r.Name]; ok && r.Name != "" {
		return to
	}
	if to, ok := of[r.ID]; ok && r.ID != "" {
		return to
	}
	return name
}

// keptFormat is the first byte of a stored window.
const keptFormat = 1

// encode writes a window down.
func (w *window) encode(basis [32]byte) []byte {
	b := append([]byte{keptFormat}, basis[:]...)
	active := byte(0)
	if w.active {
		active = 1
	}
	b = append(b, active)
	b = binary.AppendVarint(b, w.reported)
	b = binary.AppendVarint(b, w.received)
	b = appendText(b, w.key)
	b = binary.AppendUvarint(b, uint64(len(w.entries)))
	at := int64(0)
	for i := range w.entries {
		e := &w.entries[i]
		b = binary.AppendVarint(b, e.at-at)
		b = binary.AppendUvarint(b, e.ref.Position)
		b = binary.AppendUvarint(b, uint64(e.ref.Ordinal))
		b = binary.AppendUvarint(b, uint64(e.rule))
		b = appendText(b, e.value)
		at = e.at
	}
	return b
}

var errKept = errors.New("the stored state of a correlation cannot be read")

// decode reads what encode wrote. same is false where it is of other rules.
func (w *window) decode(state []byte, basis [32]byte) (same bool, err error) {
	if len(state) < 34 || state[0] != keptFormat || state[33] > 1 {
		return false, errKept
	}
	if [32]byte(state[1:33]) != basis {
		return false, nil
	}
	w.active = state[33] == 1
	r := keptReader{rest: state[34:]}
	w.reported, w.received, w.key = r.signed(), r.signed(), r.text()
	n := r.unsigned()
	if n > maxCorrelationCount+1 || r.failed {
		return false, errKept
	}
	at := int64(0)
	for range n {
		e := tally{at: at + r.signed(), ref: Ref{Position: r.unsigned()}}
		ordinal, rule := r.unsigned(), r.unsigned()
		e.value = r.text()
		if r.failed || ordinal > 1<<32-1 || rule >= uint64(len(w.rule.Correlation.Rules)) || len(w.entries) > 0 && e.at < at {
			return false, errKept
		}
		e.ref.Ordinal, e.rule = uint32(ordinal), int32(rule)
		w.entries = append(w.entries, e)
		at = e.at
	}
	if len(r.rest) != 0 {
		return false, errKept
	}
	return true, nil
}

// recount makes what is not stored: the values of the span that ends at the
// newest entry.
func (w *window) recount() {
	k := w.rule.Correlation
	if len(w.entries) == 0 || k.Type == TemporalOrdered {
		return
	}
	begin := w.entries[len(w.entries)-1].at - int64(k.Timespan)
	for w.entries[w.start].at <= begin {
		w.start++
	}
	if k.Type == EventCount {
		return
	}
	w.values = map[string]int{}
	for i := w.start; i < len(w.entries); i++ {
		w.values[w.entries[i].value]++
	}
}

// keptReader reads numbers and texts; after a failure it returns zeroes.
type keptReader struct {
	rest   []byte
	failed bool
}

func (r *keptReader) took(n int) {
	if n <= 0 {
		r.failed, r.rest = true, nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *keptReader) signed() int64 {
	v, n := binary.Varint(r.rest)
	r.took(n)
	return v
}

func (r *keptReader) unsigned() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.took(n)
	return v
}

func (r *keptReader) text() string {
	n := r.unsigned()
	if r.failed || n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
