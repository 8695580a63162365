package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/telemetry"
)

// eventPartitionLock is the advisory lock under which event partitions are made.
const eventPartitionLock = 0x6173736179_0004

// EventRows collects rows of event tables as COPY takes them. It may be reset and
// filled again, which keeps its memory; one goroutine uses it.
type EventRows struct {
	tables  map[*telemetry.Table]*tableRows
	days    map[eventDay]int64
	encoder telemetry.CopyEncoder

	// last is the day that was counted last, of which n are not in days yet.
	last eventDay
	n    int64
}

// tableRows are the rows of one table.
type tableRows struct {
	copy []byte
	n    int64
}

// eventDay is the key of event_days; days are counted from 1970.
type eventDay struct {
	table              *telemetry.Table
	received, observed int64
}

// NewEventRows returns one without rows.
func NewEventRows() *EventRows {
	return &EventRows{tables: map[*telemetry.Table]*tableRows{}, days: map[eventDay]int64{}}
}

// Add adds the row of v, which must have a table.
func (r *EventRows) Add(p telemetry.Placement, v *telemetry.View) {
	rows := r.tables[v.Table]
	if rows == nil {
		rows = &tableRows{}
		r.tables[v.Table] = rows
	}
	if rows.n == 0 {
		rows.copy = append(rows.copy[:0], telemetry.CopyHeader...)
	}
	rows.copy = r.encoder.AppendRow(rows.copy, p, v)
	rows.n++
	if at := (eventDay{v.Table, unixDay(p.ReceivedAt), unixDay(v.Time())}); at != r.last {
		r.settle()
		r.last = at
	}
	r.n++
}

// settle books what was counted of the last day.
func (r *EventRows) settle() {
	if r.n > 0 {
		r.days[r.last] += r.n
	}
	r.n = 0
}

// unixDay rounds down, also before 1970.
func unixDay(t time.Time) int64 {
	seconds := t.Unix()
	day := seconds / 86_400
	if seconds%86_400 < 0 {
		day--
	}
	return day
}

// maxKeptRows is how much memory a table's rows keep when they are reset.
const maxKeptRows = 16 << 20

// Reset forgets all rows.
func (r *EventRows) Reset() {
	for table, rows := range r.tables {
		if cap(rows.copy) > maxKeptRows {
			delete(r.tables, table)
		}
		rows.n = 0
	}
	clear(r.days)
	r.last, r.n = eventDay{}, 0
}

// CopyTo writes the rows and counts them in event_days, all in the caller's
// transaction. The partitions of their received days must exist (see
// EnsureEventPartitions). It is meant to be the last but one step, before the
// cursor moves: the counts of a day are rows that all writers share, and they
// are taken last and in one order, so that writers wait briefly and never for
// each other in a circle.
func (r *EventRows) CopyTo(ctx context.Context, tx pgx.Tx) error {
	if err := r.copyInto(ctx, tx, func(table *telemetry.Table) string { return table.Name }); err != nil {
		return err
	}
	return r.countDays(ctx, tx)
}

// copyInto writes the rows of each table into the one named for it; "" leaves
// them out.
func (r *EventRows) copyInto(ctx context.Context, tx pgx.Tx, name func(*telemetry.Table) string) error {
	tables := slices.SortedFunc(maps.Keys(r.tables), func(a, b *telemetry.Table) int { return cmp.Compare(a.Name, b.Name) })
	for _, table := range tables {
		rows, into := r.tables[table], name(table)
		if rows.n == 0 || into == "" {
			continue
		}
		complete := append(rows.copy, telemetry.CopyTrailer...)
		tag, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(complete), copySQL(table, into))
		if err != nil {
			return fmt.Errorf("copying into %s: %w", into, err)
		}
		if n := tag.RowsAffected(); n != rows.n {
			return fmt.Errorf("copying into %s: %d of %d rows written", into, n, rows.n)
		}
	}
	return nil
}

func copySQL(table *telemetry.Table, into string) string {
	columns := table.ColumnNames()
	for i, name := range columns {
		columns[i] = pgx.Identifier{name}.Sanitize()
	}
	return "COPY " + pgx.Identifier{into}.Sanitize() + " (" + strings.Join(columns, ", ") + ") FROM STDIN (FORMAT binary)"
}

func (r *EventRows) countDays(ctx context.Context, tx pgx.Tx) error {
	r.settle()
	if len(r.days) == 0 {
		return nil
	}
	days := slices.SortedFunc(maps.Keys(r.days), func(a, b eventDay) int {
		return cmp.Or(cmp.Compare(a.table.Name, b.table.Name), cmp.Compare(a.received, b.received), cmp.Compare(a.observed, b.observed))
	})
	tables, received, observed, events := make([]string, len(days)), make([]time.Time, len(days)), make([]time.Time, len(days)), make([]int64, len(days))
	for i, d := range days {
		tables[i], received[i], observed[i], events[i] = d.table.Name, time.Unix(d.received*86_400, 0).UTC(), time.Unix(d.observed*86_400, 0).UTC(), r.days[d]
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
	there, err := tablesThere(ctx, tx, slices.Collect(maps.Keys(byPartition)))
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

func attachEventPartition(ctx context.Context, tx pgx.Tx, table *telemetry.Table, receivedDay time.Time) error {
	name, from, to := eventPartition(table, receivedDay)
	return attachPart(ctx, tx, table.Name, name, from.Format(partBound), to.Format(partBound))
}
