package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// TestEventTablesAreTheRegistry: the live schema has the registry's columns, in
// its order, with its types, in partitioned tables.
func TestEventTablesAreTheRegistry(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	for _, table := range telemetry.Tables() {
		var want []string
		for _, c := range table.Columns {
			null := " NOT NULL"
			if c.Nullable {
				null = ""
			}
			want = append(want, c.Name+" "+c.SQLType+null)
		}
		rows, err := pool.Query(t.Context(), `
			SELECT attname || ' ' || CASE format_type(atttypid, atttypmod) WHEN 'timestamp with time zone' THEN 'timestamptz'
				ELSE format_type(atttypid, atttypmod) END || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
			FROM pg_attribute JOIN pg_partitioned_table ON partrelid = attrelid
			WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, table.Name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", table.Name, diff)
		}
	}
}

// TestCopyEvents: several writers that meet new days at once make each partition
// once, and every row arrives and is counted on its days.
func TestCopyEvents(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	ctx := t.Context()
	sunday := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)
	const writers, each = 4, 50
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for _, received := range []time.Time{sunday, sunday.AddDate(0, 0, 1), sunday.AddDate(0, 0, 1), sunday.AddDate(0, 0, 8)} {
				err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return postgres.EnsureEventPartitions(ctx, tx, received) })
				if err != nil {
					t.Error(err)
				}
				rows := eventRows(t, received, each)
				if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return rows.CopyTo(ctx, tx) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	query := func(sql string) (n int) {
		t.Helper()
		if err := pool.QueryRow(ctx, sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for sql, want := range map[string]int{
		`SELECT count(*) FROM win_process_events`: writers * 4 * each,
		`SELECT count(*) FROM win_logon_events`:   writers * 4 * each,
		`SELECT sum(events) FROM event_days`:      writers * 4 * each * 2,
		`SELECT sum(events) FROM event_days WHERE table_name = 'win_logon_events' AND received_day = '2026-11-23'`:                                      writers * 2 * each,
		`SELECT events FROM event_days WHERE table_name = 'win_process_events' AND received_day = '2026-11-22' AND observed_day = '1970-01-02'`:         writers,
		`SELECT count(*) FROM pg_inherits WHERE inhparent = 'win_process_events'::regclass`:                                                             3,
		`SELECT count(*) FROM pg_inherits WHERE inhparent = 'win_logon_events'::regclass`:                                                               3,
		`SELECT count(*) FROM win_logon_events_2026w47`:                                                                                                 writers * each,
		`SELECT count(*) FROM win_logon_events_2026w48`:                                                                                                 writers * 2 * each,
		`SELECT count(*) FROM win_process_events_20261123`:                                                                                              writers * 2 * each,
		`SELECT count(*) FROM win_process_events WHERE path = 'a' || chr(65533) || 'b' AND pid IS NULL AND record_id IS NULL`:                           writers * 4 * each,
		`SELECT count(*) FROM win_logon_events WHERE privileges = '{x,y}' AND logon_type = 3 AND observed_at = '1601-01-01Z'`:                           writers * 4 * each,
		`SELECT count(*) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = 'win_logon_events_2026w48'::regclass AND relname ~ 'host_id'`: 1,
	} {
		if got := query(sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}

// eventRows are n processes of consecutive days and n logons with a time that
// no timestamp can hold.
func eventRows(t *testing.T, received time.Time, n int) *postgres.EventRows {
	t.Helper()
	rows := postgres.NewEventRows()
	fill(t, rows, received, n)
	return rows
}

func fill(t *testing.T, rows *postgres.EventRows, received time.Time, n int) {
	t.Helper()
	const day = 24 * 60 * 60 * 10_000_000
	for i := range n {
		three := uint32(3)
		for _, ev := range []*telemetryv1.Event{
			{ObservedAt: int64(i) * day, Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Path: "a\x00b"}}},
			{ObservedAt: -1 << 63, Body: &telemetryv1.Event_Logon{Logon: &telemetryv1.LogonEvent{LogonType: &three, Privileges: []string{"x", "y"}}}},
		} {
			data, err := proto.Marshal(ev)
			if err != nil {
				t.Fatal(err)
			}
			view, err := telemetry.ParseView(string(data))
			if err != nil {
				t.Fatal(err)
			}
			rows.Add(telemetry.Placement{ReceivedAt: received}, &view)
		}
	}
}

// TestCopyEventsAgain: rows that are reset are gone, with their counts.
func TestCopyEventsAgain(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	received := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return postgres.EnsureEventPartitions(t.Context(), tx, received) }); err != nil {
		t.Fatal(err)
	}
	rows := eventRows(t, received, 5)
	rows.Reset()
	fill(t, rows, received, 2)
	for range 2 { // what failed to commit is copied again as it is
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return rows.CopyTo(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	var copied, counted int
	if err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM win_process_events), (SELECT sum(events) FROM event_days WHERE table_name = 'win_process_events')`).
		Scan(&copied, &counted); err != nil {
		t.Fatal(err)
	}
	if copied != 4 || counted != 4 {
		t.Errorf("%d rows, %d counted, want 4", copied, counted)
	}
}

// TestCopyEventsRefuses: a mistake is an error, never a row left out.
func TestCopyEventsRefuses(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	rows := eventRows(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), 1)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return rows.CopyTo(context.Background(), tx) })
	if err == nil {
		t.Error("rows of a day without partitions were copied")
	}
}
