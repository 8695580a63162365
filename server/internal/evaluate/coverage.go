package evaluate

import (
	"slices"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// seen is what is known of a moment, from the best to the worst that a clause
// can be in.
type seen uint8

const (
	covered  seen = iota
	off           // shut down, on record
	pending       // not decided at the watermark
	weak          // covered, but only below the minimum grade
	disabled      // the agent says that it cannot see
	missing       // a gap that the agent tells of, or nothing at all
)

// stretch is a contiguous time in one condition.
type stretch struct {
	span
	seen   seen
	grade  assay.Grade
	mode   assay.Mode
	reason string
	absent bool // no range speaks of it
}

// unexplained reports whether the time counts as expected but not covered.
func (s *stretch) unexplained() bool {
	return s.seen == weak || s.seen == disabled || s.seen == missing
}

// channelKey names one source and channel.
type channelKey struct{ source, channel string }

func (k channelKey) String() string {
	if k.channel == "" {
		return k.source
	}
	return k.source + " " + k.channel
}

// ranges holds the known coverage of a host.
type ranges struct {
	byChannel map[channelKey][]*assay.CoverageRange // by From
	channels  []channelKey                          // sorted
}

// newRanges keeps what was known at the size and cuts it at the horizon: what
// is beyond has not been judged yet.
func newRanges(list []assay.CoverageRange, size uint64, horizon time.Time) ranges {
	r := ranges{byChannel: map[channelKey][]*assay.CoverageRange{}}
	for i := range list {
		c := &list[i]
		if c.Since.Position >= size || !c.From.Before(horizon) || !c.From.Before(c.To) {
			continue
		}
		key := channelKey{c.Source, c.Channel}
		if r.byChannel[key] == nil {
			r.channels = append(r.channels, key)
		}
		r.byChannel[key] = append(r.byChannel[key], c)
	}
	slices.SortFunc(r.channels, func(a, b channelKey) int {
		return strings.Compare(a.source+"\x00"+a.channel, b.source+"\x00"+b.channel)
	})
	for _, list := range r.byChannel {
		slices.SortFunc(list, func(a, b *assay.CoverageRange) int {
			if c := a.From.Compare(b.From); c != 0 {
				return c
			}
			return strings.Compare(a.Capability, b.Capability)
		})
	}
	return r
}

// cannot reports whether the range is the agent's own statement that it was not
// able to see, as against silence and loss.
func cannot(c *assay.CoverageRange) bool {
	return c.State == assay.Unexplained && (c.Reason == capabilityMissing || strings.HasPrefix(c.Reason, notRunning))
}

// The reasons of coverage ranges that are statements of the agent.
const (
	capabilityMissing = "capability missing"
	notRunning        = "not running"
)

// condition is what a range says of its time. expectedOn hosts are never
// excused by a shutdown.
func condition(c *assay.CoverageRange, expectedOn bool) stretch {
	s := stretch{grade: c.Grade, mode: c.Mode, reason: c.Reason}
	switch {
	case c.State == assay.Covered:
		s.seen = covered
	case c.State == assay.ExplainedOff && !expectedOn:
		s.seen = off
	case c.State == assay.Pending:
		s.seen = pending
	case cannot(c):
		s.seen = disabled
	default:
		s.seen = missing
	}
	return s
}

// reading is what is known of a channel as such at a moment: any capability
// tells that it is read, and so does the statement that one is missing.
func (r *ranges) reading(key channelKey, at time.Time, expectedOn bool) stretch {
	best := stretch{seen: missing, absent: true}
	for _, c := range r.byChannel[key] {
		if c.From.After(at) {
			break
		}
		if !at.Before(c.To) {
			continue
		}
		s := condition(c, expectedOn)
		if s.seen == disabled && c.Reason == capabilityMissing {
			s.seen, s.reason = covered, ""
		}
		if best.absent || s.seen < best.seen || s.seen == best.seen && s.grade < best.grade {
			best = s
		}
	}
	return best
}

// able is what is known of one capability of a channel at a moment.
func (r *ranges) able(key channelKey, capability string, at time.Time, expectedOn bool) stretch {
	for _, c := range r.byChannel[key] {
		if c.From.After(at) {
			break
		}
		if c.Capability == capability && at.Before(c.To) {
			return condition(c, expectedOn)
		}
	}
	// A channel that is read, of which this capability was never stated, is
	// one that cannot see it.
	if s := r.reading(key, at, expectedOn); s.seen == covered {
		return stretch{seen: disabled, reason: capabilityMissing}
	}
	return stretch{seen: missing, absent: true}
}

// source is what is known of one alternative of a clause: the worst of the
// capabilities that it needs together.
func (r *ranges) source(s *framework.Source, minimum assay.Grade, at time.Time, expectedOn bool) stretch {
	key := channelKey{s.Source, s.Channel}
	var worst stretch
	if len(s.Capabilities) == 0 {
		worst = r.reading(key, at, expectedOn)
	}
	for i, capability := range s.Capabilities {
		one := r.able(key, capability, at, expectedOn)
		grade := one.grade.Worse(worst.grade)
		if i == 0 || one.seen > worst.seen {
			worst = one
		}
		worst.grade = grade
	}
	if worst.seen == covered && worst.grade > minimum {
		worst.seen = weak
	}
	return worst
}

// clause is what is known of a clause at a moment: with at least k of its
// alternatives covered it is covered, by the best of them.
func (r *ranges) clause(c *framework.Clause, at time.Time, expectedOn bool) stretch {
	states := make([]stretch, len(c.AnyOf))
	for i := range c.AnyOf {
		states[i] = r.source(&c.AnyOf[i], c.MinimumGrade, at, expectedOn)
	}
	slices.SortStableFunc(states, func(a, b stretch) int {
		if a.seen != b.seen {
			return int(a.seen) - int(b.seen)
		}
		if a.absent != b.absent && a.absent {
			return 1
		} else if a.absent != b.absent {
			return -1
		}
		return int(a.grade) - int(b.grade)
	})
	state := states[c.AtLeast-1]
	if state.seen == disabled {
		// An alternative that merely lost or missed something is able all the
		// same: the clause is not disabled as long as there is one.
		for _, s := range states {
			if s.seen == missing && !s.absent {
				return s
			}
		}
	}
	return state
}

// timeline cuts within where any range of the keys begins or ends and asks of
// each piece. Equal neighbours are joined.
func (r *ranges) timeline(within span, keys []channelKey, ask func(at time.Time) stretch) []stretch {
	if within.empty() {
		return nil
	}
	cuts := []time.Time{within.from}
	for _, key := range keys {
		for _, c := range r.byChannel[key] {
			for _, t := range [...]time.Time{c.From, c.To} {
				if t.After(within.from) && t.Before(within.to) {
					cuts = append(cuts, t)
				}
			}
		}
	}
	slices.SortFunc(cuts, time.Time.Compare)
	cuts = slices.CompactFunc(cuts, time.Time.Equal)
	var out []stretch
	for i, from := range cuts {
		s := ask(from)
		s.span = span{from, within.to}
		if i+1 < len(cuts) {
			s.to = cuts[i+1]
		}
		if n := len(out); n > 0 && out[n-1].seen == s.seen && out[n-1].grade == s.grade &&
			out[n-1].mode == s.mode && out[n-1].reason == s.reason && out[n-1].absent == s.absent {
			out[n-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}

func clauseKeys(c *framework.Clause) []channelKey {
	var keys []channelKey
	for _, s := range c.AnyOf {
		if key := (channelKey{s.Source, s.Channel}); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// everCovered reports whether the channel was ever seen working.
func (r *ranges) everCovered(key channelKey) (first time.Time, ok bool) {
	for _, c := range r.byChannel[key] {
		if c.State == assay.Covered {
			return c.From, true
		}
	}
	return time.Time{}, false
}
