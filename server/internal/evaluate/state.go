package evaluate

import (
	"fmt"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// state builds the intervals in which each facet was off, and looks for a
// fresh proof that what must be on is on.
func (r *run) state(s *framework.State) {
	var proof *assay.Hit
	for i := range s.Facets {
		f := &s.Facets[i]
		off, on := r.signals(f.Off), r.signals(f.On)
		r.offIntervals(f, off, on)
		if f.Proof && len(on) > 0 {
			if newest := on[len(on)-1]; proof == nil || compareHits(newest, proof) > 0 {
				proof = newest
			}
		}
	}
	r.fresh(proof, s.Fresh)
}

// fresh asks that the newest proof is no older than the parameter says, not
// counting time in which the host was shut down.
func (r *run) fresh(proof *assay.Hit, parameter string) {
	if proof == nil {
		r.doubt(assay.ReasonNoData, "No event ever showed its state.", r.in.Host.FirstSeen)
		return
	}
	r.proof = append(r.proof, proof)
	if age := r.age(proof.BookedAt); age > r.parameters.Duration(parameter) {
		r.doubt(assay.ReasonStale, fmt.Sprintf("The newest report is of %s.", stamp(proof.BookedAt)), proof.BookedAt)
	}
}

// age is how long ago something was at the horizon, not counting shutdowns.
func (r *run) age(at time.Time) time.Duration {
	since := span{at, r.horizon}
	return since.length() - overlap(since, r.offTimes)
}

// offIntervals turns the signals of a facet into violations: from each first
// off to the next on.
func (r *run) offIntervals(f *framework.Facet, off, on []*assay.Hit) {
	var current *violation
	for len(off) > 0 || len(on) > 0 {
		// An off at the same moment as an on comes last: doubt counts against.
		if len(off) == 0 || len(on) > 0 && !off[0].BookedAt.Before(on[0].BookedAt) && compareSignals(on[0], off[0]) < 0 {
			if current != nil {
				current.to, current.end = on[0].BookedAt, on[0]
				r.violations = append(r.violations, *current)
				current = nil
			}
			on = on[1:]
			continue
		}
		h := off[0]
		off = off[1:]
		if current == nil {
			current = &violation{
				key: keyOf(f.Name, day(h.BookedAt)), title: expand(f.Title, h.Fields), from: h.BookedAt, fields: h.Fields,
			}
		}
		current.hits = append(current.hits, h)
	}
	if current != nil {
		r.violations = append(r.violations, *current)
	}
}

// compareSignals orders an on and an off: within a channel by record, which is
// the log's own order; otherwise at one moment the on comes first.
func compareSignals(on, off *assay.Hit) int {
	if c := on.BookedAt.Compare(off.BookedAt); c != 0 {
		return c
	}
	if on.Channel == off.Channel && on.RecordID != off.RecordID {
		if on.RecordID < off.RecordID {
			return -1
		}
		return 1
	}
	return -1
}
