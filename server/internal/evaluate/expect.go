package evaluate

import (
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// expect pairs each ask with the first answer of the same key that follows.
func (r *run) expect(e *framework.Expect) {
	asks, answers := map[string][]*assay.Hit{}, map[string][]*assay.Hit{}
	for _, h := range r.signals(e.Ask) {
		key := expectKey(e, h)
		asks[key] = append(asks[key], h)
	}
	for _, h := range r.signals(e.Answer) {
		key := expectKey(e, h)
		answers[key] = append(answers[key], h)
	}
	keys := make([]string, 0, len(asks))
	for key := range asks {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		r.pair(e, key, asks[key], answers[key])
	}
}

// expectKey is the first field of the key that is not empty. An event without
// any stands alone: nothing can answer it, and a person must close it.
func expectKey(e *framework.Expect, h *assay.Hit) string {
	for _, name := range e.Key {
		if value := h.Fields[name]; value != "" {
			return keyOf(name, value)
		}
	}
	return keyOf("", h.Ref.String())
}

// pair answers the asks of one key in order. Asks before an answer are all
// answered by it; the first of them sets the deadline.
func (r *run) pair(e *framework.Expect, key string, asks, answers []*assay.Hit) {
	for len(asks) > 0 {
		first := asks[0]
		i := slices.IndexFunc(answers, func(a *assay.Hit) bool { return compareSequence(a, first) >= 0 })
		var answer *assay.Hit
		pending := len(asks)
		if i >= 0 {
			answer = answers[i]
			answers = answers[i+1:]
			pending = 0
			for pending < len(asks) && compareSequence(asks[pending], answer) <= 0 {
				pending++
			}
		}
		r.settle(e, key, asks[:pending], answer)
		asks = asks[pending:]
	}
}

// compareSequence orders events of one channel by record where the time is the
// same.
func compareSequence(a, b *assay.Hit) int {
	if c := a.BookedAt.Compare(b.BookedAt); c != 0 {
		return c
	}
	if a.Channel == b.Channel && a.RecordID < b.RecordID {
		return -1
	} else if a.Channel == b.Channel && a.RecordID > b.RecordID {
		return 1
	}
	return 0
}

// settle judges the asks that one answer, or none, has answered.
func (r *run) settle(e *framework.Expect, key string, asks []*assay.Hit, answer *assay.Hit) {
	first := asks[0]
	deadline := r.deadline(first.BookedAt, r.parameters.Duration(e.Within))
	if answer != nil && !answer.BookedAt.After(deadline) {
		for _, h := range append(slices.Clone(asks), answer) {
			r.support(h)
		}
		return
	}
	if answer == nil && deadline.After(r.horizon) {
		r.doubt(assay.ReasonPending, "The answer to an event at "+stamp(first.BookedAt)+" is not due yet.", first.BookedAt)
		return
	}
	v := violation{
		key: keyOf(key, day(first.BookedAt)), title: expand(e.Title, first.Fields), from: deadline,
		hits: slices.Clone(asks), fields: first.Fields,
	}
	if answer != nil {
		v.to, v.end = answer.BookedAt, answer
	}
	r.violations = append(r.violations, v)
}

// deadline is the time allowed after a moment, not counting shutdowns.
func (r *run) deadline(from time.Time, allowed time.Duration) time.Time {
	at := from.Add(allowed)
	for _, s := range r.offTimes {
		if s.to.After(from) && s.from.Before(at) {
			at = at.Add(s.to.Sub(later(s.from, from)))
		}
	}
	return at
}
