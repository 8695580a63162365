package postgres_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/assay-audit/assay/migrations"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// matchAt is a match of a host's event at a position.
func (b *bundle) matchAt(host assay.HostID, position uint64, received time.Time) assay.Detection {
	return assay.Detection{Host: host, Rule: assay.RuleID{Pack: "core", ID: "r"}, Version: "1", Ref: assay.EventRef{Position: position}, Level: 1,
		ObservedAt: received, ReceivedAt: received, BookedAt: received, Grade: 1}
}

// applyMatches writes matches as a lane does whose step ends at a position.
func (b *bundle) applyMatches(t *testing.T, to uint64, matches ...assay.Detection) {
	t.Helper()
	cursor, err := b.store.Cursor(t.Context(), "rules", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	d := &postgres.Delta{Pass: "rules", Lane: 1, From: cursor.Position, To: to, Watermark: b.now, Detections: matches}
	for i := range matches {
		d.Inputs = append(d.Inputs, postgres.CorrelationInput{Detection: matches[i], Provider: "p"})
	}
	if err := b.store.ApplyDelta(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// TestCountedMatchesGoByThePart: what correlations have counted is dropped with its
// part, what they have not stays, and when the counting starts over there is room again
// where it was.
func TestCountedMatchesGoByThePart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	host := assay.HostID{1}
	const second = postgres.SegmentSize // the first position of the second part
	b.applyMatches(t, second+10, b.matchAt(host, 3, b.now), b.matchAt(host, second-1, b.now), b.matchAt(host, second, b.now), b.matchAt(host, second+5, b.now))
	drop := func(want int) {
		t.Helper()
		if n, err := b.store.DropCountedInputs(ctx); err != nil || n != want {
			t.Errorf("%d parts were dropped (%v), want %d", n, err, want)
		}
	}
	drop(0) // nothing was ever counted
	cursor, err := b.store.Cursor(ctx, "correlations", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	count := func(to uint64) {
		t.Helper()
		if err := b.store.ApplyCorrelations(ctx, cursor, to, b.now, &postgres.CorrelationStep{Owner: ""}); err != nil {
			t.Fatal(err)
		}
		cursor.Position = to
	}
	count(second - 1)
	drop(0) // one of the first part is not counted
	count(second + 1)
	drop(1)
	inputs, err := b.store.CorrelationInputs(ctx, cursor.Position, second+10, 10)
	if err != nil || len(inputs) != 1 || inputs[0].Detection.Ref.Position != second+5 {
		t.Errorf("%d matches are left to count (%v), want the one at %d", len(inputs), err, second+5)
	}
	if n := b.count(t, `SELECT count(*) FROM detection`); n != 4 {
		t.Errorf("%d detections of 4 are there", n)
	}
	if err := b.store.ResetPass(ctx, "rules", 1); err != nil {
		t.Fatal(err)
	}
	b.applyMatches(t, second+10, b.matchAt(host, 3, b.now))
	drop(0)
	if inputs, err = b.store.CorrelationInputs(ctx, 0, second, 10); err != nil || len(inputs) != 1 {
		t.Errorf("%d matches are there to be counted anew (%v), want 1", len(inputs), err)
	}
}

// TestErasureOfMatches: what rules matched of a host in a month is gone from all parts,
// also from those that are written to, and nothing else is.
func TestErasureOfMatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	host, other, month := assay.HostID{1}, assay.HostID{2}, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const far = 64 * postgres.SegmentSize // in the second part of detections
	b.applyMatches(t, far+10, b.matchAt(host, 1, month.Add(-time.Second)), b.matchAt(host, 2, month), b.matchAt(other, 3, month),
		b.matchAt(host, far, month.AddDate(0, 1, 0).Add(-time.Second)), b.matchAt(host, far+1, month.AddDate(0, 1, 0)))
	if err := b.store.EraseEvents(t.Context(), host, month); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"detection", "correlation_input"} {
		if n := b.count(t, `SELECT count(*) FROM `+table+` WHERE position IN (1, 3, $1)`, far+1); n != 3 {
			t.Errorf("%d rows of 3 that are not concerned are left in %s", n, table)
		}
		if n := b.count(t, `SELECT count(*) FROM `+table); n != 3 {
			t.Errorf("%d rows are left in %s, want 3", n, table)
		}
	}
	b.applyMatches(t, far+20, b.matchAt(host, far+11, b.now)) // and the parts take more
	if n := b.count(t, `SELECT count(*) FROM detection`); n != 4 {
		t.Errorf("%d detections are there, want 4", n)
	}
}

// TestCosignaturesAreThinned: of parts that the ledger has left behind the newest of
// each agent and day stays, once.
func TestCosignaturesAreThinned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	agents := []assay.AgentID{evidencetest.Enrol(t, b.store, b.authority, b.now).ID, evidencetest.Enrol(t, b.store, b.authority, b.now).ID}
	day := b.now
	keep := func(agent int, size int64, at time.Time) {
		t.Helper()
		b.now = at
		if err := b.store.KeepCosignature(ctx, &postgres.Cosignature{Size: size, Agent: agents[agent], Serial: []byte{1},
			Cosignature: evidence.Cosignature{At: at.Unix(), Signature: []byte{2}}}); err != nil {
			t.Fatal(err)
		}
	}
	const second = postgres.SegmentSize
	keep(0, 10, day)
	keep(0, 20, day.Add(time.Hour))
	keep(1, 20, day.Add(time.Hour))
	keep(0, 30, day.AddDate(0, 0, 1))
	keep(0, second-1, day.AddDate(0, 0, 1).Add(time.Minute))
	keep(0, second, day.AddDate(0, 0, 1).Add(time.Hour)) // the same day, in the next part
	thin := func(before time.Time, want int64) {
		t.Helper()
		if n, err := b.store.ThinCosignatures(ctx, before); err != nil || n != want {
			t.Errorf("%d cosignatures were thinned out (%v), want %d", n, err, want)
		}
	}
	thin(day.AddDate(0, 0, 9), 0) // the ledger is still in the first part
	if _, err := b.pool.Exec(ctx, `UPDATE ledger_head SET size = $1`, int64(second+1)); err != nil {
		t.Fatal(err)
	}
	thin(day.AddDate(0, 0, 1), 0) // some of it is too young
	thin(day.AddDate(0, 0, 2), 3)
	if n := b.count(t, `SELECT count(*) FROM cosignature WHERE size IN (20, $1)`, int64(second)); n != 3 || b.count(t, `SELECT count(*) FROM cosignature`) != 3 {
		t.Errorf("%d of the newest of each agent and day are left", n)
	}
	was := b.count(t, `SELECT 'cosignature_00000000'::regclass::oid::bigint`)
	thin(day.AddDate(0, 0, 3), 0)
	if is := b.count(t, `SELECT 'cosignature_00000000'::regclass::oid::bigint`); is != was {
		t.Error("a part that was thinned was written anew")
	}
}

// TestPartsKeepWhatWasThere migrates a database that has rows already.
func TestPartsKeepWhatWasThere(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), pgtest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 14); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO detection SELECT gen_random_uuid(), 'p', 'r', position, 0, '1', 0, 1, now(), now(), now(), false, 1, '', '', 1, '', '{}', '{}', '{}', '{}', 0
			FROM unnest('{0,5,16777215,16777216}'::bigint[]) position`,
		`INSERT INTO correlation_input SELECT position, 0, 'p', 'r', gen_random_uuid(), now(), now(), now(), false, 1, '', '', '', 1, '', '{}'
			FROM unnest('{262143,262144}'::bigint[]) position`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]int{"detection_00000000": 3, "detection_00000001": 1, "correlation_input_00000000": 1, "correlation_input_00000001": 1} {
		var n int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM `+part).Scan(&n); err != nil || n != want {
			t.Errorf("%s has %d rows (%v), want %d", part, n, err, want)
		}
	}
}

var deletion = regexp.MustCompile(`(?i)DELETE\s+FROM\s*([a-z_]*)`)

// TestNothingIsDeletedFromBigTables: rows go by DELETE only out of tables that are
// small whatever the fleet and its age. All others lose parts.
func TestNothingIsDeletedFromBigTables(t *testing.T) {
	t.Parallel()
	small := map[string]string{
		"projection_cursor":         "a row of each pass and lane",
		"import_progress":           "a row of each file that is being imported",
		"stream_clock":              "a row of each stream",
		"correlation_window":        "what correlations remember: bounded by their spans",
		"quarantine":                "batches that cannot be read",
		"server":                    "a row of each server",
		"session":                   "a row of each signed-in user",
		"event_days":                "a row of each table and day",
		"ledger_verification_state": "one verification",
		"checkpoint":                "one an hour, and a week of those that nobody signed",
		"notification_delivery":     "notices of the last weeks",
	}
	seen := 0
	for name, source := range sources(t) {
		for _, found := range deletion.FindAllStringSubmatch(source, -1) {
			seen++
			if small[found[1]] == "" {
				t.Errorf("%s deletes rows of %q, which is not known to be small", name, found[1])
			}
		}
	}
	if seen < len(small) {
		t.Errorf("%d deletions were found: the test looks at the wrong things", seen)
	}
	b := setup(t)
	for table := range small {
		if n := b.count(t, `SELECT count(*) FROM pg_class WHERE relname = $1 AND relkind = 'r'`, table); n != 1 {
			t.Errorf("%s is no table without parts", table)
		}
	}
}
