package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

func load(t testing.TB) *framework.Library {
	t.Helper()
	library, err := framework.Load()
	if err != nil {
		t.Fatal(err)
	}
	return library
}

// random makes facts of a host over five days: hits of every selector with
// values that decide, values that do not and none; coverage with gaps, losses,
// shutdowns and recoveries; metrics, verifications, lists and closures.
type random struct {
	*rand.Rand
	library *framework.Library
	next    uint64
}

var randomValues = map[string][]string{
	"Channel": {"Security", "Other"}, "SubcategoryGuid": {"{0CCE922B-69AE-11D9-BED3-505054503030}", "{0CCE9213-69AE-11D9-BED3-505054503030}"},
	"AuditPolicyChanges": {"%%8448", "%%8449"}, "RTP state": {"Enabled", "Disabled", ""}, "OA state": {"Enabled", "Disabled"},
	"IOAV state": {"Enabled"}, "BM state": {"Enabled"}, "Last AV security intelligence age": {"0", "3", "4", "x", "4294967295"},
	"Detection ID": {"{a}", "{b}", ""}, "Scan ID": {"{s}", ""}, "Error Code": {"0x0", "0x80508023"}, "Action ID": {"2", "6"},
	"SettingType": {"1"}, "SettingValue": {"00000000", "01000000", "zz"}, "Profiles": {"1", "2"},
	"ProcessName": {`C:\Windows\System32\svchost.exe`, `C:\x.exe`, ""},
	"NewTime":     {"2026-03-02T18:00:00.0000000Z", "never"}, "PreviousTime": {"2026-03-02T18:00:00.5000000Z", "2026-03-02T12:00:00Z"}, "OldTime": {"2026-03-02T12:00:00Z"},
	"DeviceId":   {`USBSTOR\DISK&VEN_A\1&0`, `SWD\WPDBUSENUM\_??_USBSTOR#A#1&0#{g}`, `SWD\WPDBUSENUM\_??_BAD`},
	"InstanceId": {`USBSTOR\DISK&VEN_B\2&0`}, "DeviceInstanceID": {`USBSTOR\DISK&VEN_A\1&0`}, "ParentId": {`USB\VID_1&PID_2\3`},
}

func pick[T any](r *random, list []T) T { return list[r.IntN(len(list))] }

func (r *random) ref() assay.EventRef {
	r.next++
	return assay.EventRef{Position: r.next / 3, Ordinal: uint32(r.next % 3)}
}

// moment is a minute of the last five days.
func (r *random) moment() time.Time {
	return fixtureInstant.Add(-time.Duration(r.IntN(5*24*60)) * time.Minute)
}

func (r *random) hit(selector *framework.SigmaSelector) assay.Hit {
	at := r.moment()
	h := assay.Hit{
		Host: assay.HostID{7}, Check: selector.Check, Selector: selector.Selector, Ref: r.ref(),
		ObservedAt: at, ReceivedAt: at, BookedAt: at, ClockFault: r.IntN(20) == 0,
		Mode: pick(r, []assay.Mode{assay.Live, assay.Backfill}), Grade: assay.GradeC, Channel: "channel", RecordID: uint64(r.IntN(4000)),
		Fields: map[string]string{},
	}
	for _, name := range selector.Keep {
		if values := randomValues[name]; values != nil {
			h.Fields[name] = pick(r, values)
		}
	}
	return h
}

var randomChannels = []struct {
	source, channel string
	capabilities    []string
	grade           assay.Grade
}{
	{"event_log", "Security", []string{"log.security", "audit.policy_change", "audit.pnp"}, assay.GradeC},
	{"event_log", "System", []string{"log.system"}, assay.GradeC},
	{"event_log", "Microsoft-Windows-Windows Defender/Operational", []string{"log.defender"}, assay.GradeC},
	{"sysmon", "Microsoft-Windows-Sysmon/Operational", []string{"process.start", "file.change", "network.connect"}, assay.GradeB},
	{"kernel", "", []string{"process.start", "dns.query", "dns.answer"}, assay.GradeA},
}

func (r *random) coverage() []assay.CoverageRange {
	var list []assay.CoverageRange
	for _, c := range randomChannels {
		if r.IntN(6) == 0 {
			continue
		}
		for _, capability := range c.capabilities {
			from := fixtureInstant.Add(-5 * 24 * time.Hour)
			for from.Before(fixtureInstant) {
				to := from.Add(time.Duration(1+r.IntN(3000)) * time.Minute)
				part := assay.CoverageRange{
					Host: assay.HostID{7}, Source: c.source, Channel: c.channel, Capability: capability, Grade: c.grade,
					State: assay.Covered, Mode: assay.Live, From: from, To: to, Since: r.ref(),
				}
				part.Until = part.Since
				switch r.IntN(12) {
				case 0:
					part.State, part.Reason, part.To = assay.Unexplained, "lost 3 events", from.Add(time.Duration(1+r.IntN(60))*time.Minute)
				case 1:
					part.State, part.Reason = assay.Unexplained, pick(r, []string{"capability missing", "not running: stopped", "no health"})
				case 2:
					part.State, part.Reason = assay.ExplainedOff, "shut down"
				case 3:
					part.Mode = assay.Backfill
				case 4:
					part.State = assay.Pending
				}
				list = append(list, part)
				from = part.To
				if r.IntN(15) == 0 {
					from = from.Add(time.Duration(r.IntN(90)) * time.Minute)
				}
			}
		}
	}
	return list
}

func (r *random) inputs() Inputs {
	in := Inputs{
		Library: r.library, Coverage: r.coverage(), Watermark: fixtureInstant.Add(-time.Duration(r.IntN(30)) * time.Minute),
		Host:        Host{ID: assay.HostID{7}, FirstSeen: fixtureInstant.Add(-5 * 24 * time.Hour), ExpectedOn: r.IntN(3) == 0, Imported: r.IntN(8) == 0},
		LedgerSince: fixtureInstant.Add(-5 * 24 * time.Hour), Parameters: map[string]map[string]string{"fim.live": {"paths": `C:\x`}},
		Lists: map[string]List{"removable_devices": {Entries: []ListEntry{{Value: `*\2&0`}, {Value: `USB\*`, From: fixtureInstant.Add(-50 * time.Hour)}}}},
	}
	selectors := r.library.Selectors()
	for range r.IntN(60) {
		in.Hits = append(in.Hits, r.hit(&selectors[r.IntN(len(selectors))]))
	}
	for i := range r.IntN(10) {
		in.Verifications = append(in.Verifications, Verification{At: r.moment(), Good: r.IntN(4) > 0, Position: uint64(i)})
		in.Reviews = append(in.Reviews, Review{At: r.moment(), Position: uint64(i)})
		in.RulesOn = append(in.RulesOn, RulesOn{At: r.moment(), Rules: r.IntN(4), Position: uint64(i)})
		o := Opening{Alert: assay.AlertID{byte(i)}, Failure: r.IntN(2) == 0, Title: "alert", At: r.moment(), Position: uint64(i)}
		o.AcknowledgeDue, o.CloseDue = o.At.Add(time.Duration(r.IntN(3))*time.Hour), o.At.Add(72*time.Hour)
		o.Acknowledged, o.Closed = Deed{At: o.At.Add(time.Duration(r.IntN(5)) * time.Hour), Position: uint64(i)}, Deed{At: r.moment(), Position: uint64(i)}
		in.Openings = append(in.Openings, o)
	}
	for d := range 4 {
		day := fixtureInstant.AddDate(0, 0, -d-1)
		total := uint64(r.IntN(5000))
		in.Metrics = append(in.Metrics,
			assay.Metric{Name: "fields", Key: "win_process_events", Day: day, Good: total - total/uint64(50+r.IntN(100)), Total: total},
			assay.Metric{Name: "forward_lag", Key: "300", Day: day, Good: total - total/uint64(50+r.IntN(100)), Total: total})
	}
	if r.IntN(2) == 0 {
		for _, f := range Evaluate(in, r.next, fixtureInstant).Findings {
			if r.IntN(3) == 0 {
				in.Closures = append(in.Closures, assay.Closure{Finding: f.ID, At: r.moment(), By: "admin", Cause: "known"})
			}
		}
	}
	return in
}

func shuffled(r *random, in Inputs) Inputs {
	in.Hits, in.Coverage = slices.Clone(in.Hits), slices.Clone(in.Coverage)
	in.Metrics, in.Verifications, in.Closures = slices.Clone(in.Metrics), slices.Clone(in.Verifications), slices.Clone(in.Closures)
	r.Shuffle(len(in.Hits), func(i, j int) { in.Hits[i], in.Hits[j] = in.Hits[j], in.Hits[i] })
	r.Shuffle(len(in.Coverage), func(i, j int) { in.Coverage[i], in.Coverage[j] = in.Coverage[j], in.Coverage[i] })
	r.Shuffle(len(in.Metrics), func(i, j int) { in.Metrics[i], in.Metrics[j] = in.Metrics[j], in.Metrics[i] })
	r.Shuffle(len(in.Verifications), func(i, j int) {
		in.Verifications[i], in.Verifications[j] = in.Verifications[j], in.Verifications[i]
	})
	in.Reviews, in.Openings, in.RulesOn = slices.Clone(in.Reviews), slices.Clone(in.Openings), slices.Clone(in.RulesOn)
	r.Shuffle(len(in.Reviews), func(i, j int) { in.Reviews[i], in.Reviews[j] = in.Reviews[j], in.Reviews[i] })
	r.Shuffle(len(in.Openings), func(i, j int) { in.Openings[i], in.Openings[j] = in.Openings[j], in.Openings[i] })
	r.Shuffle(len(in.RulesOn), func(i, j int) { in.RulesOn[i], in.RulesOn[j] = in.RulesOn[j], in.RulesOn[i] })
	r.Shuffle(len(in.Closures), func(i, j int) { in.Closures[i], in.Closures[j] = in.Closures[j], in.Closures[i] })
	return in
}

// forRandom runs a property over many random hosts; the seed names the case.
func forRandom(t *testing.T, n uint64, property func(t *testing.T, r *random)) {
	t.Helper()
	library := load(t)
	for seed := range n {
		r := &random{Rand: rand.New(rand.NewPCG(seed, 1)), library: library, next: 3}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { property(t, r) })
	}
}

// TestOrderDoesNotMatter: incremental = full = any order of arrival, and
// evaluating twice is equal.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	seen := map[assay.State]int{}
	forRandom(t, 150, func(t *testing.T, r *random) {
		in := r.inputs()
		want := Evaluate(in, r.next, fixtureInstant)
		for _, v := range want.Verdicts {
			seen[v.State]++
		}
		for range 3 {
			if diff := cmp.Diff(want, Evaluate(shuffled(r, in), r.next, fixtureInstant)); diff != "" {
				t.Fatalf("another order gives another result:\n%s", diff)
			}
		}
		// Facts that did not exist yet change nothing: hits at later positions
		// and of later times.
		more, size := in, r.next
		more.Hits = slices.Clone(in.Hits)
		selectors := r.library.Selectors()
		for range 10 {
			h := r.hit(&selectors[r.IntN(len(selectors))])
			if r.IntN(2) == 0 {
				h.Ref.Position = size + 5
			} else {
				h.BookedAt = fixtureInstant.Add(time.Duration(1+r.IntN(100)) * time.Minute)
				h.Ref.Position = 1
			}
			more.Hits = append(more.Hits, h)
		}
		if diff := cmp.Diff(Evaluate(in, size, fixtureInstant), Evaluate(more, size, fixtureInstant)); diff != "" {
			t.Fatalf("facts that were not known change the result:\n%s", diff)
		}
	})
	// The generator must reach all states that facts can lead to.
	for _, s := range []assay.State{assay.StatePass, assay.StateFail, assay.StateUnknown, assay.StateNotApplicable} {
		if seen[s] < 50 {
			t.Errorf("the generator reached %s %d times", s, seen[s])
		}
	}
}

// TestIncremental: what was known at a size is the same whether later facts
// have arrived since or not.
func TestIncremental(t *testing.T) {
	t.Parallel()
	forRandom(t, 40, func(t *testing.T, r *random) {
		in := r.inputs()
		for _, size := range []uint64{0, r.next / 9, r.next / 5, r.next} {
			then := in
			then.Hits = slices.DeleteFunc(slices.Clone(in.Hits), func(h assay.Hit) bool { return h.Ref.Position >= size })
			then.Coverage = slices.DeleteFunc(slices.Clone(in.Coverage), func(c assay.CoverageRange) bool { return c.Since.Position >= size })
			if diff := cmp.Diff(Evaluate(then, size, fixtureInstant), Evaluate(in, size, fixtureInstant)); diff != "" {
				t.Fatalf("size %d: known then differs:\n%s", size, diff)
			}
		}
	})
}

// TestAbsenceIsNeverAPass: without any coverage, or without any fact that the
// check could rest on, nothing passes.
func TestAbsenceIsNeverAPass(t *testing.T) {
	t.Parallel()
	forRandom(t, 60, func(t *testing.T, r *random) {
		in := r.inputs()
		in.Coverage = nil
		for _, v := range Evaluate(in, r.next, fixtureInstant).Verdicts {
			own := v.Check == "log.chain" || v.Check == "alert.reviewed" || v.Check == "log.fields" || v.Check == "log.forward_lag"
			if v.State == assay.StatePass && !own {
				t.Errorf("%s passes without coverage: %s", v.Check, v.Detail)
			}
		}
		in.Hits, in.Metrics, in.Verifications, in.Health = nil, nil, nil, Health{}
		in.Reviews, in.Openings, in.RulesOn = nil, nil, nil
		for _, v := range Evaluate(in, r.next, fixtureInstant).Verdicts {
			if v.State == assay.StatePass {
				t.Errorf("%s passes without any fact: %s", v.Check, v.Detail)
			}
		}
	})
}

// TestPrecedence: taking coverage away never turns a fail, and a pass is turned
// into nothing better; adding a violation never helps.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	forRandom(t, 60, func(t *testing.T, r *random) {
		in := r.inputs()
		in.Closures, in.Host.Imported = nil, false
		before := Evaluate(in, r.next, fixtureInstant)
		less := in
		less.Coverage = slices.DeleteFunc(slices.Clone(in.Coverage), func(assay.CoverageRange) bool { return r.IntN(3) == 0 })
		after := Evaluate(less, r.next, fixtureInstant)
		for i, v := range before.Verdicts {
			kind := r.library.Check(v.Check).Kind
			ofEvents := kind == assay.Occurrence || kind == assay.ListKind || kind == assay.StateKind && v.Check != "log.gap"
			if ofEvents && v.State == assay.StateFail && after.Verdicts[i].State != assay.StateFail {
				t.Errorf("%s: less coverage turned a fail into %s", v.Check, after.Verdicts[i].State)
			}
			if v.HasCoverage && v.State == assay.StateUnknown && v.Reason == assay.ReasonCoverage && after.Verdicts[i].State == assay.StatePass && after.Verdicts[i].Coverage < MinimumShare {
				t.Errorf("%s passes at a coverage of %.3f", v.Check, after.Verdicts[i].Coverage)
			}
		}
		more := in
		more.Hits = append(slices.Clone(in.Hits), assay.Hit{
			Check: "log.cleared", Selector: "security", Ref: assay.EventRef{Position: 1, Ordinal: 9}, BookedAt: fixtureInstant.Add(-time.Hour),
		})
		for _, v := range Evaluate(more, r.next, fixtureInstant).Verdicts {
			if v.Check == "log.cleared" && v.State != assay.StateFail {
				t.Errorf("a cleared log gives %s", v.State)
			}
		}
	})
}
