package evaluate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// findings folds the violations of one key together and applies what people
// closed. Neither depends on the order in which anything arrived.
func (r *run) findings() []assay.Finding {
	byKey := map[string][]*violation{}
	for i := range r.violations {
		v := &r.violations[i]
		byKey[v.key] = append(byKey[v.key], v)
	}
	findings := make([]assay.Finding, 0, len(byKey))
	for key, list := range byKey {
		findings = append(findings, r.finding(key, list))
	}
	slices.SortFunc(findings, func(a, b assay.Finding) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), slices.Compare(a.ID[:], b.ID[:]))
	})
	return findings
}

func (r *run) finding(key string, list []*violation) assay.Finding {
	slices.SortStableFunc(list, func(a, b *violation) int { return a.from.Compare(b.from) })
	first := list[0]
	f := assay.Finding{
		ID: assay.NewFindingID(r.check.ID, r.in.Host.ID, key), Host: r.in.Host.ID, Check: r.check.ID, Key: key,
		Title: first.title, OpenedAt: first.from, Fields: first.fields, ClockFault: true,
	}
	open := false
	var refs []assay.EventRef
	for _, v := range list {
		f.LastAt = later(f.LastAt, v.from)
		open = open || v.to.IsZero()
		f.ResolvedAt = later(f.ResolvedAt, v.to)
		f.ClockFault = f.ClockFault && v.clockFault()
		refs = append(refs, v.refs...)
		if v.end != nil {
			refs = append(refs, v.end.Ref)
			f.Grade = f.Grade.Worse(v.end.Grade)
		}
		for _, h := range v.hits {
			refs = append(refs, h.Ref)
			f.Grade = f.Grade.Worse(h.Grade)
			f.LastAt = later(f.LastAt, h.BookedAt)
		}
	}
	if open {
		f.ResolvedAt = time.Time{}
		r.closed(&f)
	}
	f.Evidence, f.EvidenceTotal = newest(refs)
	return f
}

// clockFault reports whether all that the violation rests on was booked at
// receipt.
func (v *violation) clockFault() bool {
	return len(v.hits) > 0 && !slices.ContainsFunc(v.hits, func(h *assay.Hit) bool { return !h.ClockFault })
}

// closed applies the first closure that came after the last violation: what
// happened later opened the finding again.
func (r *run) closed(f *assay.Finding) {
	for i := range r.in.Closures {
		c := &r.in.Closures[i]
		if c.Finding != f.ID || c.Position >= r.size || c.At.After(r.instant) || c.At.Before(f.LastAt) {
			continue
		}
		if f.ResolvedAt.IsZero() || c.At.Before(f.ResolvedAt) {
			f.ResolvedAt, f.ClosedBy, f.Cause = c.At, c.By, c.Cause
		}
	}
}

// newest returns the newest references, each once, and how many there are.
func newest(refs []assay.EventRef) ([]assay.EventRef, int) {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b assay.EventRef) int { return b.Compare(a) })
	refs = slices.Compact(refs)
	return refs[:min(len(refs), assay.MaxEvidence):min(len(refs), assay.MaxEvidence)], len(refs)
}

// decide weighs what was found: fail, error, unknown, pass, in this order.
func (r *run) decide(v *assay.Verdict, findings []assay.Finding) {
	if len(r.clauses) > 0 && r.coverage.expected > 0 {
		v.Coverage, v.HasCoverage = r.coverage.share(), true
	}
	failing := r.failing(v, findings)
	for i := range r.violations {
		v.LastFailing = later(v.LastFailing, r.violations[i].last(r.horizon))
	}
	switch {
	case failing:
	case r.err != nil:
		v.State, v.Reason, v.Detail = assay.StateError, assay.ReasonEvaluator, r.err.Error()
	default:
		r.weigh(v)
	}
}

// last is the newest moment at which the violation was there.
func (v *violation) last(horizon time.Time) time.Time {
	switch {
	case v.momentary:
		return v.from
	case v.to.IsZero():
		return later(v.from, horizon)
	}
	return v.to
}

// failing makes the verdict a fail if a violation lies in the window or a
// finding is open, whatever else is known.
func (r *run) failing(v *assay.Verdict, findings []assay.Finding) bool {
	current := map[string]bool{}
	for i := range r.violations {
		if r.violations[i].within(r.window) {
			current[r.violations[i].key] = true
		}
	}
	var refs []assay.EventRef
	var titles []string
	clock, total := true, 0
	for i := range findings {
		f := &findings[i]
		if f.Open() {
			v.OpenFindings++
		} else if !current[f.Key] {
			continue
		}
		if v.Since.IsZero() || f.OpenedAt.Before(v.Since) {
			v.Since = f.OpenedAt
		}
		total++
		titles = append(titles, f.Title)
		refs = append(refs, f.Evidence...)
		v.EvidenceTotal += f.EvidenceTotal
		v.Grade = v.Grade.Worse(f.Grade)
		clock = clock && f.ClockFault
	}
	if total == 0 {
		return false
	}
	v.State, v.Reason = assay.StateFail, assay.ReasonViolated
	if clock {
		v.Reason = assay.ReasonClock
	}
	v.Evidence, _ = newest(refs)
	v.Detail = titles[len(titles)-1] + "."
	if total > 1 {
		v.Detail = fmt.Sprintf("%s And %d more.", v.Detail, total-1)
	}
	if clock {
		v.Detail += " The host's clock was out of bounds: times are those of receipt."
	}
	return true
}

// weigh tells unknown from pass.
func (r *run) weigh(v *assay.Verdict) {
	refs := r.evidence
	for _, h := range r.proof {
		refs = append(refs, h.Ref)
		v.Grade = v.Grade.Worse(h.Grade)
	}
	if len(r.clauses) > 0 {
		v.Grade = v.Grade.Worse(r.coverage.grade)
	}
	v.Evidence, v.EvidenceTotal = newest(refs)
	r.doubtParameters()
	r.doubtImport()
	r.doubtCoverage()
	if d, found := r.worstDoubt(); found {
		v.State, v.Reason, v.Detail, v.Since = assay.StateUnknown, d.reason, d.detail, d.since
		return
	}
	v.State, v.Detail, v.Since = assay.StatePass, r.passWords(), r.passSince()
}

// doubtOrder says which reason is told where several hold: what people must
// mend first.
var doubtOrder = [...]assay.ReasonCode{
	assay.ReasonParam, assay.ReasonImported, assay.ReasonUnenrolled, assay.ReasonPending, assay.ReasonSilent,
	assay.ReasonDisabled, assay.ReasonGrade, assay.ReasonCoverage, assay.ReasonNoData, assay.ReasonStale, assay.ReasonClock,
}

func (r *run) worstDoubt() (doubt, bool) {
	for _, reason := range doubtOrder {
		for _, d := range r.doubts {
			if d.reason == reason {
				return d, true
			}
		}
	}
	return doubt{}, false
}

func (r *run) doubtParameters() {
	if len(r.missing) > 0 {
		r.doubt(assay.ReasonParam, "The organisation must set "+strings.Join(r.missing, ", ")+".", time.Time{})
	}
	for _, h := range r.proof {
		if h.ClockFault {
			r.doubt(assay.ReasonClock, "What would show it was booked at receipt: the host's clock was out of bounds.", h.BookedAt)
		}
	}
}

func (r *run) doubtImport() {
	if r.in.Host.Imported {
		r.doubt(assay.ReasonImported, "The host is known from exported logs alone, judged as of their last event; that nothing else happened cannot be shown.", r.horizon)
		return
	}
	if r.in.Host.FirstSeen.IsZero() {
		r.doubt(assay.ReasonUnenrolled, "The host is expected but was never heard of.", time.Time{})
	}
}

// doubtCoverage derives unknown from what was not covered. Checks that prove
// themselves, and those that require nothing, have no coverage to doubt.
func (r *run) doubtCoverage() {
	c := &r.coverage
	if r.in.Host.Imported {
		return
	}
	if r.window.empty() && r.check.Record == nil {
		r.doubt(assay.ReasonPending, "Nothing of the window has been projected yet.", r.window.from)
		return
	}
	if r.selfProof || len(r.check.Clauses) == 0 {
		return
	}
	since := c.gap.from
	if c.expected == 0 && c.pending == 0 && c.off > 0 {
		r.doubt(assay.ReasonNoData, "The host was shut down for the whole window.", r.window.from)
		return
	}
	if c.nothing {
		r.doubt(assay.ReasonNoData, "No source that could tell has been heard of in the window.", r.window.from)
		return
	}
	if r.window.length() < MaximumGap {
		r.doubt(assay.ReasonPending, fmt.Sprintf("The host has been observed for less than %s.", MaximumGap), r.window.from)
		return
	}
	if c.enough() {
		return
	}
	reason := assay.ReasonCoverage
	switch {
	case c.longestPending > MaximumGap:
		reason = assay.ReasonPending
	case c.silent:
		reason = assay.ReasonSilent
	case c.disabled > 0 && c.disabled >= c.expected-c.covered-c.disabled:
		reason = assay.ReasonDisabled
	case c.weak > 0 && c.weak >= c.expected-c.covered-c.weak:
		reason = assay.ReasonGrade
	}
	r.doubt(reason, c.words()+".", since)
}

func (r *run) passWords() string {
	text := "No violation."
	if len(r.clauses) > 0 {
		text += " " + r.coverage.words() + "."
	}
	if r.explained > 0 {
		text += fmt.Sprintf(" %d explained.", r.explained)
	}
	return text
}

// passSince is when the last thing ended that would have forbidden the pass.
func (r *run) passSince() time.Time {
	since := r.window.from
	if len(r.clauses) > 0 {
		since = r.coverage.since
	}
	for i := range r.violations {
		since = later(since, r.violations[i].last(r.horizon))
	}
	return since
}

// dispose adds what people decided about a verdict that is no pass. The state
// stays as it is.
func (r *run) dispose(v *assay.Verdict) {
	if v.State == assay.StatePass {
		return
	}
	for i := range r.in.Exceptions {
		e := &r.in.Exceptions[i]
		if e.Check == v.Check && (e.Host == assay.HostID{} || e.Host == v.Host) && e.Position < r.size && e.In(r.instant) &&
			(v.Excepted == "" || e.ID < v.Excepted) {
			v.Disposition, v.Excepted = e.Disposition, e.ID
		}
	}
}
