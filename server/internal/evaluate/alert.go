package evaluate

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// reviewed judges reviews: between two of them no more may pass than the
// parameter says.
func (r *run) reviewed(rec *framework.Record) {
	within := r.parameters.Duration(rec.Within)
	last := later(r.in.LedgerSince, r.in.From) // nothing is overdue before the ledger began
	seen := false
	for _, at := range r.reviews() {
		r.overdue(rec, last, at, within)
		last, seen = at, true
	}
	if !last.IsZero() && r.instant.Sub(last) > within {
		r.overdue(rec, last, time.Time{}, within)
	}
	if !seen {
		r.doubt(assay.ReasonPending, "Nobody has recorded a review yet.", r.in.LedgerSince)
	}
}

// reviews are the times of those known, in order.
func (r *run) reviews() (times []time.Time) {
	for _, v := range r.in.Reviews {
		if v.Position < r.size && !v.At.After(r.instant) {
			times = append(times, v.At)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// answered judges what was done about alerts: a clock that runs out is a
// violation until what it waits for is done.
func (r *run) answered(rec *framework.Record) {
	for i := range r.in.Openings {
		o := &r.in.Openings[i]
		if o.Position >= r.size || o.At.After(r.instant) || o.Failure != (rec.Of == framework.OfFailureAlert) {
			continue
		}
		acknowledged, closed := r.done(o.Acknowledged), r.done(o.Closed)
		if acknowledged.IsZero() {
			acknowledged = closed // closing answers, too
		}
		r.unanswered(rec, o, "acknowledged", o.AcknowledgeDue, acknowledged)
		r.unanswered(rec, o, "closed", o.CloseDue, closed)
	}
	if rec.Of == framework.OfAlert {
		r.doubtRules()
	}
	r.doubtSight()
}

// doubtSight derives unknown for a host that nothing watched: that no alert
// waits says nothing of it.
func (r *run) doubtSight() {
	for _, key := range r.ranges.channels {
		for _, c := range r.ranges.byChannel[key] {
			if c.State == assay.Covered && c.To.After(r.window.from) {
				return
			}
		}
	}
	r.doubt(assay.ReasonNoData, "Nothing of the host was observed in the window: that no alert waits says nothing.", r.window.from)
}

// done is when something was done, as far as known; zero if it was not.
func (r *run) done(d Deed) time.Time {
	if d.At.IsZero() || d.Position >= r.size || d.At.After(r.instant) {
		return time.Time{}
	}
	return d.At
}

func (r *run) unanswered(rec *framework.Record, o *Opening, what string, due, done time.Time) {
	if due.IsZero() || !due.Before(r.instant) || !done.IsZero() && !done.After(due) {
		return
	}
	title := expand(rec.Title, map[string]string{"alert": o.Title, "level": o.Level.String(), "what": what, "due": stamp(due)})
	r.violations = append(r.violations, violation{
		key: keyOf(o.Alert.String(), strconv.Itoa(o.Number), what), title: title, from: due, to: done,
		fields: map[string]string{"alert": o.Alert.String(), "opened_at": stamp(o.At), "level": o.Level.String()},
	})
}

// doubtRules derives unknown from times without rules: where nothing looks, that
// no alert is overdue says nothing.
func (r *run) doubtRules() {
	known := slices.DeleteFunc(slices.Clone(r.in.RulesOn), func(on RulesOn) bool { return on.Position >= r.size || on.At.After(r.instant) })
	slices.SortFunc(known, func(a, b RulesOn) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Position, b.Position)) })
	on, since := 0, r.window.from
	for _, change := range known {
		if !change.At.After(r.window.from) {
			on = change.Rules
			continue
		}
		if on == 0 {
			break
		}
		on, since = change.Rules, change.At
	}
	if on == 0 {
		r.doubt(assay.ReasonDisabled, "No detection rule was on all of the time.", since)
	}
}
