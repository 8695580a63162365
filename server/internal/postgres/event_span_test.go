package postgres_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// explaining is a database of which each statement's plan is made beforehand, alone,
// to count the partitions of event tables that it meets.
type explaining struct {
	*pgxpool.Pool
	t          *testing.T
	most       int // of one statement
	statements int
}

func (d *explaining) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	d.t.Helper()
	d.statements++
	tx, err := d.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "EXPLAIN "+sql, args...); err != nil {
		d.t.Errorf("explaining %s: %v", sql, err)
	}
	var n int
	err = tx.QueryRow(ctx, `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND c.relispartition AND c.relkind = 'r' AND c.relname LIKE 'win\_%'`).Scan(&n)
	if err != nil {
		return nil, err
	}
	if err := tx.Rollback(ctx); err != nil {
		return nil, err
	}
	d.most = max(d.most, n)
	return d.Pool.Query(ctx, sql, args...)
}

// readAll asks for events with no bounds of time, page after page, and returns them
// with how many partitions a statement met at most and how many statements there were.
func readAll(t *testing.T, pool *pgxpool.Pool, q postgres.EventQuery) (events []postgres.EventRow, most, statements int) {
	t.Helper()
	db := &explaining{Pool: pool, t: t}
	store := postgres.New(postgres.Config{DB: db, Now: time.Now})
	for {
		page, err := store.Events(t.Context(), q)
		if err != nil {
			t.Fatal(assay.Cause(err))
		}
		events = append(events, page...)
		if len(page) < q.Limit {
			return events, db.most, db.statements
		}
		q.After = &page[len(page)-1].Key
	}
}

// maxParts is how many partitions a statement may meet, whatever is asked for.
const maxParts = 8

// TestSearchOfAllTimeMeetsFewPartitions asks with no bounds of time for what is
// hardly ever there, or never: all days are looked through, few with a statement.
func TestSearchOfAllTimeMeetsFewPartitions(t *testing.T) {
	t.Parallel()
	newest := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	pool := partitioned(t, newest)
	host := assay.HostID{1}
	rare := postgres.EventCondition{Column: "channel", Op: "=", Value: "Security"}
	for _, table := range telemetry.Tables() {
		for name, q := range map[string]postgres.EventQuery{
			"host":      {Host: &host},
			"condition": {Conditions: []postgres.EventCondition{rare}},
			"both":      {Host: &host, Conditions: []postgres.EventCondition{rare}},
		} {
			q.Table, q.Limit = table, 100
			events, most, statements := readAll(t, pool, q)
			if len(events) > 0 || most == 0 || most > maxParts || statements > keptDays {
				t.Errorf("%s by %s: %d statements met up to %d partitions, want at most %d; %d events", table.Name, name, statements, most, maxParts, len(events))
			}
		}
	}
}

// TestEventsThatCameOnManyDays: events of a few observed days came on one day in
// three of two months. They are read in order, once each, by pages of any size.
func TestEventsThatCameOnManyDays(t *testing.T) {
	t.Parallel()
	newest := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	pool := partitioned(t, newest)
	table := telemetry.ByName("win_process_events")
	if _, err := pool.Exec(t.Context(), `TRUNCATE event_days`); err != nil {
		t.Fatal(err)
	}
	want := 0
	for d := 0; d < 60; d += 3 {
		observed := newest.AddDate(0, 0, -70-d%4).Add(time.Duration(d) * time.Minute)
		rows := eventRowsReceived(t, observed, newest.AddDate(0, 0, -d).Add(time.Hour), 7)
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return rows.CopyTo(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
		want += 7
	}
	for _, limit := range []int{3, 50, 1000} {
		events, most, _ := readAll(t, pool, postgres.EventQuery{Table: table, Limit: limit})
		if len(events) != want || most == 0 || most > maxParts {
			t.Errorf("by pages of %d: %d events of %d, up to %d partitions", limit, len(events), want, most)
		}
		if !slices.IsSortedFunc(events, func(a, b postgres.EventRow) int { return b.Key.ObservedAt.Compare(a.Key.ObservedAt) }) {
			t.Errorf("by pages of %d: they are not the newest first", limit)
		}
		seen := map[time.Time]bool{}
		for i := range events {
			seen[events[i].Key.ObservedAt] = true
		}
		if len(seen) != want {
			t.Errorf("by pages of %d: %d different events of %d", limit, len(seen), want)
		}
	}
}

// eventTables are what says that a function has to do with event tables.
var eventTables = regexp.MustCompile(`able\.Name\b|telemetry\.(Tables|ByName)\(|\bwin_[a-z]`)

// TestReadsOfEventTablesAreKnown: whatever has to do with event tables is one of
// these. A read that is new is to be bounded in partitions, and tried in
// TestReadsMeetFewPartitions and TestSearchOfAllTimeMeetsFewPartitions.
func TestReadsOfEventTablesAreKnown(t *testing.T) {
	t.Parallel()
	known := map[string]string{
		"eventsOf": "reads, and is tried", "observedDays": "reads the days alone", "condition": "tells of the table",
		"CopyTo": "writes", "countDays": "counts", "eventPartition": "names parts", "missingEventPartitions": "makes parts", "attachEventPartition": "makes parts",
		"EventParts": "lists parts", "parsePart": "names parts", "replacePart": "a part at a time", "countPart": "a part at a time", "DropEventPart": "a part at a time",
		"EraseEvents": "a part at a time", "erasePart": "a part at a time",
		"ResetPass": "empties whole tables", "enterWeek": "makes parts", "rebuiltParts": "names parts",
	}
	found := map[string]bool{}
	for name, source := range sources(t) {
		file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			of, ok := d.(*ast.FuncDecl)
			if !ok || !eventTables.MatchString(source[of.Pos()-file.FileStart:of.End()-file.FileStart]) {
				continue
			}
			if found[of.Name.Name] = true; known[of.Name.Name] == "" {
				t.Errorf("%s: %s has to do with event tables", name, of.Name.Name)
			}
		}
	}
	for name := range known {
		if !found[name] {
			t.Errorf("%s has nothing to do with event tables, or is gone", name)
		}
	}
}
