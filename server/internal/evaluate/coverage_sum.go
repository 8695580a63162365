package evaluate

import (
	"fmt"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// coverage sums up the window of a check: at each moment the worst of its
// clauses counts.
type coverage struct {
	covered, expected, off, pending time.Duration
	disabled, weak, recovered       time.Duration
	longestGap                      time.Duration
	longestPending                  time.Duration
	// gap is the longest unexplained gap and gapReason what is said of it.
	gap       span
	gapReason string
	// silent is set where nothing speaks of the end of the window.
	silent bool
	// nothing is set where no range speaks of any of it.
	nothing bool
	grade   assay.Grade
	// since is where the last unbroken cover began, within the window.
	since time.Time
}

// share is the covered part of the expected time.
func (c *coverage) share() float64 {
	if c.expected <= 0 {
		return 0
	}
	return float64(c.covered) / float64(c.expected)
}

// enough reports whether the absence of violations means anything. Over a whole
// day the share is the stricter bound of the two; both are stated to users, and
// both are held.
func (c *coverage) enough() bool {
	return c.covered > 0 && c.share() >= MinimumShare && c.longestGap <= MaximumGap && c.longestPending <= MaximumGap
}

// sum adds up the stretches of all clauses over the window. A last stretch of
// which nothing is said yet, no longer than a gap may be, is not decided and
// does not count; so a host is not thin merely between two statements.
func sum(window span, clauses [][]stretch) coverage {
	merged := worst(window, clauses)
	c := coverage{nothing: true, since: window.from}
	var gap, wait time.Duration
	var gapFrom time.Time
	for i, s := range merged {
		length := s.length()
		if !s.absent {
			c.nothing = false
		}
		if i == len(merged)-1 && s.absent && length <= MaximumGap && len(merged) > 1 {
			break
		}
		switch {
		case s.seen == covered:
			c.covered += length
			c.expected += length
			c.grade = c.grade.Worse(s.grade)
			if s.mode == assay.Backfill {
				c.recovered += length
			}
		case s.seen == off:
			c.off += length
		case s.seen == pending:
			c.pending += length
		default:
			c.expected += length
			if s.seen == disabled {
				c.disabled += length
			} else if s.seen == weak {
				c.weak += length
			}
		}
		if s.unexplained() {
			if gap == 0 {
				gapFrom = s.from
			}
			gap += length
			if gap > c.longestGap {
				c.longestGap, c.gap, c.gapReason = gap, span{gapFrom, s.to}, describeGap(&s)
			}
			c.since = s.to
		} else {
			gap = 0
		}
		if s.seen == pending {
			wait += length
			c.longestPending = max(c.longestPending, wait)
		} else {
			wait = 0
		}
		if i == len(merged)-1 && s.absent {
			c.silent = true
		}
	}
	return c
}

func describeGap(s *stretch) string {
	switch {
	case s.seen == weak:
		return "seen only at grade " + s.grade.String()
	case s.reason != "":
		return s.reason
	}
	return "nothing was reported"
}

// worst merges the clauses: each piece of time is in the worst condition that
// any of them has.
func worst(window span, clauses [][]stretch) []stretch {
	if len(clauses) == 0 || window.empty() {
		return nil
	}
	merged := clauses[0]
	for _, other := range clauses[1:] {
		merged = worseOf(merged, other)
	}
	return merged
}

// worseOf walks two sequences that cover the same window.
func worseOf(a, b []stretch) []stretch {
	var out []stretch
	for i, j := 0, 0; i < len(a) && j < len(b); {
		s := a[i]
		if b[j].seen > s.seen {
			s = b[j]
		}
		s.grade = a[i].grade.Worse(b[j].grade)
		s.absent = a[i].absent && a[i].seen == s.seen || b[j].absent && b[j].seen == s.seen
		if a[i].mode == assay.Backfill || b[j].mode == assay.Backfill {
			s.mode = assay.Backfill
		}
		s.span = span{later(a[i].from, b[j].from), earlier(a[i].to, b[j].to)}
		out = append(out, s)
		if !a[i].to.After(s.to) {
			i++
		}
		if !b[j].to.After(s.to) {
			j++
		}
	}
	return out
}

// words says what the sum amounts to.
func (c *coverage) words() string {
	text := fmt.Sprintf("%.1f %% of %s expected was covered", 100*c.share(), c.expected.Round(time.Second))
	if c.recovered > 0 {
		text += fmt.Sprintf(", %s of it recovered from the host's own logs", c.recovered.Round(time.Second))
	}
	if c.longestGap > 0 {
		text += fmt.Sprintf("; longest gap %s from %s: %s", c.longestGap.Round(time.Second), c.gap.from.UTC().Format(time.RFC3339), c.gapReason)
	}
	return text
}
