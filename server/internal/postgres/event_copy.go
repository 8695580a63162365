package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/telemetry"
)

// eventPartitionLock is the advisory lock under which event partitions are made.
const eventPartitionLock = 0x6173736179_0004

// EventRows are rows of event tables by the table's name, as the table
// registry's Values makes them: one value per column, in the registry's order.
type EventRows map[string][][]any

// CopyTo writes the rows and counts them in event_days, all in the caller's
// transaction. The partitions of their received days must exist (see
// EnsureEventPartitions). It is meant to be the last but one step, before the
// cursor moves: the counts of a day are rows that all writers share, and they
// are taken last and in one order, so that writers wait briefly and never for
// each other in a circle.
func (r EventRows) CopyTo(ctx context.Context, tx pgx.Tx) error {
	for _, name := range slices.Sorted(maps.Keys(r)) {
		rows := r[name]
		if len(rows) == 0 {
			continue
		}
		table := telemetry.ByName(name)
		if table == nil {
			return fmt.Errorf("copying events: no table %q", name)
		}
		n, err := tx.CopyFrom(ctx, pgx.Identifier{name}, table.ColumnNames(), pgx.CopyFromRows(rows))
		if err != nil {
			return fmt.Errorf("copying into %s: %w", name, err)
		}
		if n != int64(len(rows)) {
			return fmt.Errorf("copying into %s: %d of %d rows written", name, n, len(rows))
		}
	}
	return r.countDays(ctx, tx)
}

// eventDay is the key of event_days.
type eventDay struct {
	table              string
	received, observed time.Time
}

func (r EventRows) countDays(ctx context.Context, tx pgx.Tx) error {
	counts := map[eventDay]int64{}
	for name, rows := range r {
		for _, row := range rows {
			observed, okObserved := row[telemetry.ObservedAtColumn].(time.Time)
			received, okReceived := row[telemetry.ReceivedAtColumn].(time.Time)
			if !okObserved || !okReceived {
				return fmt.Errorf("counting events of %s: row without times", name)
			}
			counts[eventDay{name, day(received), day(observed)}]++
		}
	}
	if len(counts) == 0 {
		return nil
	}
	days := slices.SortedFunc(maps.Keys(counts), func(a, b eventDay) int {
		return cmp.Or(cmp.Compare(a.table, b.table), a.received.Compare(b.received), a.observed.Compare(b.observed))
	})
	tables, received, observed, events := make([]string, len(days)), make([]time.Time, len(days)), make([]time.Time, len(days)), make([]int64, len(days))
	for i, d := range days {
		tables[i], received[i], observed[i], events[i] = d.table, d.received, d.observed, counts[d]
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO event_days AS d (table_name, received_day, observed_day, events)
		SELECT * FROM unnest($1::text[], $2::date[], $3::date[], $4::bigint[])
		ON CONFLICT (table_name, received_day, observed_day) DO UPDATE SET events = d.events + excluded.events`,
		tables, received, observed, events)
	if err != nil {
		return fmt.Errorf("counting events by day: %w", err)
	}
	return nil
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// eventPartition is the part of a table that holds one received day: the day
// itself for heavy tables, its ISO week (from Monday) for the others.
func eventPartition(table *telemetry.Table, received time.Time) (name string, from, to time.Time) {
	from = day(received)
	if table.Heavy {
		return table.Name + from.Format("_20060102"), from, from.AddDate(0, 0, 1)
	}
	year, week := from.ISOWeek()
	from = from.AddDate(0, 0, -(int(from.Weekday())+6)%7)
	return fmt.Sprintf("%s_%04dw%02d", table.Name, year, week), from, from.AddDate(0, 0, 7)
}

// EnsureEventPartitions makes what partitions of the event tables are missing
// for receivedDay. It may be called again, and by many at once. Call it first
// in a transaction, or in one of its own: attaching a partition conflicts with
// nothing that reads or copies, but waits for others who attach.
func EnsureEventPartitions(ctx context.Context, tx pgx.Tx, receivedDay time.Time) error {
	missing, err := missingEventPartitions(ctx, tx, receivedDay)
	if err != nil || len(missing) == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(eventPartitionLock)); err != nil {
		return fmt.Errorf("locking event partitions: %w", err)
	}
	// Another may have made them while this one waited for the lock.
	missing, err = missingEventPartitions(ctx, tx, receivedDay)
	if err != nil {
		return err
	}
	for _, table := range missing {
		if err := attachEventPartition(ctx, tx, table, receivedDay); err != nil {
			return err
		}
	}
	return nil
}

func missingEventPartitions(ctx context.Context, tx pgx.Tx, receivedDay time.Time) ([]*telemetry.Table, error) {
	byPartition := map[string]*telemetry.Table{}
	for _, table := range telemetry.Tables() {
		name, _, _ := eventPartition(table, receivedDay)
		byPartition[name] = table
	}
	// The catalogue is read as a table: to_regclass answers from a cache that
	// may not yet know what was committed while this session waited for a lock.
	rows, err := tx.Query(ctx, `SELECT relname FROM pg_class WHERE relname = ANY($1) AND relnamespace = current_schema()::regnamespace`,
		slices.Collect(maps.Keys(byPartition)))
	if err != nil {
		return nil, fmt.Errorf("looking for event partitions: %w", err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for event partitions: %w", err)
	}
	for _, name := range there {
		delete(byPartition, name)
	}
	var missing []*telemetry.Table
	for _, name := range slices.Sorted(maps.Keys(byPartition)) {
		missing = append(missing, byPartition[name])
	}
	return missing, nil
}

// attachEventPartition has only names of the registry and dates in its SQL.
func attachEventPartition(ctx context.Context, tx pgx.Tx, table *telemetry.Table, receivedDay time.Time) error {
	const bound = "2006-01-02 00:00:00+00"
	name, from, to := eventPartition(table, receivedDay)
	if _, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s (LIKE %s INCLUDING ALL)`, name, table.Name)); err != nil {
		return fmt.Errorf("creating event partition %s: %w", name, err)
	}
	_, err := tx.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`,
		table.Name, name, from.Format(bound), to.Format(bound)))
	if err != nil {
		return fmt.Errorf("attaching event partition %s: %w", name, err)
	}
	return nil
}
