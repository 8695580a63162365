package evaluate

import (
	"slices"
	"time"
)

// span is [from, to).
type span struct{ from, to time.Time }

func (s span) length() time.Duration {
	if !s.from.Before(s.to) {
		return 0
	}
	return s.to.Sub(s.from)
}

func (s span) empty() bool { return !s.from.Before(s.to) }

func (s span) clip(to span) span { return span{later(s.from, to.from), earlier(s.to, to.to)} }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// union sorts spans and joins those that touch. It changes list.
func union(list []span) []span {
	list = slices.DeleteFunc(list, span.empty)
	slices.SortFunc(list, func(a, b span) int { return a.from.Compare(b.from) })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && !s.from.After(out[n-1].to) {
			out[n-1].to = later(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// subtract returns what of s no span of the united list covers.
func subtract(s span, list []span) []span {
	var out []span
	for _, t := range list {
		if !t.to.After(s.from) {
			continue
		}
		if !t.from.Before(s.to) {
			break
		}
		if t.from.After(s.from) {
			out = append(out, span{s.from, t.from})
		}
		s.from = t.to
	}
	if !s.empty() {
		out = append(out, s)
	}
	return out
}

// overlap is how much of s the united list covers.
func overlap(s span, list []span) time.Duration {
	var sum time.Duration
	for _, t := range list {
		sum += t.clip(s).length()
	}
	return sum
}

// day is the UTC day of a moment as it stands in keys.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
