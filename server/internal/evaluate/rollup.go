package evaluate

import (
	"slices"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Rollup is a state rolled up from others: fail > error > unknown > manual >
// pass. The vector is always shown beside it. The ceiling stands beside the
// state: a pass under the ceiling P is shown as supported.
type Rollup struct {
	State   assay.State
	Reason  assay.ReasonCode // only where the roll-up itself has one to give
	Ceiling assay.Ceiling
	Counts  assay.StateCounts
	Grade   assay.Grade
	// Excepted is set where the state rests on verdicts under an exception alone.
	Excepted bool
}

// Supported reports whether the best that can be said is that no violation was
// seen.
func (r *Rollup) Supported() bool { return r.State == assay.StatePass && r.Ceiling == assay.Partial }

// add takes one state in. A state under an exception is counted as such and
// weighs only if there is no other.
func (r *Rollup) add(state assay.State, grade assay.Grade, excepted bool) {
	if excepted {
		r.Counts.Excepted++
	} else {
		r.Counts.Add(state)
	}
	r.Grade = r.Grade.Worse(grade)
}

// settle derives the state from the vector; rest is the worst raw state of what
// is under an exception, empty the answer where there is nothing at all.
func (r *Rollup) settle(rest assay.State, empty assay.ReasonCode) {
	r.State = r.Counts.Worst()
	if r.Counts.Excepted > 0 && (r.State == assay.NoState || r.State == assay.StateNotApplicable) {
		r.State, r.Excepted = rest, true
	}
	if r.State == assay.NoState {
		r.State, r.Reason = assay.StateNotApplicable, empty
	}
}

// RequirementOn rolls a requirement up for one host from its verdicts. No check
// makes it manual; a check without a verdict is unknown, never left out.
func RequirementOn(r *assay.Requirement, verdicts []assay.Verdict) Rollup {
	roll := Rollup{Ceiling: r.Ceiling}
	if len(r.Checks) == 0 {
		roll.State, roll.Reason = assay.StateManual, assay.ReasonByHand
		roll.Counts.Add(assay.StateManual)
		return roll
	}
	var rest assay.State
	for _, check := range r.Checks {
		i := slices.IndexFunc(verdicts, func(v assay.Verdict) bool { return v.Check == check })
		if i < 0 {
			roll.add(assay.StateUnknown, assay.NoGrade, false)
			continue
		}
		v := &verdicts[i]
		excepted := v.Disposition != assay.NoDisposition
		if excepted {
			rest = rest.Worse(v.State)
		}
		roll.add(v.State, v.Grade, excepted)
	}
	roll.settle(rest, assay.ReasonScope)
	return roll
}

// RequirementOver rolls a requirement up over hosts; Counts counts hosts. No
// host in scope is not applicable, never a pass.
func RequirementOver(r *assay.Requirement, hosts [][]assay.Verdict) Rollup {
	roll := Rollup{Ceiling: r.Ceiling}
	var rest assay.State
	for _, verdicts := range hosts {
		one := RequirementOn(r, verdicts)
		if one.Excepted {
			rest = rest.Worse(one.State)
		}
		roll.add(one.State, one.Grade, one.Excepted)
	}
	if len(r.Checks) == 0 {
		// A person attests for the organisation, whoever is in scope.
		roll.State, roll.Reason = assay.StateManual, assay.ReasonByHand
		return roll
	}
	roll.settle(rest, assay.ReasonScope)
	return roll
}

// CheckOver counts hosts by the state of one check.
func CheckOver(check string, hosts [][]assay.Verdict) Rollup {
	var roll Rollup
	var rest assay.State
	for _, verdicts := range hosts {
		for i := range verdicts {
			if v := &verdicts[i]; v.Check == check {
				excepted := v.Disposition != assay.NoDisposition
				if excepted {
					rest = rest.Worse(v.State)
				}
				roll.add(v.State, v.Grade, excepted)
			}
		}
	}
	roll.settle(rest, assay.ReasonScope)
	return roll
}

// Summary counts the requirements of a framework by their state over hosts.
func Summary(f *assay.Framework, hosts [][]assay.Verdict) Rollup {
	var roll Rollup
	var rest assay.State
	for i := range f.Requirements {
		one := RequirementOver(&f.Requirements[i], hosts)
		if one.Excepted {
			rest = rest.Worse(one.State)
		}
		roll.add(one.State, one.Grade, one.Excepted)
	}
	roll.settle(rest, assay.ReasonScope)
	return roll
}

// PassShare is the share of subjects that pass among those that the control
// applies to: unknown counts against. ok is false where there is none.
func PassShare(c *assay.StateCounts) (share float64, ok bool) {
	all := c.Pass + c.Fail + c.Unknown + c.Error + c.Manual + c.Excepted
	if all == 0 {
		return 0, false
	}
	return float64(c.Pass) / float64(all), true
}

// Period is the worst of some bucket verdicts of one host and check, with the
// days that failed: a period is never better than its worst day.
func Period(buckets []assay.Verdict) (worst assay.State, failed []assay.Verdict) {
	for _, v := range buckets {
		worst = worst.Worse(v.State)
		if v.State == assay.StateFail {
			failed = append(failed, v)
		}
	}
	return worst, failed
}
