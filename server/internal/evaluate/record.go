package evaluate

import (
	"fmt"
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// record judges our own records.
func (r *run) record(rec *framework.Record) {
	switch rec.Of {
	case framework.OfReview:
		r.reviewed(rec)
	case framework.OfAlert, framework.OfFailureAlert:
		r.answered(rec)
	default:
		r.verified(rec)
	}
}

// verified judges verifications: between two good ones no more may pass than
// the parameter says, and a bad one is a violation until a good one.
func (r *run) verified(rec *framework.Record) {
	within := r.parameters.Duration(rec.Within)
	known := slices.DeleteFunc(slices.Clone(r.in.Verifications), func(v Verification) bool {
		return v.Position >= r.size || v.At.After(r.instant)
	})
	slices.SortStableFunc(known, func(a, b Verification) int { return a.At.Compare(b.At) })
	good := later(r.in.LedgerSince, r.in.From) // nothing is overdue before the ledger began
	var bad time.Time
	detail := ""
	seenGood := false
	for _, v := range known {
		if !v.Good {
			if bad.IsZero() {
				bad, detail = v.At, v.Detail
			}
			continue
		}
		r.overdue(rec, good, v.At, within)
		r.broken(rec, bad, v.At, detail)
		good, bad, seenGood = v.At, time.Time{}, true
	}
	r.broken(rec, bad, time.Time{}, detail)
	if !good.IsZero() && r.instant.Sub(good) > within {
		r.overdue(rec, good, time.Time{}, within)
	}
	if !seenGood {
		r.doubt(assay.ReasonPending, "The ledger has not been verified yet.", r.in.LedgerSince)
	}
}

// overdue books the time in which a good verification was missing.
func (r *run) overdue(rec *framework.Record, good, next time.Time, within time.Duration) {
	due := good.Add(within)
	if good.IsZero() || !next.IsZero() && !next.After(due) {
		return
	}
	r.violations = append(r.violations, violation{
		key: keyOf("overdue", day(due)), title: expand(rec.Title, nil) + " (due " + stamp(due) + ")", from: due, to: next,
	})
}

func (r *run) broken(rec *framework.Record, bad, next time.Time, detail string) {
	if bad.IsZero() {
		return
	}
	r.violations = append(r.violations, violation{
		key: keyOf("broken", day(bad)), from: bad, to: next,
		title: fmt.Sprintf("A verification of the ledger at %s found a difference: %s", stamp(bad), shown(detail)),
	})
}
