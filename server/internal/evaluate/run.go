package evaluate

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// run is one check on one host while it is being judged. The kinds fill in
// violations, doubts and proof; decide weighs them.
type run struct {
	*judge
	check      *framework.Check
	parameters framework.Values
	missing    []string // parameters that only the organisation can set
	err        error    // the check itself failed

	coverage  coverage
	clauses   [][]stretch
	evidence  []assay.EventRef // of coverage
	selfProof bool             // the kind proves itself: no clause is needed

	violations []violation
	doubts     []doubt
	explained  int
	proof      []*assay.Hit // what a pass rests on besides coverage
}

// violation is something that must not be, from its beginning to its end.
type violation struct {
	key   string
	title string
	from  time.Time
	// to is when it ended, zero while it goes on. A momentary violation has no
	// length: it stays open, but is over.
	to        time.Time
	momentary bool
	hits      []*assay.Hit
	end       *assay.Hit       // what ended it, where a hit did
	refs      []assay.EventRef // where it rests on coverage
	fields    map[string]string
}

// within reports whether any of it lies in the window.
func (v *violation) within(window span) bool {
	if v.momentary {
		return !v.from.Before(window.from)
	}
	return v.to.IsZero() || v.to.After(window.from)
}

// doubt is a reason why there can be no pass.
type doubt struct {
	reason assay.ReasonCode
	detail string
	since  time.Time
}

func (r *run) doubt(reason assay.ReasonCode, detail string, since time.Time) {
	r.doubts = append(r.doubts, doubt{reason, detail, since})
}

// support names an event of the window as one that a pass rests on; older ones
// have had their day.
func (r *run) support(h *assay.Hit) bool {
	if h.BookedAt.Before(r.window.from) {
		return false
	}
	r.proof = append(r.proof, h)
	return true
}

func (r *run) row(fields map[string]string) framework.Row {
	return framework.Row{Fields: fields, Parameters: r.parameters, Host: r.hostRow}
}

// matching returns the check's hits of any of the selectors, in order.
func (r *run) matching(selectors []string) []*assay.Hit {
	var out []*assay.Hit
	for _, h := range r.hits[r.check.ID] {
		if slices.Contains(selectors, h.Selector) {
			out = append(out, h)
		}
	}
	return out
}

// signal returns the hits of a signal, in order. A predicate that fails makes
// the check an error and skips the hit.
func (r *run) signal(s *framework.Signal) []*assay.Hit {
	hits := r.matching(s.On)
	if s.When == nil {
		return hits
	}
	return slices.DeleteFunc(hits, func(h *assay.Hit) bool {
		holds, err := s.When.Bool(r.row(h.Fields))
		if err != nil && r.err == nil {
			r.err = err
		}
		return err != nil || !holds
	})
}

// signals returns the hits of any of the signals, in order.
func (r *run) signals(list []framework.Signal) []*assay.Hit {
	var out []*assay.Hit
	for i := range list {
		out = append(out, r.signal(&list[i])...)
	}
	slices.SortFunc(out, compareHits)
	return slices.Compact(out)
}

// measure works out the coverage of what the check requires.
func (r *run) measure() {
	if r.in.Host.Imported {
		return
	}
	for i := range r.check.Clauses {
		c := &r.check.Clauses[i]
		keys := clauseKeys(c)
		stretches := r.ranges.timeline(r.window, keys, func(at time.Time) stretch {
			return r.ranges.clause(c, at, r.in.Host.ExpectedOn)
		})
		if n := len(stretches); n > 0 && stretches[n-1].absent && r.shutDownAt(r.lastHeard()) {
			stretches[n-1].seen, stretches[n-1].reason = pending, "a shutdown is on record"
			stretches[n-1].absent = false
		}
		r.clauses = append(r.clauses, stretches)
		r.coverageEvidence(c)
	}
	if len(r.clauses) > 0 {
		r.coverage = sum(r.window, r.clauses)
	}
}

// coverageEvidence names the statements that opened and last extended the
// ranges that a clause rests on in the window.
func (r *run) coverageEvidence(c *framework.Clause) {
	for _, s := range c.AnyOf {
		for _, cover := range r.ranges.byChannel[channelKey{s.Source, s.Channel}] {
			relevant := len(s.Capabilities) == 0 || slices.Contains(s.Capabilities, cover.Capability)
			if !relevant || (span{cover.From, cover.To}).clip(r.window).empty() {
				continue
			}
			r.evidence = append(r.evidence, cover.Since)
			if cover.Until.Position < r.size {
				r.evidence = append(r.evidence, cover.Until)
			}
		}
	}
}

// expand fills a title: {name} is a field of the event or one of the extras. A
// field that is empty reads as "?", and long values are cut.
func expand(title string, fields map[string]string, extras ...string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(title, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("{" + rest)
			return b.String()
		}
		value := fields[name]
		for i := 0; i+1 < len(extras); i += 2 {
			if extras[i] == name {
				value = extras[i+1]
			}
		}
		b.WriteString(shown(value))
		title = after
	}
}

// keyOf joins what tells findings apart, without case. A separator or control
// character inside a part is replaced, so that attacker-chosen values can
// neither forge another key nor be refused by a database.
func keyOf(parts ...string) string {
	clean := make([]string, len(parts))
	for i, part := range parts {
		clean[i] = strings.Map(func(r rune) rune {
			switch {
			case unicode.IsControl(r):
				return '\uFFFD'
			case r == '|':
				return '¦'
			}
			return r
		}, strings.ToValidUTF8(strings.ToLower(part), "\uFFFD"))
		if len(clean[i]) > maxKeyPart {
			sum := sha256.Sum256([]byte(clean[i]))
			clean[i] = hex.EncodeToString(sum[:])
		}
	}
	return strings.Join(clean, "|")
}

// maxKeyPart bounds a part of a key in bytes; longer ones are hashed.
const maxKeyPart = 256

// maxShown bounds one value in a title, in runes.
const maxShown = 120

func shown(value string) string {
	if value == "" {
		return "?"
	}
	value = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(value, "\uFFFD"))
	if runes := []rune(value); len(runes) > maxShown {
		return string(runes[:maxShown-1]) + "…"
	}
	return value
}
