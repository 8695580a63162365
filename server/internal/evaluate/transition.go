package evaluate

import (
	"cmp"
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

type verdictKey struct {
	host  assay.HostID
	check string
}

// Transitions compares two evaluations and returns the changes of state, by
// host and check. A verdict that there was none of before comes from NoState;
// one that there is none of any more is not a transition: the host left the
// scope, which has a record of its own. RecordedAt and Position are left to
// whoever records them.
func Transitions(previous, current []assay.Verdict, instant time.Time) []assay.Transition {
	before := make(map[verdictKey]assay.State, len(previous))
	for i := range previous {
		before[verdictKey{previous[i].Host, previous[i].Check}] = previous[i].State
	}
	var list []assay.Transition
	for i := range current {
		v := &current[i]
		from := before[verdictKey{v.Host, v.Check}]
		if from == v.State {
			continue
		}
		valid := v.Since
		if valid.IsZero() || valid.After(instant) {
			valid = instant
		}
		list = append(list, assay.Transition{
			Host: v.Host, Check: v.Check, From: from, To: v.State, Reason: v.Reason, ValidAt: valid,
		})
	}
	slices.SortFunc(list, func(a, b assay.Transition) int {
		return cmp.Or(slices.Compare(a.Host[:], b.Host[:]), cmp.Compare(a.Check, b.Check))
	})
	return list
}
