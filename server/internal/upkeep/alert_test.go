package upkeep

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// desk is a server with one host and one pack of rules, whose detections tests
// write as the projections would.
type desk struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *postgres.Store
	job   *Alert
	now   time.Time
	host  assay.HostID
	next  uint64 // ledger position of the next detection
}

var rule = assay.RuleID{Pack: "own", ID: "r1"}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, pool: pgtest.Pool(t), now: noon, host: assay.HostID{7}}
	d.store = postgres.New(postgres.Config{DB: d.pool, Now: func() time.Time { return d.now }})
	d.job = NewAlert(AlertConfig{Store: d.store, Now: func() time.Time { return d.now }, Logger: slog.New(slog.DiscardHandler)})
	d.exec(`INSERT INTO host (id, kind, name, tags, created_at) VALUES ($1, 'enrolled', 'POS-01', '{backup}', $2)`, [16]byte(d.host), noon)
	pack := &assay.RulePack{Name: "own", Version: "1", ImportedBy: "tester", Rules: []assay.Rule{{ID: "r1", Kind: assay.KindRule, Title: "Shadow copies deleted", Level: assay.High}}}
	if _, err := d.store.ImportPack(t.Context(), pack, []string{"r1"}, "test"); err != nil {
		t.Fatal(err)
	}
	d.next = 100
	return d
}

func (d *desk) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.pool.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatal(err)
	}
}

// match is a detection as a lane would find it, now.
func (d *desk) match(change func(*assay.Detection)) assay.Detection {
	x := assay.Detection{Host: d.host, Rule: rule, Version: "1", Ref: assay.EventRef{Position: d.next}, Level: assay.High, ObservedAt: d.now, ReceivedAt: d.now,
		BookedAt: d.now, Grade: assay.GradeA, Matched: []assay.MatchedValue{{Selection: "sel", Field: "CommandLine", Value: `vssadmin DELETE shadows`}}}
	d.next++
	if change != nil {
		change(&x)
	}
	return x
}

// detect writes detections as the projections would, with their cursor.
func (d *desk) detect(list ...assay.Detection) {
	d.t.Helper()
	cursor, err := d.store.Cursor(d.t.Context(), project.CorrelationsPass, 0, project.CorrelationsVersion)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.store.ApplyCorrelations(d.t.Context(), cursor, max(cursor.Position, d.next), d.now, &postgres.CorrelationStep{Detections: list}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) once() {
	d.t.Helper()
	if err := d.job.Once(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) alerts() []assay.Alert {
	d.t.Helper()
	list, _, err := d.store.Alerts(d.t.Context(), &postgres.AlertQuery{At: d.now, Order: "oldest", Limit: 100})
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

func (d *desk) one() assay.Alert {
	d.t.Helper()
	list := d.alerts()
	if len(list) != 1 {
		d.t.Fatalf("there are %d alerts, want 1", len(list))
	}
	return list[0]
}

// do changes the one alert there is.
func (d *desk) do(kind string, apply func(*assay.Alert, time.Time, *assay.AlertPolicy) error) error {
	d.t.Helper()
	_, err := d.store.ChangeAlerts(d.t.Context(), &postgres.AlertChange{IDs: []assay.AlertID{d.one().ID}, Kind: kind, By: "ann", Apply: apply})
	return err
}

func (d *desk) acknowledge() error {
	return d.do(assay.ActionAcknowledge, func(a *assay.Alert, at time.Time, _ *assay.AlertPolicy) error { return a.Acknowledge("ann", at) })
}

func (d *desk) close() error {
	return d.do(assay.ActionClose, func(a *assay.Alert, at time.Time, _ *assay.AlertPolicy) error {
		return a.Close("ann", assay.ClosedBenign, assay.AlertID{}, at)
	})
}

func (d *desk) count(sql string, args ...any) (n int) {
	d.t.Helper()
	if err := d.pool.QueryRow(d.t.Context(), sql, args...).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// told lists the notifications there are.
func (d *desk) told() (kinds []string) {
	d.t.Helper()
	rows, err := d.pool.Query(d.t.Context(), `SELECT kind || ' ' || detail FROM notification_event ORDER BY id`)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		if err := rows.Scan(&kind); err != nil {
			d.t.Fatal(err)
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

// TestDetectionsAreConsumedOnce replays in every way there is: the cursor set
// back, the projection dropped and rebuilt, servers at the same time.
func TestDetectionsAreConsumedOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	list := []assay.Detection{d.match(nil), d.match(nil), d.match(func(x *assay.Detection) { x.Key = []assay.NamedText{{Name: "User", Value: "bob"}} })}
	want := "2 detections, 1 detections; notifications [alert.open  alert.open ]; 2 leaves"
	check := func(when string) {
		t.Helper()
		got := ""
		for i, a := range d.alerts() {
			if i > 0 {
				got += ", "
			}
			got += fmt.Sprintf("%d detections", a.Count)
			if a.Title != "Shadow copies deleted" || a.State != assay.AlertOpen {
				t.Errorf("%s: alert %q is %s", when, a.Title, a.State)
			}
		}
		got += fmt.Sprintf("; notifications %v; %d leaves", d.told(), d.count(`SELECT count(*) FROM leaf WHERE kind = $1`, int16(evidence.LeafAlert)))
		if got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	d.detect(list...)
	d.once()
	check("at first")
	d.once()
	check("at once again")
	d.exec(`UPDATE projection_cursor SET position = 0 WHERE pass = 'alerts'`)
	d.once()
	check("with the cursor set back")
	d.exec(`INSERT INTO projection_cursor (pass, lane, version, position, watermark) VALUES ('rules', 0, 1, 0, 'epoch')`)
	if err := d.store.ResetPass(t.Context(), project.RulesPass, project.RulesVersion); err != nil {
		t.Fatal(err)
	}
	d.once()
	check("with the projection dropped")
	cursor, err := d.store.Cursor(t.Context(), "alerts", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	// A server that read before the reset must not go on past what is not there.
	if err := d.store.ConsumeDetections(t.Context(), cursor, cursor.Position+1000, nil); !errors.Is(err, postgres.ErrCursorMoved) {
		t.Errorf("with the projection dropped alerts go on: %v", err)
	}
	d.exec(`UPDATE projection_cursor SET position = 1000 WHERE pass = 'rules'`)
	d.detect(list...)
	d.exec(`UPDATE projection_cursor SET position = 0 WHERE pass = 'alerts'`)
	var servers sync.WaitGroup
	for range 4 {
		servers.Go(func() {
			job := NewAlert(d.job.cfg)
			if err := job.Once(t.Context()); err != nil && !errors.Is(err, postgres.ErrCursorMoved) {
				t.Error(err)
			}
		})
	}
	servers.Wait()
	if err := d.store.Deliver(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	check("rebuilt, by four servers, and backfilled")
}

func TestWhatAProcessDidIsOneAlert(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	by := func(uid, user string) assay.Detection {
		return d.match(func(x *assay.Detection) { x.ProcessUID, x.Key = uid, []assay.NamedText{{Name: "User", Value: user}} })
	}
	d.detect(by("p1", "bob"), by("p1", `CORP\bob`), by("p2", "BOB"))
	d.once()
	d.detect(by("p1", "robert"))
	d.once()
	if a := d.one(); a.Count != 4 {
		t.Errorf("the alert holds %d detections, want 4", a.Count)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(time.Hour)
	d.detect(by("p1", "carol"))
	d.once()
	if n := len(d.alerts()); n != 2 {
		t.Errorf("a closed alert took in a detection of another key: %d alerts", n)
	}
}

func TestLowLevelsAreOnlyListed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.detect(d.match(func(x *assay.Detection) { x.Level = assay.Low }))
	d.once()
	if n := len(d.alerts()); n != 0 {
		t.Errorf("a detection of level low opened %d alerts", n)
	}
	list, total, err := d.store.Detections(t.Context(), &postgres.DetectionQuery{Limit: 10})
	if err != nil || total != 1 || list[0].Alert != (assay.AlertID{}) {
		t.Errorf("listed are %v (%v)", list, err)
	}
}

// TestClocksRunOut: high alerts are due to be acknowledged within an hour and
// closed within three days.
// countsOverdue checks that the counts tell so many overdue alerts, each once
// and all of the level of the one rule there is.
func (d *desk) countsOverdue(q *postgres.AlertQuery, want int) {
	d.t.Helper()
	counts, err := d.store.CountAlerts(d.t.Context(), q)
	if err != nil {
		d.t.Fatal(err)
	}
	levels := [assay.Critical + 1]int{assay.High: want}
	if counts.Overdue != levels {
		d.t.Errorf("overdue by level are %v, want %v", counts.Overdue, levels)
	}
}

func TestClocksRunOut(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.detect(d.match(nil))
	d.once()
	opened := d.now
	overdue := func() int {
		_, total, err := d.store.Alerts(t.Context(), &postgres.AlertQuery{At: d.now, Overdue: true, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		d.countsOverdue(&postgres.AlertQuery{At: d.now}, total)
		return total
	}
	d.now = opened.Add(time.Hour)
	d.once()
	if n := overdue(); n != 0 {
		t.Errorf("at the end of the hour %d alerts are overdue", n)
	}
	d.now = opened.Add(time.Hour + time.Second)
	d.once()
	d.once()
	if n := overdue(); n != 1 {
		t.Errorf("after the hour %d alerts are overdue, want 1", n)
	}
	if err := d.acknowledge(); err != nil {
		t.Fatal(err)
	}
	a := d.one()
	if n := overdue(); n != 0 || assay.Clock(a.AcknowledgeDue, a.AcknowledgeMet(), d.now) != assay.ClockLate || a.Assignee != "ann" {
		t.Errorf("acknowledged late, %d are overdue, the clock is %s, the assignee %q", n, assay.Clock(a.AcknowledgeDue, a.AcknowledgeMet(), d.now), a.Assignee)
	}
	d.now = opened.Add(73 * time.Hour)
	d.once()
	if got, want := fmt.Sprint(d.told()), "[alert.open  alert.overdue acknowledge alert.overdue close]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	openings, err := d.store.AlertOpenings(t.Context(), []assay.HostID{d.host}, noon.Add(-time.Hour))
	if err != nil || len(openings) != 1 {
		t.Fatalf("openings are %v (%v)", openings, err)
	}
	if o := openings[0]; !o.At.Equal(opened) || !o.AcknowledgeDue.Equal(opened.Add(time.Hour)) || !o.Acknowledged.At.Equal(opened.Add(time.Hour+time.Second)) ||
		!o.Closed.At.IsZero() || o.Level != assay.High || o.Acknowledged.Position == 0 {
		t.Errorf("the leaves say of the opening: %+v", o)
	}
	d.exec(`UPDATE alert_action SET alert_id = '00000000-0000-0000-0000-000000000001' WHERE kind <> 'note'`)
	if _, err := d.store.AlertOpenings(t.Context(), []assay.HostID{d.host}, noon.Add(-time.Hour)); err == nil {
		t.Error("rows that were changed in the database are believed against their leaves")
	}
	d.exec(`UPDATE alert_action SET alert_id = (SELECT id FROM alert)`)
	// At any past moment the clocks are as they were then.
	for at, want := range map[time.Duration]int{30 * time.Minute: 0, time.Hour + time.Second/2: 1, 2 * time.Hour: 0, 73 * time.Hour: 1} {
		_, total, err := d.store.Alerts(t.Context(), &postgres.AlertQuery{At: opened.Add(at), AsOf: true, Overdue: true, Limit: 1})
		if err != nil || total != want {
			t.Errorf("as of %s after the opening %d are overdue (%v), want %d", at, total, err, want)
		}
		d.countsOverdue(&postgres.AlertQuery{At: opened.Add(at), AsOf: true}, want)
	}
}

func TestEventsAfterAClosingOpenAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	late := d.match(nil)
	d.detect(d.match(nil))
	d.once()
	d.now = noon.Add(time.Hour)
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); assay.KindOf(err) != assay.Conflict {
		t.Errorf("closing a closed alert: %v", err)
	}
	d.exec(`UPDATE projection_cursor SET position = 0 WHERE pass IN ('alerts', 'correlations')`)
	d.detect(late) // it happened before the closing and came after it
	d.once()
	if a := d.one(); a.State != assay.AlertClosed || a.Count != 2 {
		t.Errorf("after a late event the alert is %s with %d detections", a.State, a.Count)
	}
	d.now = noon.Add(2 * time.Hour)
	d.detect(d.match(nil))
	d.once()
	if a := d.one(); a.State != assay.AlertOpen || a.Opening != 1 || !a.AcknowledgeDue.Equal(d.now.Add(time.Hour)) || a.Reason != "" {
		t.Errorf("after a new event the alert is %s, opening %d, due %s", a.State, a.Opening, a.AcknowledgeDue)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(assay.DefaultAlertPolicy().ReopenWithin + time.Second)
	d.detect(d.match(nil))
	d.once()
	if n := len(d.alerts()); n != 2 {
		t.Errorf("long after the closing there are %d alerts, want another one", n)
	}
	if got, want := fmt.Sprint(d.told()), "[alert.open  alert.reopen  alert.open ]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// TestWhatPeopleDoIsOnRecord: each change has an audit entry and a leaf, and a
// refused one leaves nothing.
func TestWhatPeopleDoIsOnRecord(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.detect(d.match(nil))
	d.once()
	before := d.count(`SELECT count(*) FROM audit_entry`)
	id := d.one().ID
	if err := d.acknowledge(); err != nil {
		t.Fatal(err)
	}
	_, err := d.store.ChangeAlerts(t.Context(), &postgres.AlertChange{IDs: []assay.AlertID{id, {1}}, Kind: assay.ActionNote, By: "ann",
		Apply: func(*assay.Alert, time.Time, *assay.AlertPolicy) error { return nil }})
	if assay.KindOf(err) != assay.NotFound {
		t.Errorf("a change of an alert that is not there: %v", err)
	}
	if err := d.do(assay.ActionEscalate, func(a *assay.Alert, _ time.Time, p *assay.AlertPolicy) error { return a.Escalate(assay.Critical, p) }); err != nil {
		t.Fatal(err)
	}
	if a := d.one(); a.Level != assay.Critical || a.RuleLevel != assay.High || !a.CloseDue.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("escalated, it is %s (%s) and due %s", a.Level, a.RuleLevel, a.CloseDue)
	}
	if _, err := d.store.RecordReview(t.Context(), "ann", "all seen"); err != nil {
		t.Fatal(err)
	}
	if n := d.count(`SELECT count(*) FROM audit_entry`) - before; n != 3 {
		t.Errorf("%d audit entries for 3 changes", n)
	}
	if n := d.count(`SELECT count(*) FROM audit_entry a JOIN leaf l USING (position) WHERE l.kind <> $1`, int16(evidence.LeafOperator)); n != 0 {
		t.Errorf("%d audit entries have no leaf of their own", n)
	}
	actions, err := d.store.AlertActions(t.Context(), d.host, id)
	if err != nil || len(actions) != 3 || actions[2].Kind != assay.ActionEscalate || actions[0].Position == 0 {
		t.Errorf("actions are %v (%v)", actions, err)
	}
	reviews, err := d.store.Reviews(t.Context(), noon.Add(-time.Hour))
	if err != nil || len(reviews) != 1 || reviews[0].Open != 1 {
		t.Errorf("reviews are %v (%v)", reviews, err)
	}
}

// TestFailuresOfControlsAlert: an open finding that says that a control failed is
// an alert, once; one that is over, or of another check, is none.
func TestFailuresOfControlsAlert(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	find := func(n byte, check string, resolved *time.Time) {
		// A leaf stands where the run's would.
		if _, err := d.store.RecordReview(t.Context(), "ann", "x"); err != nil {
			t.Fatal(err)
		}
		d.exec(`INSERT INTO finding (id, host_id, check_id, key, title, opened_at, last_at, resolved_at, grade, clock_fault, evidence, evidence_total, fields, recorded_at, position)
			SELECT $1, $2, $3, '', 'the log fell silent', $4, $4, $5, 1, false, '{}', 0, '{}', $4, size - 1 FROM ledger_head`, [16]byte{n}, [16]byte(d.host), check, noon, resolved)
	}
	find(1, "log.gap", nil)
	find(2, "log.gap", &noon)
	find(3, "log.fields", nil)
	d.once()
	d.exec(`UPDATE projection_cursor SET position = 0 WHERE pass = 'alert-findings'`)
	d.once()
	if a := d.one(); a.Finding != (assay.FindingID{1}) || a.Title != "the log fell silent" || a.Rule != (assay.RuleID{Pack: "checks", ID: "log.gap"}) || a.Count != 1 {
		t.Errorf("the alert is %+v", a)
	}
}

// TestErasureTakesDetectionsAndLeavesAlerts: what rules matched goes with the
// events; that there was an alert, and what was done about it, stays.
func TestErasureTakesDetectionsAndLeavesAlerts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.detect(d.match(nil), d.match(func(x *assay.Detection) { x.ReceivedAt = noon.AddDate(0, 1, 0) }))
	d.once()
	if err := d.store.EraseEvents(t.Context(), d.host, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	if _, total, err := d.store.Detections(t.Context(), &postgres.DetectionQuery{Limit: 1}); err != nil || total != 1 {
		t.Errorf("%d detections are left (%v), want that of the month after", total, err)
	}
	if a := d.one(); a.Count != 2 {
		t.Errorf("the alert holds %d detections", a.Count)
	}
}
