package evaluate

import (
	"cmp"
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// EngineVersion names the semantics of this package. It changes whenever the
// same facts would give another result.
const EngineVersion = "1"

// Evaluate judges one host by all checks of the library: what was known when
// the ledger had the size, of everything up to the instant. Facts at positions
// from size on, and facts booked after the instant, do not exist for it.
func Evaluate(in Inputs, size uint64, instant time.Time) Result {
	j := newJudge(&in, size, instant.UTC())
	result := Result{Host: in.Host.ID, Instant: j.instant, Judged: j.horizon, Size: size}
	for _, check := range in.Library.Checks() {
		verdict, findings := j.check(check)
		result.Verdicts = append(result.Verdicts, verdict)
		result.Findings = append(result.Findings, findings...)
	}
	return result
}

// judge is one evaluation of one host.
type judge struct {
	in      *Inputs
	size    uint64
	instant time.Time
	// horizon is how far freshness and silence are judged.
	horizon time.Time
	window  span
	hits    map[string][]*assay.Hit // by check, in order
	ranges  ranges
	// offTimes are the recorded shutdowns of any source, united.
	offTimes []span
	// stops are the recorded beginnings of shutdowns. Until the host starts
	// again, they make the silence after them undecided.
	stops   []time.Time
	hostRow map[string]any
}

func newJudge(in *Inputs, size uint64, instant time.Time) *judge {
	j := &judge{in: in, size: size, instant: instant, horizon: earlier(instant, in.Watermark.UTC())}
	j.hits = knownHits(in.Hits, size, instant)
	if in.Host.Imported {
		j.horizon = lastEvent(in, size, instant)
	}
	j.ranges = newRanges(in.Coverage, size, j.horizon)
	j.window = span{instant.Add(-Window), j.horizon}
	if in.Host.Imported {
		j.window.from = j.horizon.Add(-Window)
	}
	if in.Host.FirstSeen.After(j.window.from) {
		j.window.from = in.Host.FirstSeen.UTC()
	}
	for _, list := range j.ranges.byChannel {
		for _, c := range list {
			if c.State == assay.ExplainedOff && !in.Host.ExpectedOn {
				j.offTimes = append(j.offTimes, span{c.From, c.To})
			}
		}
	}
	j.offTimes = union(j.offTimes)
	j.stops = recordedStops(in.Library, j.hits)
	kind := "enrolled"
	if in.Host.Imported {
		kind = "imported"
	}
	tags := in.Host.Tags
	if tags == nil {
		tags = []string{}
	}
	j.hostRow = map[string]any{"kind": kind, "tags": tags, "os": in.Host.OS, "expected_on": in.Host.ExpectedOn}
	return j
}

// knownHits groups by check what was known, in an order that does not depend
// on arrival.
func knownHits(hits []assay.Hit, size uint64, instant time.Time) map[string][]*assay.Hit {
	byCheck := map[string][]*assay.Hit{}
	for i := range hits {
		if h := &hits[i]; h.Ref.Position < size && !h.BookedAt.After(instant) {
			byCheck[h.Check] = append(byCheck[h.Check], h)
		}
	}
	for check, list := range byCheck {
		slices.SortFunc(list, compareHits)
		byCheck[check] = slices.CompactFunc(list, sameEvent)
	}
	return byCheck
}

// shutdownSlack is how far a recorded shutdown may stand from the last that
// was heard of the agent.
const shutdownSlack = 5 * time.Minute

// recordedStops collects the shutdowns that the check of the agent's life
// selects.
func recordedStops(library *framework.Library, hits map[string][]*assay.Hit) []time.Time {
	var stops []time.Time
	for _, c := range library.Checks() {
		if c.Latest == nil || c.Latest.Of != framework.OfHealth {
			continue
		}
		for _, h := range hits[c.ID] {
			if slices.ContainsFunc(c.Latest.Off, func(s framework.Signal) bool { return slices.Contains(s.On, h.Selector) }) {
				stops = append(stops, h.BookedAt)
			}
		}
	}
	return stops
}

// lastHeard is the end of the newest statement of the host on anything.
func (j *judge) lastHeard() time.Time {
	var last time.Time
	for _, list := range j.ranges.byChannel {
		for _, c := range list {
			last = later(last, earlier(c.To, j.horizon))
		}
	}
	return last
}

// shutDownAt reports whether silence from the moment on follows a recorded
// shutdown of a host that may be off.
func (j *judge) shutDownAt(at time.Time) bool {
	return !j.in.Host.ExpectedOn && slices.ContainsFunc(j.stops, func(stop time.Time) bool {
		return !stop.Before(at.Add(-shutdownSlack)) && !stop.After(at.Add(shutdownSlack))
	})
}

// compareHits orders by time, then by record within a channel, then by where
// the event stands in the ledger.
func compareHits(a, b *assay.Hit) int {
	return cmp.Or(
		a.BookedAt.Compare(b.BookedAt),
		cmp.Compare(a.Channel, b.Channel),
		cmp.Compare(a.RecordID, b.RecordID),
		cmp.Compare(a.Selector, b.Selector),
		a.Ref.Compare(b.Ref),
	)
}

// sameEvent reports whether two neighbours are one event that came twice, by
// two epochs of a stream or by two ways: the first in the ledger is kept.
func sameEvent(a, b *assay.Hit) bool {
	return a.RecordID != 0 && a.RecordID == b.RecordID && a.Channel == b.Channel &&
		a.Selector == b.Selector && a.BookedAt.Equal(b.BookedAt) && a.EventID == b.EventID
}

// lastEvent is the newest moment that anything is known of on an imported host.
func lastEvent(in *Inputs, size uint64, instant time.Time) time.Time {
	var last time.Time
	for i := range in.Hits {
		if h := &in.Hits[i]; h.Ref.Position < size && !h.BookedAt.After(instant) {
			last = later(last, h.BookedAt)
		}
	}
	for i := range in.Coverage {
		if c := &in.Coverage[i]; c.Since.Position < size && c.State == assay.Covered {
			last = later(last, earlier(c.To, instant))
		}
	}
	return last.UTC()
}

// check judges one check.
func (j *judge) check(check *framework.Check) (assay.Verdict, []assay.Finding) {
	r := &run{judge: j, check: check}
	verdict := assay.Verdict{
		Host: j.in.Host.ID, Check: check.ID, WindowFrom: j.window.from, WindowTo: j.window.to,
		Accruing: j.in.Host.FirstSeen.After(j.instant.Add(-Window)),
	}
	if reason, detail, out := r.outOfScope(); out {
		verdict.State, verdict.Reason, verdict.Detail = assay.StateNotApplicable, reason, detail
		return verdict, nil
	}
	if r.err == nil {
		r.measure()
		r.facts()
	}
	findings := r.findings()
	r.decide(&verdict, findings)
	r.dispose(&verdict)
	return verdict, findings
}

// windowsOS is what an agent on Windows says of its system.
const windowsOS = "windows"

// outOfScope says whether the check is not about this host, and resolves the
// parameters on the way, which its predicate may need.
func (r *run) outOfScope() (reason assay.ReasonCode, detail string, out bool) {
	r.parameters, r.missing, r.err = r.check.Resolve(r.in.Parameters[r.check.ID])
	if r.in.Host.Imported && r.check.ImportedNotApplicable {
		return assay.ReasonImported, "The host is known from exported logs alone, of which this cannot be said.", true
	}
	if os := r.in.Host.OS; !r.in.Host.Imported && os != "" && os != windowsOS && r.check.Subject == assay.OfHost {
		return assay.ReasonScope, "The check is about Windows; this host runs " + os + " and only imports the logs of others.", true
	}
	if r.err != nil {
		return "", "", false
	}
	applies, err := r.check.Applies.Bool(r.row(nil))
	if err != nil {
		r.err = err
		return "", "", false
	}
	return assay.ReasonScope, r.check.NotApplicable, !applies
}

// facts lets the check's kind look for violations and proof.
func (r *run) facts() {
	if len(r.missing) > 0 {
		return
	}
	switch c := r.check; c.Kind {
	case assay.Occurrence:
		r.occurrences(c.Occurrence)
	case assay.StateKind:
		if c.State.Of == framework.OfCoverage {
			r.gaps(c.State)
		} else {
			r.state(c.State)
		}
	case assay.Latest:
		if c.Latest.Of == framework.OfHealth {
			r.alive(c.Latest)
		} else {
			r.latest(c.Latest)
		}
	case assay.Expect:
		r.expect(c.Expect)
	case assay.ListKind:
		r.list(c.List)
	case assay.MetricKind:
		r.metric(c.Metric)
	case assay.RecordKind:
		r.record(c.Record)
	case assay.Capability:
		r.capability(c.Capability)
	}
}
