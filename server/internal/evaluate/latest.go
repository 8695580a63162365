package evaluate

import (
	"fmt"
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// report is what one hit says of a value: that it dates from effective, or,
// where that is zero, that it was not renewed.
type report struct {
	hit       *assay.Hit
	effective time.Time
}

// latest follows the age of a value from report to report. Only a report can
// show that the value is too old: silence is stale, not old.
func (r *run) latest(l *framework.Latest) {
	reports := r.reports(l)
	limit := r.parameters.Duration(l.Limit)
	var effective time.Time
	var current *violation
	var newest *assay.Hit
	for _, p := range reports {
		if !p.effective.IsZero() {
			// A stated age is believed over an update before it, which may have
			// been of another kind of signature, or taken back.
			effective = p.effective
		}
		if effective.IsZero() {
			continue // a failed update with nothing before it tells no age
		}
		newest = p.hit
		days := int64(p.hit.BookedAt.Sub(effective) / (24 * time.Hour))
		tooOld := time.Duration(days)*24*time.Hour > limit
		switch {
		case tooOld && current == nil:
			current = &violation{
				key: day(p.hit.BookedAt), title: expand(l.Title, p.hit.Fields, "days", fmt.Sprint(days)),
				from: p.hit.BookedAt, fields: p.hit.Fields, hits: []*assay.Hit{p.hit},
			}
		case tooOld:
			current.hits = append(current.hits, p.hit)
		case current != nil:
			current.to, current.end = p.hit.BookedAt, p.hit
			r.violations = append(r.violations, *current)
			current = nil
		}
	}
	if current != nil {
		r.violations = append(r.violations, *current)
	}
	r.fresh(newest, l.Fresh)
}

func (r *run) reports(l *framework.Latest) []report {
	var reports []report
	for _, h := range r.signals(l.New) {
		reports = append(reports, report{h, h.BookedAt})
	}
	for _, h := range r.signals(l.Unchanged) {
		reports = append(reports, report{hit: h})
	}
	for i := range l.Aged {
		a := &l.Aged[i]
		for _, h := range r.signal(&a.Signal) {
			age, err := a.Age.Duration(r.row(h.Fields))
			if err != nil {
				if r.err == nil {
					r.err = err
				}
				continue
			}
			reports = append(reports, report{h, h.BookedAt.Add(-age)})
		}
	}
	slices.SortStableFunc(reports, func(a, b report) int { return compareHits(a.hit, b.hit) })
	return reports
}

// alive judges the agent's own statements: live coverage is computed from them
// alone, so where no source is covered live, none came.
func (r *run) alive(l *framework.Latest) {
	r.selfProof = true
	limit := r.parameters.Duration(l.Limit)
	live := r.stated(func(c *assay.CoverageRange) bool { return c.Mode != assay.Backfill })
	if h := r.in.Health; !h.At.IsZero() && h.Ref.Position < r.size && !h.At.After(r.horizon) {
		live = append(live, span{h.At, h.At.Add(time.Nanosecond)})
		r.evidence = append(r.evidence, h.Ref)
	}
	live = union(live)
	from := r.in.Host.FirstSeen
	if len(live) > 0 {
		from = live[0].from
	} else {
		r.doubt(assay.ReasonNoData, "The agent has stated nothing yet.", from)
	}
	if from.IsZero() {
		return // never heard of: weigh says so
	}
	for _, gap := range subtract(span{from, r.horizon}, live) {
		if gap.to.After(r.in.From) {
			r.silence(l, gap, limit)
		}
	}
}

// silence books one stretch without statements, unless a shutdown is on record.
func (r *run) silence(l *framework.Latest, gap span, limit time.Duration) {
	for _, s := range subtract(gap, r.offTimes) {
		last := !s.to.Before(r.horizon)
		if s.length() <= limit {
			continue
		}
		if last && r.shutDownAt(s.from) {
			r.doubt(assay.ReasonPending, "A shutdown is on record at the end of what was heard of the host; it is decided when the host starts again.", s.from)
			continue
		}
		v := violation{
			key: day(s.from), title: expand(l.Title, nil, "since", stamp(s.from)), from: s.from, to: s.to,
			refs: slices.Clone(r.evidence),
		}
		if last {
			v.to = time.Time{}
		}
		r.violations = append(r.violations, v)
	}
}
