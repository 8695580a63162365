package evaluate

import (
	"slices"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// gaps is the engine's own check: every unexplained gap of more than
// MaximumGap of a channel that had been seen working is a violation. A time in
// which no channel at all was covered is one gap of the host, not one of each.
func (r *run) gaps(s *framework.State) {
	r.selfProof = true
	if r.in.Host.Imported {
		return // an export has no duty to be complete
	}
	covered, first := r.coveredTimes()
	if first.IsZero() {
		r.doubt(assay.ReasonNoData, "No source was ever seen working.", r.in.Host.FirstSeen)
		return
	}
	var silent []span // of the host as a whole, and told as such
	for _, gap := range subtract(span{first, r.horizon}, covered) {
		for _, part := range subtract(gap, r.offTimes) {
			if part.length() <= MaximumGap || !part.to.After(r.in.From) {
				continue
			}
			silent = append(silent, part)
			if !r.waiting(part) {
				r.gap(s, "host", "The host", "no source reported", part, nil)
			}
		}
	}
	for _, key := range r.ranges.channels {
		if first, ever := r.ranges.everCovered(key); ever {
			r.channelGaps(s, key, span{first, r.horizon}, silent)
		}
	}
	if len(r.violations) == 0 && r.window.length() < MaximumGap {
		r.doubt(assay.ReasonPending, "The host has not been observed for long enough.", r.window.from)
	}
}

// coveredTimes unites all covered ranges and says where the first began.
func (r *run) coveredTimes() (covered []span, first time.Time) {
	for _, list := range r.ranges.byChannel {
		for _, c := range list {
			if c.State != assay.Covered && !cannot(c) {
				continue
			}
			covered = append(covered, span{c.From, earlier(c.To, r.horizon)})
			r.evidence = append(r.evidence, c.Since)
			if c.State == assay.Covered && (first.IsZero() || c.From.Before(first)) {
				first = c.From
			}
		}
	}
	return union(covered), first
}

// waiting reports whether the time is undecided: stated to be so, or after a
// shutdown that no start has followed yet.
func (r *run) waiting(s span) bool {
	if !s.to.Before(r.horizon) && r.shutDownAt(s.from) {
		r.doubt(assay.ReasonPending, "A shutdown is on record; the silence after it is decided when the host starts again.", s.from)
		return true
	}
	for _, list := range r.ranges.byChannel {
		for _, c := range list {
			if c.State == assay.Pending && !c.From.After(s.from) && !c.To.Before(s.to) {
				r.doubt(assay.ReasonPending, "The time from "+stamp(s.from)+" is not decided yet.", s.from)
				return true
			}
		}
	}
	return false
}

func (r *run) channelGaps(s *framework.State, key channelKey, within span, silent []span) {
	stretches := r.ranges.timeline(within, []channelKey{key}, func(at time.Time) stretch {
		return r.ranges.reading(key, at, r.in.Host.ExpectedOn)
	})
	var current span
	var reasons []string
	flush := func() {
		if !current.empty() && len(reasons) > 0 {
			for _, part := range subtract(current, silent) {
				if part.length() > MaximumGap {
					r.gap(s, key.String(), key.String(), strings.Join(reasons, "; "), part, r.rangeRefs(key, part))
				}
			}
		}
		current, reasons = span{}, nil
	}
	for i := range stretches {
		st := &stretches[i]
		if !st.unexplained() || st.absent && !st.to.After(r.in.From) {
			flush()
			continue
		}
		if current.empty() {
			current.from = st.from
		}
		current.to = st.to
		if reason := describeGap(st); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	flush()
}

// rangeRefs names the statements around a gap.
func (r *run) rangeRefs(key channelKey, part span) []assay.EventRef {
	var refs []assay.EventRef
	for _, c := range r.ranges.byChannel[key] {
		if !c.To.Before(part.from) && !c.From.After(part.to) {
			refs = append(refs, c.Since)
		}
	}
	return refs
}

func (r *run) gap(s *framework.State, key, source, reason string, part span, refs []assay.EventRef) {
	v := violation{
		key: keyOf(key, day(part.from)), title: expand(s.Title, nil, "source", source, "reason", reason),
		from: part.from, to: part.to, refs: refs,
	}
	if !part.to.Before(r.horizon) {
		v.to = time.Time{}
	}
	r.violations = append(r.violations, v)
}
