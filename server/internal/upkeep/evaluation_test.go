package upkeep

import (
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type bench struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *postgres.Store
	job   *Evaluation
	now   time.Time
	host  assay.HostID
}

// setup is a server with one imported host whose facts tests write as the
// projections would.
func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, pool: pgtest.Pool(t), now: noon, host: assay.HostID{7}}
	now := func() time.Time { return b.now }
	b.store = postgres.New(postgres.Config{DB: b.pool, Now: now})
	library, err := framework.Load()
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	b.job = NewEvaluation(EvaluationConfig{
		Store: b.store, Library: library, Now: now, Logger: logger,
		Assessor: assess.New(assess.Config{Store: b.store, Library: library, Now: now, Logger: logger}),
	})
	for _, pass := range project.PassNames() {
		for lane := range int16(project.Lanes) {
			b.exec(`INSERT INTO projection_cursor (pass, lane, version, position, watermark) VALUES ($1, $2, 1, 0, $3)`, pass, lane, noon)
		}
	}
	b.exec(`INSERT INTO host (id, kind, name, import_stream, created_at) VALUES ($1, 'imported', 'DC01', $1, $2)`, [16]byte(b.host), noon)
	b.exec(`INSERT INTO host_activity (host_id, events, first_observed, last_observed, last_received) VALUES ($1, 1, $2, $2, $3)`, [16]byte(b.host), noon.Add(-48*time.Hour), noon)
	// A leaf stands where the hit's batch would.
	if _, err := b.store.ChangePolicy(t.Context(), assay.PolicyChange{Kind: assay.PolicyList, Name: "x", Values: []string{"y"}, By: "test"}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// cleared writes a hit of a cleared Security log.
func (b *bench) cleared(ordinal int, at time.Time) {
	b.t.Helper()
	b.exec(`INSERT INTO hit (host_id, check_id, selector, position, ordinal, observed_at, received_at, booked_at, clock_fault, mode, grade,
		source, channel, provider, event_id, record_id, fields)
		VALUES ($1, 'log.cleared', 'security', 0, $2, $3, $4, $3, false, 'import', 3, 'event_log', 'Security', 'Microsoft-Windows-Eventlog', 1102, 42, '{"SubjectUserName":"mallory"}')`,
		[16]byte(b.host), ordinal, at, noon)
}

func (b *bench) once() {
	b.t.Helper()
	if _, err := b.job.Once(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) verdict(check string) assay.Verdict {
	b.t.Helper()
	verdicts, err := b.store.Verdicts(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, v := range verdicts {
		if v.Host == b.host && v.Check == check {
			return v
		}
	}
	b.t.Fatalf("no verdict of %s", check)
	return assay.Verdict{}
}

func (b *bench) leaves(kind evidence.LeafKind) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), `SELECT count(*) FROM leaf WHERE kind = $1`, int16(kind)).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestRunRecordsWhatChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.once()
	if v := b.verdict("log.cleared"); v.State != assay.StateUnknown {
		t.Errorf("with no events log.cleared is %s, want unknown", v.State)
	}
	first := b.leaves(evidence.LeafTransition)
	if first == 0 || b.leaves(evidence.LeafRun) != 1 || b.leaves(evidence.LeafFinding) != 0 {
		t.Errorf("the first run left %d transitions, %d runs, %d findings", first, b.leaves(evidence.LeafRun), b.leaves(evidence.LeafFinding))
	}
	b.once()
	if n := b.leaves(evidence.LeafTransition); n != first {
		t.Errorf("a run that changed nothing left %d transitions", n-first)
	}
	b.cleared(0, noon.Add(-48*time.Hour))
	b.once()
	if v := b.verdict("log.cleared"); v.State != assay.StateFail || v.Reason != assay.ReasonViolated || len(v.Evidence) != 1 {
		t.Errorf("after a cleared log: %s, %s, evidence %v", v.State, v.Reason, v.Evidence)
	}
	if n := b.leaves(evidence.LeafTransition); n != first+1 {
		t.Errorf("a new violation left %d transitions, want 1", n-first)
	}
	if n := b.leaves(evidence.LeafFinding); n != 1 {
		t.Errorf("%d findings, want 1", n)
	}
	transitions, err := b.store.Transitions(t.Context(), postgres.TransitionFilter{Check: "log.cleared", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(transitions) != 2 || transitions[0].From != assay.StateUnknown || transitions[0].To != assay.StateFail {
		t.Errorf("transitions of log.cleared: %+v", transitions)
	}
}

func TestClosedFindingStaysClosedUntilItHappensAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleared(0, noon.Add(-48*time.Hour))
	b.once()
	findings, err := b.store.Findings(t.Context())
	if err != nil || len(findings) != 1 {
		t.Fatalf("%d findings, %v", len(findings), err)
	}
	if err := b.store.CloseFinding(t.Context(), findings[0].ID, "admin", "planned migration"); err != nil {
		t.Fatal(err)
	}
	if err := b.store.CloseFinding(t.Context(), findings[0].ID, "admin", "again"); assay.KindOf(err) != assay.Conflict {
		t.Errorf("closing twice: %v", err)
	}
	b.now = noon.Add(time.Hour)
	b.exec(`UPDATE projection_cursor SET watermark = $1`, b.now)
	b.once()
	again, err := b.store.Finding(t.Context(), findings[0].ID)
	if err != nil || again.Open() || again.Cause != "planned migration" {
		t.Errorf("the closed finding is %+v, %v", again, err)
	}
}

func TestTwoServersDoNotRecordOneRunTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.once()
	_, position, err := b.store.LatestRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.once()
	_, err = b.store.SaveRun(t.Context(), postgres.RunRecord{Previous: position})
	if assay.KindOf(err) != assay.Conflict {
		t.Errorf("a run on top of one that is no longer the newest: %v", err)
	}
}

func TestLateFactsTakeFindingsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleared(0, noon.Add(-48*time.Hour))
	b.once()
	// As if what came later showed that it was not so.
	b.exec(`DELETE FROM hit`)
	b.once()
	findings, err := b.store.Findings(t.Context())
	if err != nil || len(findings) != 1 {
		t.Fatalf("%d findings, %v", len(findings), err)
	}
	if f := findings[0]; f.Open() || f.Cause != restated || f.ClosedBy != "" {
		t.Errorf("a finding that no fact shows is %+v", f.Finding)
	}
	if n := b.leaves(evidence.LeafFinding); n != 2 {
		t.Errorf("%d leaves of findings, want its opening and its retraction", n)
	}
}
