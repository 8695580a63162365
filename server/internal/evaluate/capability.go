package evaluate

import (
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// capability asks that the clauses are covered. Where every alternative of one
// says that it cannot see, for longer than a gap may be, that is a violation;
// silence is not. It looks at all of the known time, so that a finding keeps
// its beginning while the window moves on.
func (r *run) capability(c *framework.Capability) {
	if r.in.Host.Imported {
		return // an export has no duty to record
	}
	for i := range r.check.Clauses {
		clause := &r.check.Clauses[i]
		keys := clauseKeys(clause)
		var first time.Time
		for _, key := range keys {
			if list := r.ranges.byChannel[key]; len(list) > 0 && (first.IsZero() || list[0].From.Before(first)) {
				first = list[0].From
			}
		}
		if first.IsZero() {
			continue
		}
		r.disabledTimes(c, clause, r.ranges.timeline(span{first, r.horizon}, keys, func(at time.Time) stretch {
			return r.ranges.clause(clause, at, r.in.Host.ExpectedOn)
		}))
	}
}

func (r *run) disabledTimes(c *framework.Capability, clause *framework.Clause, stretches []stretch) {
	var current span
	flush := func() {
		if current.length() > MaximumGap {
			v := violation{
				key: keyOf(clause.Name, day(current.from)), title: expand(c.Title, nil, "clause", clause.Name),
				from: current.from, to: current.to, refs: r.clauseRefs(clause, current),
			}
			if !current.to.Before(r.horizon) {
				v.to = time.Time{}
			}
			r.violations = append(r.violations, v)
		}
		current = span{}
	}
	for i := range stretches {
		s := &stretches[i]
		// The end of the window that nothing speaks of yet does not end it.
		undecided := s.absent && i == len(stretches)-1 && s.length() <= MaximumGap && !current.empty()
		if s.seen != disabled && !undecided {
			flush()
			continue
		}
		if current.empty() {
			current.from = s.from
		}
		current.to = s.to
	}
	flush()
}

// clauseRefs names the statements that a stretch of a clause rests on.
func (r *run) clauseRefs(clause *framework.Clause, within span) []assay.EventRef {
	var refs []assay.EventRef
	for _, key := range clauseKeys(clause) {
		for _, c := range r.ranges.byChannel[key] {
			if (span{c.From, c.To}).clip(within).empty() {
				continue
			}
			refs = append(refs, c.Since)
			if c.Until.Position < r.size {
				refs = append(refs, c.Until)
			}
		}
	}
	return refs
}
