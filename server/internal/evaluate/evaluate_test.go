package evaluate

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/assay-audit/assay/server/internal/assay"
)

const (
	security = "Security"
	system   = "System"
)

// watched are inputs of a host whose Security and System logs were covered for
// ten days.
func watched(t testing.TB) Inputs {
	t.Helper()
	in := Inputs{
		Library: load(t), Watermark: fixtureInstant,
		Host: Host{ID: assay.HostID{1}, FirstSeen: fixtureInstant.Add(-240 * time.Hour)},
	}
	for _, channel := range []string{security, system} {
		in.Coverage = append(in.Coverage, assay.CoverageRange{
			Source: "event_log", Channel: channel, Capability: "audit.policy_change", State: assay.Covered, Mode: assay.Live,
			Grade: assay.GradeC, From: fixtureInstant.Add(-240 * time.Hour), To: fixtureInstant,
			Since: assay.EventRef{Position: 1}, Until: assay.EventRef{Position: 90},
		})
	}
	return in
}

func cleared(ago time.Duration, position uint64) assay.Hit {
	at := fixtureInstant.Add(-ago)
	return assay.Hit{
		Check: "log.cleared", Selector: "security", Ref: assay.EventRef{Position: position}, ObservedAt: at, ReceivedAt: at, BookedAt: at,
		Grade: assay.GradeC, Channel: security, EventID: 1102, RecordID: position,
	}
}

func verdictOf(t testing.TB, r Result, check string) assay.Verdict {
	t.Helper()
	for _, v := range r.Verdicts {
		if v.Check == check {
			return v
		}
	}
	t.Fatalf("no verdict of %s", check)
	return assay.Verdict{}
}

func findingsOf(r Result, check string) []assay.Finding {
	var list []assay.Finding
	for _, f := range r.Findings {
		if f.Check == check {
			list = append(list, f)
		}
	}
	return list
}

func wantState(t *testing.T, r Result, check string, state assay.State, reason assay.ReasonCode) assay.Verdict {
	t.Helper()
	v := verdictOf(t, r, check)
	if v.State != state || v.Reason != reason {
		t.Errorf("%s is %s (%s), want %s (%s): %s", check, v.State, v.Reason, state, reason, v.Detail)
	}
	return v
}

func TestOpenUntilClosed(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Hits = []assay.Hit{cleared(100*time.Hour, 40)}
	first := Evaluate(in, 100, fixtureInstant)
	v := wantState(t, first, "log.cleared", assay.StateFail, assay.ReasonViolated)
	if v.OpenFindings != 1 || !v.Since.Equal(in.Hits[0].BookedAt) || len(v.Evidence) != 1 || v.Evidence[0].Position != 40 {
		t.Errorf("verdict %+v", v)
	}
	id := findingsOf(first, "log.cleared")[0].ID

	in.Closures = []assay.Closure{{Finding: id, At: fixtureInstant.Add(-50 * time.Hour), By: "ann", Cause: "reinstalled", Position: 60}}
	closed := Evaluate(in, 100, fixtureInstant)
	v = wantState(t, closed, "log.cleared", assay.StatePass, "")
	if !v.LastFailing.Equal(in.Hits[0].BookedAt) {
		t.Errorf("last failing %s", v.LastFailing)
	}
	if f := findingsOf(closed, "log.cleared")[0]; f.ID != id || f.ClosedBy != "ann" || f.Open() || f.Cause != "reinstalled" {
		t.Errorf("finding %+v", f)
	}
	// Before the closure was recorded it was open, and so it was before it was made.
	wantState(t, Evaluate(in, 60, fixtureInstant), "log.cleared", assay.StateFail, assay.ReasonViolated)
	wantState(t, Evaluate(in, 100, fixtureInstant.Add(-60*time.Hour)), "log.cleared", assay.StateFail, assay.ReasonViolated)
	// A closure before the event closes nothing.
	in.Closures[0].At = fixtureInstant.Add(-101 * time.Hour)
	wantState(t, Evaluate(in, 100, fixtureInstant), "log.cleared", assay.StateFail, assay.ReasonViolated)
}

func TestClosureDoesNotHideTheWindow(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Hits = []assay.Hit{cleared(10*time.Hour, 40)}
	id := findingsOf(Evaluate(in, 100, fixtureInstant), "log.cleared")[0].ID
	in.Closures = []assay.Closure{{Finding: id, At: fixtureInstant.Add(-9 * time.Hour), By: "ann", Cause: "test", Position: 60}}
	v := wantState(t, Evaluate(in, 100, fixtureInstant), "log.cleared", assay.StateFail, assay.ReasonViolated)
	if v.OpenFindings != 0 {
		t.Errorf("open findings %d", v.OpenFindings)
	}
}

func TestReopened(t *testing.T) {
	t.Parallel()
	in := watched(t)
	hit := func(ago time.Duration, position uint64) assay.Hit {
		h := cleared(ago, position)
		h.Check, h.Selector = "log.policy_change", "removed"
		h.Fields = map[string]string{"SubcategoryGuid": "{0cce922b-69ae-11d9-bed3-505054503030}"}
		return h
	}
	in.Hits = []assay.Hit{hit(60*time.Hour, 40)}
	id := findingsOf(Evaluate(in, 100, fixtureInstant), "log.policy_change")[0].ID
	in.Closures = []assay.Closure{{Finding: id, At: fixtureInstant.Add(-59 * time.Hour), By: "ann", Cause: "x", Position: 50}}
	wantState(t, Evaluate(in, 100, fixtureInstant), "log.policy_change", assay.StatePass, "")
	// The same on the same day, after it was closed, opens it again.
	in.Hits = append(in.Hits, hit(58*time.Hour, 55))
	again := Evaluate(in, 100, fixtureInstant)
	wantState(t, again, "log.policy_change", assay.StateFail, assay.ReasonViolated)
	if f := findingsOf(again, "log.policy_change"); len(f) != 1 || f[0].ID != id || f[0].EvidenceTotal != 2 || !f[0].Open() {
		t.Errorf("findings %+v", f)
	}
}

func TestKnownThen(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Hits = []assay.Hit{cleared(10*time.Hour, 40)}
	wantState(t, Evaluate(in, 40, fixtureInstant), "log.cleared", assay.StatePass, "")
	wantState(t, Evaluate(in, 41, fixtureInstant), "log.cleared", assay.StateFail, assay.ReasonViolated)
	wantState(t, Evaluate(in, 100, fixtureInstant.Add(-11*time.Hour)), "log.cleared", assay.StatePass, "")
	// Coverage that was not known then does not cover then.
	wantState(t, Evaluate(in, 1, fixtureInstant), "log.cleared", assay.StateUnknown, assay.ReasonNoData)
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Hits = []assay.Hit{cleared(10*time.Hour, 40)}
	in.Exceptions = []assay.Exception{{
		ID: "e1", Check: "log.cleared", Disposition: assay.RiskAccepted, Owner: "o", Approver: "a",
		From: fixtureInstant.Add(-48 * time.Hour), Expiry: fixtureInstant.Add(time.Hour), Position: 50,
	}}
	v := wantState(t, Evaluate(in, 100, fixtureInstant), "log.cleared", assay.StateFail, assay.ReasonViolated)
	if v.Disposition != assay.RiskAccepted || v.Excepted != "e1" {
		t.Errorf("disposition %q of %q", v.Disposition, v.Excepted)
	}
	for name, change := range map[string]func(*assay.Exception){
		"expired":       func(e *assay.Exception) { e.Expiry = fixtureInstant },
		"not yet":       func(e *assay.Exception) { e.From = fixtureInstant.Add(time.Minute) },
		"not known":     func(e *assay.Exception) { e.Position = 100 },
		"another host":  func(e *assay.Exception) { e.Host = assay.HostID{9} },
		"another check": func(e *assay.Exception) { e.Check = "log.stop" },
	} {
		other := in
		e := in.Exceptions[0]
		change(&e)
		other.Exceptions = []assay.Exception{e}
		if v := verdictOf(t, Evaluate(other, 100, fixtureInstant), "log.cleared"); v.Disposition != "" {
			t.Errorf("%s: disposition %q", name, v.Disposition)
		}
	}
}

func TestErrorIsNeitherFailNorPass(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Parameters = map[string]map[string]string{"log.stop": {"shutdown_before": "soon"}}
	v := wantState(t, Evaluate(in, 100, fixtureInstant), "log.stop", assay.StateError, assay.ReasonEvaluator)
	if !strings.Contains(v.Detail, "shutdown_before") {
		t.Errorf("detail %q", v.Detail)
	}
	// A value that a predicate cannot take is an error of this check alone.
	in = watched(t)
	h := cleared(time.Hour, 40)
	h.Check, h.Selector = "time.changed", "audited"
	h.Fields = map[string]string{"ProcessName": "x.exe", "NewTime": "2026-99-99T00:00:00Z", "PreviousTime": "2026-03-02T00:00:00Z"}
	in.Hits = []assay.Hit{h}
	result := Evaluate(in, 100, fixtureInstant)
	wantState(t, result, "time.changed", assay.StateError, assay.ReasonEvaluator)
	wantState(t, result, "log.cleared", assay.StatePass, "")
	// A violation that is certain is a fail even then.
	h.Fields = map[string]string{"ProcessName": "x.exe"}
	h.RecordID, h.Ref.Position = 50, 50
	in.Hits = append(in.Hits, h)
	wantState(t, Evaluate(in, 100, fixtureInstant), "time.changed", assay.StateFail, assay.ReasonViolated)
}

func TestLaggingServer(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Watermark = fixtureInstant.Add(-3 * time.Hour)
	for i := range in.Coverage {
		in.Coverage[i].To = in.Watermark.Add(-time.Minute)
	}
	result := Evaluate(in, 100, fixtureInstant)
	wantState(t, result, "log.cleared", assay.StatePass, "")
	wantState(t, result, "agent.alive", assay.StatePass, "")
	if !result.Judged.Equal(in.Watermark) {
		t.Errorf("judged %s", result.Judged)
	}
	in.Watermark = fixtureInstant.Add(-30 * time.Hour)
	wantState(t, Evaluate(in, 100, fixtureInstant), "log.cleared", assay.StateUnknown, assay.ReasonPending)
}

func TestNewHost(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Host.FirstSeen = fixtureInstant.Add(-5 * time.Minute)
	for i := range in.Coverage {
		in.Coverage[i].From = in.Host.FirstSeen
	}
	v := wantState(t, Evaluate(in, 100, fixtureInstant), "log.cleared", assay.StateUnknown, assay.ReasonPending)
	if !v.Accruing || !v.WindowFrom.Equal(in.Host.FirstSeen) {
		t.Errorf("verdict %+v", v)
	}
	in.Host.FirstSeen = fixtureInstant.Add(-2 * time.Hour)
	for i := range in.Coverage {
		in.Coverage[i].From = in.Host.FirstSeen
	}
	v = wantState(t, Evaluate(in, 100, fixtureInstant), "log.cleared", assay.StatePass, "")
	if !v.Accruing || v.Coverage != 1 {
		t.Errorf("verdict %+v", v)
	}
}

// TestHostileValues: what an attacker writes into an event can neither forge a
// key nor carry control characters into a title.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	in := watched(t)
	h := cleared(time.Hour, 40)
	h.Check, h.Selector = "log.stop", "publisher"
	h.Fields = map[string]string{"PublisherID": "a|2026-03-02\x00\u202e\xff" + strings.Repeat("x", 5000)}
	in.Hits = []assay.Hit{h}
	f := findingsOf(Evaluate(in, 100, fixtureInstant), "log.stop")[0]
	if strings.ContainsRune(f.Title+f.Key, 0) || !utf8.ValidString(f.Title+f.Key) || len(f.Title) > 600 || len(f.Key) > 600 || strings.Count(f.Key, "|") != 2 {
		t.Errorf("title %q key %q", f.Title, f.Key)
	}
}

func TestPeriodIsItsWorstDay(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Hits = []assay.Hit{cleared(30*time.Hour, 40)}
	in.Closures = []assay.Closure{{
		Finding: findingsOf(Evaluate(in, 100, fixtureInstant), "log.cleared")[0].ID,
		At:      fixtureInstant.Add(-29 * time.Hour), Position: 41,
	}}
	var buckets []assay.Verdict
	for d := range 4 {
		buckets = append(buckets, verdictOf(t, Evaluate(in, 100, fixtureInstant.AddDate(0, 0, -d)), "log.cleared"))
	}
	worst, failed := Period(buckets)
	if worst != assay.StateFail || len(failed) != 1 || !failed[0].WindowFrom.Equal(fixtureInstant.AddDate(0, 0, -2)) {
		t.Errorf("worst %s, failed %v", worst, failed)
	}
}

// An importer's own host is no subject of checks about Windows.
func TestOtherSystemsAreOutOfScope(t *testing.T) {
	t.Parallel()
	in := watched(t)
	in.Host.OS = "linux"
	result := Evaluate(in, 100, fixtureInstant)
	if v := verdictOf(t, result, "log.cleared"); v.State != assay.StateNotApplicable || v.Reason != assay.ReasonScope {
		t.Errorf("log.cleared on linux is %s, %s", v.State, v.Reason)
	}
	in.Host.OS = "windows"
	if v := verdictOf(t, Evaluate(in, 100, fixtureInstant), "log.cleared"); v.State == assay.StateNotApplicable {
		t.Errorf("log.cleared on windows is %s", v.State)
	}
}
