package evaluate

import (
	"slices"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

func TestChangeWindow(t *testing.T) {
	t.Parallel()
	base := watched(t)
	h := cleared(10*time.Hour, 40)
	h.Check, h.Selector = "log.policy_change", "per_user"
	base.Hits = []assay.Hit{h}
	window := ChangeWindow{From: h.BookedAt, To: h.BookedAt.Add(time.Minute), Checks: []string{"log.policy_change"}, Position: 50}
	for name, c := range map[string]struct {
		change func(*ChangeWindow)
		want   assay.State
	}{
		"around it":        {func(*ChangeWindow) {}, assay.StatePass},
		"of every check":   {func(w *ChangeWindow) { w.Checks = nil }, assay.StatePass},
		"begins after it":  {func(w *ChangeWindow) { w.From = h.BookedAt.Add(time.Second) }, assay.StateFail},
		"ends at it":       {func(w *ChangeWindow) { w.From, w.To = h.BookedAt.Add(-time.Hour), h.BookedAt }, assay.StateFail},
		"of another check": {func(w *ChangeWindow) { w.Checks = []string{"fw.change"} }, assay.StateFail},
		"not known then":   {func(w *ChangeWindow) { w.Position = 100 }, assay.StateFail},
	} {
		in, w := base, window
		c.change(&w)
		in.ChangeWindows = []ChangeWindow{w}
		if v := verdictOf(t, Evaluate(in, 100, fixtureInstant), "log.policy_change"); v.State != c.want {
			t.Errorf("%s: %s, want %s", name, v.State, c.want)
		}
	}
}

// TestThinCoverage: short gaps that are tolerated one by one add up.
func TestThinCoverage(t *testing.T) {
	t.Parallel()
	in := watched(t)
	split := func(gaps int) Inputs {
		out := in
		out.Coverage = nil
		for _, c := range in.Coverage {
			for i := range gaps {
				before, gap := c, c
				at := fixtureInstant.Add(-time.Duration(20-i) * time.Hour)
				before.To = at
				gap.From, gap.To, gap.State, gap.Reason = at, at.Add(10*time.Minute), assay.Unexplained, "lost 1 events"
				out.Coverage = append(out.Coverage, before, gap)
				c.From = gap.To
			}
			out.Coverage = append(out.Coverage, c)
		}
		return out
	}
	wantState(t, Evaluate(split(1), 100, fixtureInstant), "log.cleared", assay.StatePass, "")
	v := wantState(t, Evaluate(split(2), 100, fixtureInstant), "log.cleared", assay.StateUnknown, assay.ReasonCoverage)
	if v.Coverage < 0.986 || v.Coverage > 0.9862 {
		t.Errorf("coverage %f", v.Coverage)
	}
	if len(findingsOf(Evaluate(split(2), 100, fixtureInstant), "log.gap")) != 0 {
		t.Error("a gap of ten minutes is a finding")
	}
}

// TestLossIsNotDisability: as long as one source is able and only lost
// something, a capability is unknown, not violated.
func TestLossIsNotDisability(t *testing.T) {
	t.Parallel()
	in := Inputs{Library: load(t), Watermark: fixtureInstant, Host: Host{FirstSeen: fixtureInstant.Add(-72 * time.Hour)}}
	row := func(source, reason string) assay.CoverageRange {
		channel := ""
		if source == "sysmon" {
			channel = "Microsoft-Windows-Sysmon/Operational"
		}
		return assay.CoverageRange{
			Source: source, Channel: channel, Capability: "process.start", State: assay.Unexplained, Reason: reason,
			From: fixtureInstant.Add(-72 * time.Hour), To: fixtureInstant,
		}
	}
	in.Coverage = []assay.CoverageRange{row("sysmon", "lost 12 events"), row("etw", "not running: no rights")}
	wantState(t, Evaluate(in, 9, fixtureInstant), "proc.telemetry", assay.StateUnknown, assay.ReasonCoverage)
	in.Coverage[0].Reason = "not running: stopped"
	wantState(t, Evaluate(in, 9, fixtureInstant), "proc.telemetry", assay.StateFail, assay.ReasonViolated)
}

// TestGapKeepsItsIdentity: an open gap is one finding while time goes on, even
// as older facts are no longer given.
func TestGapKeepsItsIdentity(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Coverage[0].To = fixtureInstant.Add(-100 * time.Hour)
	lost := in.Coverage[0]
	lost.From, lost.To, lost.State, lost.Reason = in.Coverage[0].To, fixtureInstant, assay.Unexplained, "not running: stopped"
	in.Coverage = append(in.Coverage, lost)
	first := findingsOf(Evaluate(in, 100, fixtureInstant.Add(-50*time.Hour)), "log.gap")
	in.From = fixtureInstant.Add(-30 * time.Hour)
	later := findingsOf(Evaluate(in, 100, fixtureInstant), "log.gap")
	if len(first) != 1 || len(later) != 1 || first[0].ID != later[0].ID || !later[0].Open() || !later[0].OpenedAt.Equal(lost.From) {
		t.Errorf("first %+v\nlater %+v", first, later)
	}
}

func TestMatchesEntry(t *testing.T) {
	t.Parallel()
	const value = `USBSTOR\DISK&VEN_SANDISK\4C530001&0`
	for entry, want := range map[string]bool{
		value: true, `usbstor\disk&ven_sandisk\4c530001&0`: true, `USBSTOR\*`: true, `*4C530001*`: true, `*`: true,
		`*\4C530001&0`: true, `USBSTOR*SANDISK*&0`: true, ``: false, `USBSTOR`: false, `*4C530002*`: false, `USBSTOR\*\*\*`: false,
		`*&0&0`: false, `USBSTOR*USBSTOR*`: false,
	} {
		if matchesEntry(entry, value) != want {
			t.Errorf("%q: %v", entry, !want)
		}
	}
}

func TestListHoldsFrom(t *testing.T) {
	t.Parallel()
	base := watched(t)
	h := cleared(10*time.Hour, 40)
	h.Check, h.Selector, h.Fields = "media.known_device", "recognised", map[string]string{"DeviceId": `USBSTOR\X\1`}
	base.Hits = []assay.Hit{h}
	at := h.BookedAt
	for name, c := range map[string]struct {
		entry ListEntry
		state assay.State
		open  int
	}{
		"held then":         {ListEntry{Value: `USBSTOR\x\1`, From: at.Add(-time.Hour)}, assay.StatePass, 0},
		"had ended":         {ListEntry{Value: `USBSTOR\X\1`, To: at}, assay.StateFail, 1},
		"approved later":    {ListEntry{Value: `USBSTOR\X\1`, From: at.Add(time.Hour)}, assay.StateFail, 0},
		"approved too late": {ListEntry{Value: `USBSTOR\X\1`, From: fixtureInstant.Add(time.Hour)}, assay.StateFail, 1},
		"another":           {ListEntry{Value: `USBSTOR\X\2`}, assay.StateFail, 1},
	} {
		in := base
		in.Lists = map[string]List{"removable_devices": {Entries: []ListEntry{c.entry}}}
		v := verdictOf(t, Evaluate(in, 100, fixtureInstant), "media.known_device")
		if v.State != c.state || v.OpenFindings != c.open {
			t.Errorf("%s: %s with %d open", name, v.State, v.OpenFindings)
		}
	}
}

func TestRecordNamesItsHost(t *testing.T) {
	t.Parallel()
	a, b := assay.Verdict{Host: assay.HostID{1}, Check: "x"}, assay.Verdict{Host: assay.HostID{2}, Check: "x"}
	if slices.Equal(Record(&a), Record(&b)) {
		t.Error("two hosts have one record")
	}
}

// TestAtLeast: a clause that wants two sources is as good as the second best.
func TestAtLeast(t *testing.T) {
	t.Parallel()
	at := fixtureInstant.Add(-time.Hour)
	row := func(source string, grade assay.Grade, state assay.CoverageState) assay.CoverageRange {
		return assay.CoverageRange{Source: source, Capability: "process.start", State: state, Grade: grade, From: at.Add(-time.Hour), To: fixtureInstant}
	}
	clause := framework.Clause{AtLeast: 2, MinimumGrade: assay.GradeC}
	for _, source := range []string{"kernel", "sysmon", "etw"} {
		clause.AnyOf = append(clause.AnyOf, framework.Source{Source: source, Capabilities: []string{"process.start"}})
	}
	for name, c := range map[string]struct {
		rows  []assay.CoverageRange
		seen  seen
		grade assay.Grade
	}{
		"two of three":     {[]assay.CoverageRange{row("kernel", assay.GradeA, assay.Covered), row("etw", assay.GradeC, assay.Covered)}, covered, assay.GradeC},
		"all":              {[]assay.CoverageRange{row("kernel", assay.GradeA, assay.Covered), row("etw", assay.GradeC, assay.Covered), row("sysmon", assay.GradeB, assay.Covered)}, covered, assay.GradeB},
		"one":              {[]assay.CoverageRange{row("kernel", assay.GradeA, assay.Covered)}, missing, assay.NoGrade},
		"one and one weak": {[]assay.CoverageRange{row("kernel", assay.GradeA, assay.Covered), row("etw", assay.GradeD, assay.Covered)}, weak, assay.GradeD},
		"shut down":        {[]assay.CoverageRange{row("kernel", assay.GradeA, assay.ExplainedOff), row("etw", assay.GradeC, assay.ExplainedOff)}, off, assay.GradeC},
	} {
		r := newRanges(c.rows, 9, fixtureInstant)
		if got := r.clause(&clause, at, false); got.seen != c.seen || got.grade != c.grade {
			t.Errorf("%s: %d grade %s, want %d grade %s", name, got.seen, got.grade, c.seen, c.grade)
		}
	}
}

// TestOldProofIsForgotten: an old event whose time was at fault casts doubt on
// its own day alone.
func TestOldProofIsForgotten(t *testing.T) {
	t.Parallel()
	in := watched(t)
	h := cleared(100*time.Hour, 40)
	h.Check, h.Selector, h.Fields, h.ClockFault = "media.known_device", "recognised", map[string]string{"DeviceId": "USBSTOR\\X\\1"}, true
	in.Hits = []assay.Hit{h}
	in.Lists = map[string]List{"removable_devices": {Entries: []ListEntry{{Value: "*"}}}}
	wantState(t, Evaluate(in, 100, fixtureInstant), "media.known_device", assay.StatePass, "")
	wantState(t, Evaluate(in, 100, fixtureInstant.Add(-90*time.Hour)), "media.known_device", assay.StateUnknown, assay.ReasonClock)
}
