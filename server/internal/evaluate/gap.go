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
	covered := r.stated(func(*assay.CoverageRange) bool { return true })
	var first time.Time
	for _, key := range r.ranges.channels {
		if at, ever := r.ranges.everCovered(key); ever && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
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

// stated unites the times for which the agent's statements stand, and names
// them as evidence: what was covered, and what it says it could not see. The
// latter may span a silence, between two statements that a source does not run,
// so what another source knows to have been silence is taken out of it.
func (r *run) stated(counts func(*assay.CoverageRange) bool) []span {
	var covered, unable, silent []span
	for _, key := range r.ranges.channels {
		for _, c := range r.ranges.byChannel[key] {
			part := span{c.From, earlier(c.To, r.horizon)}
			switch {
			case c.State == assay.Covered && counts(c), c.Reason == capabilityMissing:
				covered = append(covered, part)
			case cannot(c):
				unable = append(unable, part)
			default: // no health, lost, off, or read afterwards
				silent = append(silent, part)
				continue
			}
			r.evidence = append(r.evidence, c.Since)
			if c.Until.Position < r.size {
				r.evidence = append(r.evidence, c.Until)
			}
		}
	}
	silent = union(silent)
	for _, part := range unable {
		covered = append(covered, subtract(part, silent)...)
	}
	return union(covered)
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
