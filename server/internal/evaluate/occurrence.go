package evaluate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// occurrences looks for events that must not be, less those that something
// recorded explains.
func (r *run) occurrences(list []framework.Occurrence) {
	for i := range list {
		o := &list[i]
		hits := r.signal(&o.Signal)
		var resolving []*assay.Hit
		if o.ResolvesWhen != nil {
			resolving = r.signal(&o.ResolvesWhen.Signal)
		}
		for _, h := range hits {
			switch explained, undecided := r.explain(o.Name, h); {
			case explained:
				if r.support(h) {
					r.explained++
				}
			case undecided:
				r.doubt(assay.ReasonPending, "What may explain an event at "+stamp(h.BookedAt)+" has not been projected yet.", h.BookedAt)
			default:
				v := violation{
					key: occurrenceKey(o, h), title: expand(o.Title, h.Fields), from: h.BookedAt,
					momentary: o.ResolvesWhen == nil, hits: []*assay.Hit{h}, fields: h.Fields,
				}
				if v.end = resolvedBy(o, h, resolving); v.end != nil {
					v.to = v.end.BookedAt
				}
				r.violations = append(r.violations, v)
			}
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// occurrenceKey tells findings apart: by the event itself, or by the fields of
// the key within a UTC day. An event is named by its record, which it keeps
// when a batch is sent again.
func occurrenceKey(o *framework.Occurrence, h *assay.Hit) string {
	parts := []string{o.Name}
	for _, name := range o.Key {
		parts = append(parts, h.Fields[name])
	}
	switch {
	case o.PerDay:
		parts = append(parts, day(h.BookedAt))
	case h.RecordID != 0:
		parts = append(parts, h.Channel, fmt.Sprint(h.RecordID), h.BookedAt.UTC().Format(time.RFC3339Nano))
	default:
		parts = append(parts, fmt.Sprint(h.Ref.Position), fmt.Sprint(h.Ref.Ordinal))
	}
	return keyOf(parts...)
}

// resolvedBy returns the first later hit that ended the violation, nil if none.
func resolvedBy(o *framework.Occurrence, h *assay.Hit, resolving []*assay.Hit) *assay.Hit {
	for _, r := range resolving {
		agrees := !slices.ContainsFunc(o.ResolvesWhen.Same, func(name string) bool {
			return !strings.EqualFold(r.Fields[name], h.Fields[name])
		})
		if agrees && compareHits(r, h) > 0 {
			return r
		}
	}
	return nil
}

// explain reports whether something recorded takes the blame, or could still
// turn up: then it is too early to tell.
func (r *run) explain(name string, h *assay.Hit) (explained, undecided bool) {
	for i := range r.check.ExplainedBy {
		e := &r.check.ExplainedBy[i]
		if !e.Explains(name) {
			continue
		}
		if e.ChangeWindow {
			if r.inChangeWindow(h.BookedAt) {
				return true, false
			}
			continue
		}
		from := h.BookedAt.Add(-r.parameters.Duration(e.Before))
		to := h.BookedAt.Add(r.parameters.Duration(e.After))
		for _, near := range r.matching(e.Near) {
			if !near.BookedAt.Before(from) && !near.BookedAt.After(to) {
				return true, false
			}
		}
		// An imported host's log ends where it ends: nothing more turns up.
		undecided = undecided || to.After(r.horizon) && !r.in.Host.Imported
	}
	return false, undecided
}

func (r *run) inChangeWindow(at time.Time) bool {
	for i := range r.in.ChangeWindows {
		w := &r.in.ChangeWindows[i]
		about := len(w.Checks) == 0 || slices.Contains(w.Checks, r.check.ID)
		if about && w.Position < r.size && !at.Before(w.From) && at.Before(w.To) {
			return true
		}
	}
	return false
}
