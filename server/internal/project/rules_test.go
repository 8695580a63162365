package project

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

const (
	clearID  = "11111111-0000-4000-8000-000000000001"
	failID   = "11111111-0000-4000-8000-000000000002"
	manyID   = "11111111-0000-4000-8000-000000000003"
	clearYML = `title: Log cleared
id: ` + clearID + `
level: high
logsource: {product: windows, service: security}
detection: {sel: {EventID: 1102}, condition: sel}
`
	failYML = `title: Failed sign-in
id: ` + failID + `
level: low
logsource: {product: windows, service: security}
detection: {sel: {EventID: 4625}, condition: sel}
`
	manyYML = `title: Many failed sign-ins
id: ` + manyID + `
level: high
correlation:
  type: event_count
  rules: [` + failID + `]
  group-by: [TargetUserName]
  timespan: 10m
  condition: {gte: 3}
`
)

// importRules puts rules in force, all on, as a version of the pack "own".
func (l *log) importRules(version string, texts ...string) {
	l.t.Helper()
	p := &assay.RulePack{Name: "own", Version: version, ImportedBy: "tester"}
	var on []string
	for i, text := range texts {
		name := fmt.Sprintf("%d.yml", i)
		p.Files = append(p.Files, assay.PackFile{Path: name, Data: []byte(text)})
		id := map[string]string{clearYML: clearID, failYML: failID, manyYML: manyID, startYML: startID}[text]
		r := assay.Rule{Pack: "own", Version: version, ID: id, Kind: assay.KindRule, Title: "rule " + id, Level: assay.High, Path: name, Line: 1, Ends: len(text)}
		r.Digest[0] = byte(len(text))
		if text == manyYML {
			r.Kind, r.Related = assay.KindCorrelation, []string{failID}
		}
		p.Rules = append(p.Rules, r)
		on = append(on, id)
	}
	p.Digest = assay.PackDigest(p.Files)
	if _, err := l.store.ImportPack(l.t.Context(), p, on, "test"); err != nil {
		l.t.Fatal(err)
	}
	l.sync()
}

func (l *log) setRule(id string, on bool) {
	l.t.Helper()
	if _, err := l.store.SetRules(l.t.Context(), "own", []string{id}, on, "tester", "test"); err != nil {
		l.t.Fatal(err)
	}
	l.sync()
}

// sync finds where the next batch goes.
func (l *log) sync() {
	l.t.Helper()
	size, err := l.store.LedgerSize(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	l.next = size
}

// failed is a live record of a failed sign-in, at a second after eleven.
func failed(user string, second int) *telemetryv1.Event {
	return &telemetryv1.Event{
		Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED, Host: "DC01.corp.example"},
		Source:  telemetryv1.Source_SOURCE_EVENT_LOG, Grade: telemetryv1.Grade_GRADE_C, Mode: telemetryv1.Mode_MODE_IMPORT,
		ObservedAt: evidence.Ticks(noon.Add(time.Duration(second)*time.Second - time.Hour)),
		Position:   &telemetryv1.Position{FileSha256: bytes.Repeat([]byte{8}, 32), Ordinal: uint32(second)},
		Raw: &telemetryv1.Raw{Provider: "Microsoft-Windows-Security-Auditing", EventId: 4625, Channel: "Security", Computer: "DC01.corp.example",
			Data: []*telemetryv1.Field{{Name: "TargetUserName", Value: user}}},
		Body: &telemetryv1.Event_LogRecord{LogRecord: &telemetryv1.LogRecord{}},
	}
}

// match runs the lanes and then the counting of correlations up to the head.
func (l *log) match() {
	l.t.Helper()
	l.sync()
	hits, err := NewHits([]Selector{clearSelector})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	rules := NewRules(RulesConfig{Store: l.store, Logger: quiet})
	l.projectBy(Passes(hits, rules))
	counting := NewCorrelation(CorrelationConfig{Store: l.store, Rules: rules, Now: func() time.Time { return noon }, Logger: quiet})
	for more := true; more; {
		if more, err = counting.Once(ctx); err != nil {
			l.t.Fatal(err)
		}
	}
}

// found prints all detections in ledger order.
func (l *log) found() string {
	l.t.Helper()
	list, err := l.store.DetectionsIn(l.t.Context(), 0, 1<<40, 10_000)
	if err != nil {
		l.t.Fatal(err)
	}
	text := ""
	for _, d := range list {
		text += fmt.Sprintf("%s@%s set %d %v %v %v\n", d.Rule.ID[len(d.Rule.ID)-1:], d.Ref, d.SetPosition, d.Matched, d.Group, d.Members)
	}
	return text
}

// TestRulesHoldFromTheirLeafOn: a change of the rules is a leaf, and parts the
// events before it from those after it, exactly, also in one step of a lane and
// also in a rebuild.
func TestRulesHoldFromTheirLeafOn(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.append(intact, cleared(1, "before")) // 0
	l.importRules("1", clearYML)           // 1, 2
	l.append(intact, cleared(2, "on"))     // 3
	l.setRule(clearID, false)              // 4
	l.append(intact, cleared(3, "off"))    // 5
	l.setRule(clearID, true)               // 6
	l.append(intact, cleared(4, "again"), cleared(5, "again"))
	l.match()
	want := "1@3:0 set 2 [{sel EventID 1102}] [] []\n1@7:0 set 6 [{sel EventID 1102}] [] []\n1@7:1 set 6 [{sel EventID 1102}] [] []\n"
	if got := l.found(); got != want {
		t.Errorf("found:\n%swant:\n%s", got, want)
	}
	if err := l.store.ResetPass(t.Context(), RulesPass, RulesVersion); err != nil {
		t.Fatal(err)
	}
	if got := l.found(); got != "" {
		t.Errorf("after a reset there is still:\n%s", got)
	}
	l.match()
	if got := l.found(); got != want {
		t.Errorf("rebuilt:\n%swant:\n%s", got, want)
	}
}

// TestCorrelationGoesOnAfterRestart feeds the same events in one go and with a
// restart after each, and wants the same.
func TestCorrelationGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	var results []string
	for _, restarts := range []bool{false, true} {
		l := newLog(t)
		l.importRules("1", failYML, manyYML)
		l.setRule(failID, false) // it still feeds the correlation
		for second := range 5 {
			l.append(intact, failed("alice", 10*second), failed("bob", 10*second+1))
			if restarts {
				l.match()
			}
		}
		l.append(intact, failed("ALICE", 2000), failed("alice", 2001), failed("alice", 2002))
		l.match()
		results = append(results, l.found())
		var left int
		if err := l.pool.QueryRow(t.Context(), `SELECT count(*) FROM correlation_input i JOIN projection_cursor c ON c.pass = 'correlations' AND i.position >= c.position`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d matches are left to count (%v)", left, err)
		}
	}
	want := "3@5:0 set 2 [] [{TargetUserName alice}] [3:0 4:0 5:0]\n3@5:1 set 2 [] [{TargetUserName bob}] [3:1 4:1 5:1]\n" +
		"3@8:2 set 2 [] [{TargetUserName alice}] [8:0 8:1 8:2]\n"
	for i, got := range results {
		if got != want {
			t.Errorf("run %d found:\n%swant:\n%s", i, got, want)
		}
	}
}

// collector takes what a backfill delivers.
type collector struct {
	got   map[assay.EventRef]int
	calls int
	fail  []int // the deliveries to fail, after taking them
}

func (c *collector) Deliver(_ context.Context, detections []assay.Detection) error {
	for i := range detections {
		c.got[detections[i].Ref]++
	}
	if c.calls++; slices.Contains(c.fail, c.calls) {
		return fmt.Errorf("the server was killed")
	}
	return nil
}

// TestBackfillResumes kills a backfill between its steps and wants every event
// found once, and what is found again by the lanes not twice.
func TestBackfillResumes(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	const batches = 60 // more than two steps
	for n := range batches {
		l.append(intact, cleared(uint32(n+1), "x"), failed("alice", 10*n))
	}
	l.importRules("1", clearYML, failYML, manyYML)
	l.append(intact, cleared(1000, "after"))
	since := noon.Add(10 * time.Second) // the batch at position 10
	b := assay.RuleBackfill{ID: assay.BackfillID{1}, Pack: "own", Since: since, By: "tester", Rules: []string{clearID, manyID, failID}}
	if err := l.store.StartBackfill(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	l.match()
	if b.From != 10 {
		t.Errorf("the backfill begins at %d, want 10", b.From)
	}
	taken := &collector{got: map[assay.EventRef]int{}, fail: []int{2, 4}}
	for try := 0; ; try++ {
		// Each try is another server, after the lease of the one before ran out.
		job := NewBackfill(BackfillConfig{Store: l.store, Server: fmt.Sprint("server ", try), Alerts: taken, Now: func() time.Time { return noon },
			Logger: slog.New(slog.DiscardHandler), Pause: func(context.Context, time.Duration) {}})
		ran, err := job.Once(t.Context())
		if err == nil && !ran {
			t.Fatal("nobody may go on with the backfill")
		}
		if err == nil {
			break
		}
		if try > 5 {
			t.Fatal(err)
		}
		l.exec(`UPDATE rule_backfill SET lease_until = 'epoch'`)
	}
	if taken.calls < 5 {
		t.Errorf("%d deliveries: the backfill was not killed between its steps", taken.calls)
	}
	list, err := l.store.Backfills(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := list[0]; got.State != "done" || got.Position != b.To {
		t.Errorf("the backfill is %s at %d of %d", got.State, got.Position, b.To)
	}
	counts := map[string]int{}
	detections, err := l.store.DetectionsIn(t.Context(), 0, 1<<40, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range detections {
		counts[d.Rule.ID]++
		if d.Ref.Position < 10 {
			t.Errorf("%s was found at %s, before the backfill's beginning", d.Rule.ID, d.Ref)
		}
	}
	// The lanes found the last one; the correlation holds from the third on, once.
	if counts[clearID] != batches-10+1 || counts[failID] != 0 || counts[manyID] != 1 {
		t.Errorf("found %v", counts)
	}
	var left int
	if err := l.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM correlation_window WHERE owner <> '') +
		(SELECT count(*) FROM projection_cursor WHERE pass LIKE 'backfill%')`).Scan(&left); err != nil || left != 0 {
		t.Errorf("the backfill left %d rows behind (%v)", left, err)
	}
}

// TestRunningServersTakeAChange changes rules while two servers run, and wants
// each event matched by the rules at its position, by whichever server.
func TestRunningServersTakeAChange(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	hits, err := NewHits([]Selector{clearSelector})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	quiet := slog.New(slog.DiscardHandler)
	var runners []*Runner
	done := make(chan error, 2)
	for range 2 {
		passes := Passes(hits, NewRules(RulesConfig{Store: l.store, Logger: quiet}))
		r := NewRunner(Config{Store: l.store, Passes: passes, Now: func() time.Time { return noon.Add(time.Hour) }, Logger: quiet, Poll: time.Millisecond})
		runners = append(runners, r)
		go func() { done <- r.Run(ctx) }()
	}
	l.importRules("1", clearYML)
	want := 0
	for n := range uint32(12) {
		on := n%3 != 2
		l.setRule(clearID, on)
		l.append(intact, cleared(n+1, "x"))
		if on {
			want++
		}
	}
	for {
		caught, err := CaughtUp(ctx, l.store, runners[0].cfg.Passes, l.next)
		if err != nil {
			t.Fatal(err)
		}
		if caught {
			break
		}
		_, moved := runners[0].head.get()
		<-moved
	}
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var found, wrong int
	err = l.pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE NOT (SELECT enabled FROM rule_change c
		WHERE c.rule_id = d.rule_id AND c.position < d.position ORDER BY c.position DESC LIMIT 1)) FROM detection d`).Scan(&found, &wrong)
	if err != nil || found != want || wrong != 0 {
		t.Errorf("found %d, %d of them while the rule was off (%v); want %d", found, wrong, err, want)
	}
}

// TestBackfillCanBeCancelled: what was found stays, and nobody goes on with it.
func TestBackfillCanBeCancelled(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for n := range 30 {
		l.append(intact, cleared(uint32(n+1), "x"))
	}
	l.importRules("1", clearYML)
	b := assay.RuleBackfill{ID: assay.BackfillID{1}, Pack: "own", Since: noon, By: "tester"}
	if err := l.store.StartBackfill(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	job := NewBackfill(BackfillConfig{Store: l.store, Server: "one", Alerts: &collector{got: map[assay.EventRef]int{}}, Now: func() time.Time { return noon },
		Logger: slog.New(slog.DiscardHandler), Pause: func(ctx context.Context, _ time.Duration) {
			if _, err := l.store.CancelBackfill(ctx, b.ID, "tester"); err != nil {
				t.Error(err)
			}
		}})
	if _, err := job.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ran, err := job.Once(t.Context()); ran || err != nil {
		t.Errorf("a cancelled backfill goes on: %v, %v", ran, err)
	}
	list, err := l.store.Backfills(t.Context())
	if err != nil || list[0].State != "cancelled" || list[0].Detections != stepBatches {
		t.Errorf("the backfill is %+v (%v)", list, err)
	}
	if _, err := l.store.CancelBackfill(t.Context(), b.ID, "tester"); assay.KindOf(err) != assay.Conflict {
		t.Errorf("cancelling it again: %v", err)
	}
}
