package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// keptDays is how many received days of partitions there are, as after a quarter.
const keptDays = 90

// partitioned is a database with that many days of partitions of every table. Events
// of each day came on it, and some a day late.
func partitioned(t *testing.T, newest time.Time) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Pool(t)
	store := postgres.New(postgres.Config{DB: pool, Now: time.Now})
	for i := range keptDays {
		if err := store.EnsureEventDay(t.Context(), newest.AddDate(0, 0, -i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range telemetry.Tables() {
		_, err := pool.Exec(t.Context(), `INSERT INTO event_days (table_name, received_day, observed_day, events)
			SELECT $1, $2::date - d, $2::date - d - late, 5000 FROM generate_series(0, $3::int - 1) d, generate_series(0, 1) late`, table.Name, newest, keptDays)
		if err != nil {
			t.Fatal(err)
		}
	}
	var parts int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r' AND relname LIKE 'win\_%'`).Scan(&parts); err != nil {
		t.Fatal(err)
	}
	if parts < 5*keptDays {
		t.Fatalf("%d partitions: too few to show anything", parts)
	}
	return pool
}

// locked runs a read of the console's in a transaction and returns how many
// partitions of event tables it locked, which is how many the planner met.
func locked(t *testing.T, conn *pgx.Conn, read func(*postgres.Store) error) (n int) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := read(postgres.New(postgres.Config{DB: tx, Now: time.Now})); err != nil {
		t.Fatal(err)
	}
	err = tx.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND c.relispartition AND c.relkind = 'r' AND c.relname LIKE 'win\_%'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReadsMeetFewPartitions runs every read of the console on event tables against a
// quarter's partitions, often enough for Postgres to prefer plans for any arguments,
// which would lock all.
func TestReadsMeetFewPartitions(t *testing.T) {
	t.Parallel()
	newest := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	pool := partitioned(t, newest)
	conn, err := pgx.Connect(t.Context(), pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	host := assay.HostID{1}
	check := func(name string, most int, read func(*postgres.Store) error) {
		t.Helper()
		for range 8 {
			if n := locked(t, conn, read); n > most {
				t.Errorf("%s met %d partitions, want at most %d", name, n, most)
				return
			}
		}
	}
	for _, table := range telemetry.Tables() {
		events := func(q postgres.EventQuery) func(*postgres.Store) error {
			q.Table, q.Limit = table, 100
			return func(s *postgres.Store) error {
				_, err := s.Events(t.Context(), q)
				return err
			}
		}
		// Events of a day come on that day and the next.
		day := newest.AddDate(0, 0, -40)
		check(table.Name+" of a day", 2, events(postgres.EventQuery{From: day, To: day.Add(24*time.Hour - 1)}))
		check(table.Name+" of a host's hour", 2, events(postgres.EventQuery{Host: &host, From: day.Add(time.Hour), To: day.Add(2 * time.Hour)}))
		check(table.Name+" of a week by a condition", 8, events(postgres.EventQuery{From: day, To: day.AddDate(0, 0, 7).Add(-1),
			Conditions: []postgres.EventCondition{{Column: "channel", Op: "=", Value: "Security"}}}))
	}
	check("totals", 0, func(s *postgres.Store) error { _, err := s.EventTotals(t.Context()); return err })
	check("the last day's count", 0, func(s *postgres.Store) error { _, err := s.EventsSince(t.Context(), newest); return err })
	check("hits", 0, func(s *postgres.Store) error {
		_, err := s.Hits(t.Context(), []assay.HostID{host}, newest, newest.Add(time.Hour))
		return err
	})
	newestPages(t, pool, newest)
}

// newestPages asks with no bounds at all: the newest page is in the newest parts, and
// nothing else is looked at once it is full.
func newestPages(t *testing.T, pool *pgxpool.Pool, newest time.Time) {
	t.Helper()
	table := telemetry.ByName("win_process_events")
	_, err := pool.Exec(t.Context(), `DELETE FROM event_days WHERE table_name = $1 AND observed_day > $2::date - 3`, table.Name, newest)
	if err != nil {
		t.Fatal(err)
	}
	for day := range 3 {
		at := newest.AddDate(0, 0, -day).Add(time.Hour)
		rows := eventRowsAt(t, at, 60)
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return rows.CopyTo(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	n := locked(t, conn, func(s *postgres.Store) error {
		q := postgres.EventQuery{Table: table, Limit: 100}
		page, err := s.Events(t.Context(), q)
		if err != nil || len(page) != 100 {
			t.Errorf("%d events of the newest page, %v", len(page), err)
			return err
		}
		for i := 1; i < len(page); i++ {
			if page[i].Key.ObservedAt.After(page[i-1].Key.ObservedAt) {
				t.Errorf("event %d is newer than the one before", i)
			}
		}
		q.After = &page[len(page)-1].Key
		rest, err := s.Events(t.Context(), q)
		if err != nil || len(rest) != 80 {
			t.Errorf("%d events of the next page, want 80, %v", len(rest), err)
		}
		return nil
	})
	if n < 3 {
		t.Errorf("%d partitions were met: nothing was read", n)
	}
	first := locked(t, conn, func(s *postgres.Store) error {
		_, err := s.Events(t.Context(), postgres.EventQuery{Table: table, Limit: 50})
		return err
	})
	if first > 2 {
		t.Errorf("the newest page met %d partitions, want at most 2", first)
	}
}

// eventRowsAt are n process starts, a second apart from at, received at once.
func eventRowsAt(t *testing.T, at time.Time, n int) *postgres.EventRows {
	t.Helper()
	return eventRowsReceived(t, at, at, n)
}

// eventRowsReceived are n process starts, a second apart from at, received at a time.
func eventRowsReceived(t *testing.T, at, received time.Time, n int) *postgres.EventRows {
	t.Helper()
	rows := postgres.NewEventRows()
	for i := range n {
		data, err := proto.Marshal(&telemetryv1.Event{ObservedAt: evidence.Ticks(at.Add(time.Duration(i) * time.Second)),
			Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Path: `C:\a.exe`}}})
		if err != nil {
			t.Fatal(err)
		}
		view, err := telemetry.ParseView(string(data))
		if err != nil {
			t.Fatal(err)
		}
		rows.Add(telemetry.Placement{ReceivedAt: received, Ordinal: int32(i)}, &view)
	}
	return rows
}
