package evaluate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// metric judges the ratio of each UTC day. A day that is still running counts
// as it stands.
func (r *run) metric(m *framework.Metric) {
	byDay := map[time.Time][]*assay.Metric{}
	for i := range r.in.Metrics {
		x := &r.in.Metrics[i]
		if x.Name == m.Name && !x.Day.After(r.horizon) && x.Total > 0 {
			d := x.Day.UTC()
			byDay[d] = append(byDay[d], x)
		}
	}
	decided := time.Time{}
	for d, list := range byDay {
		slices.SortFunc(list, func(a, b *assay.Metric) int { return cmp.Compare(a.Key, b.Key) })
		judged := false
		if m.Limit == "" {
			judged = r.ratios(m, d, list)
		} else {
			judged = r.bound(m, d, list)
		}
		if judged {
			decided = later(decided, d)
		}
	}
	slices.SortFunc(r.violations, func(a, b violation) int {
		return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.key, b.key))
	})
	if !decided.Add(Window).After(r.window.from) || decided.IsZero() {
		r.doubt(assay.ReasonNoData, "Too few records in the window to tell.", r.window.from)
	}
}

// ratios judges each key of a day by itself.
func (r *run) ratios(m *framework.Metric, d time.Time, list []*assay.Metric) (judged bool) {
	for i := 0; i < len(list); {
		key := list[i].Key
		var good, total uint64
		for ; i < len(list) && list[i].Key == key; i++ {
			good, total = good+list[i].Good, total+list[i].Total
		}
		if total < uint64(r.parameters.Int(m.Minimum)) {
			continue
		}
		judged = true
		if share := 100 * float64(good) / float64(total); share < r.parameters.Percent(m.Threshold) {
			r.metricViolation(m, d, key, share)
		}
	}
	return judged
}

// bound judges a cumulative histogram: at least the threshold of the day must
// be at or under the limit. Between two bounds nothing can be told.
func (r *run) bound(m *framework.Metric, d time.Time, list []*assay.Metric) (judged bool) {
	limit := r.parameters.Duration(m.Limit)
	best, worst := -1.0, -1.0 // shares at the nearest bounds: not above, not below
	var below, above time.Duration
	var total uint64
	for _, x := range list {
		bound, ok := parseBound(x.Key)
		if !ok {
			continue
		}
		total = max(total, x.Total)
		share := 100 * float64(x.Good) / float64(x.Total)
		if bound <= limit && (best < 0 || bound > below) {
			best, below = share, bound
		}
		if bound >= limit && (worst < 0 || bound < above) {
			worst, above = share, bound
		}
	}
	if total < uint64(max(r.parameters.Int(m.Minimum), 1)) {
		return false
	}
	threshold := r.parameters.Percent(m.Threshold)
	switch {
	case best >= threshold:
		return true
	case worst >= 0 && worst < threshold, worst < 0 && best >= 0 && best < threshold:
		r.metricViolation(m, d, "", max(worst, best))
		return true
	}
	return false
}

// parseBound reads an upper bound: seconds, or a duration with its unit.
func parseBound(text string) (time.Duration, bool) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second)), true
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// metricViolation books a day. It is over with the day.
func (r *run) metricViolation(m *framework.Metric, d time.Time, key string, share float64) {
	end := d.Add(Window)
	if end.After(r.horizon) {
		end = time.Time{}
	}
	r.violations = append(r.violations, violation{
		key: keyOf(key, day(d)), from: d, to: end,
		title: expand(m.Title, nil, "key", key, "share", fmt.Sprintf("%.2f %%", share), "day", day(d)),
	})
}
