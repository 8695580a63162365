package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
)

// EventQuery reads one event table, newest observed first.
type EventQuery struct {
	Table      *telemetry.Table
	Host       *assay.HostID
	From, To   time.Time // of observed_at, [From, To); zero: unbounded
	Conditions []EventCondition
	// After continues below a row, for paging.
	After *EventKey
	Limit int
}

// EventCondition compares one column. Op is =, !=, <, <=, >, >=, contains or
// starts_with; the last two compare texts without case.
type EventCondition struct {
	Column, Op, Value string
}

// EventKey is the order of rows: observed time, then ledger position.
type EventKey struct {
	ObservedAt time.Time
	Ref        assay.EventRef
}

// EventRow is one row, each value as text, in the order of the table's columns.
type EventRow struct {
	Key    EventKey
	Host   assay.HostID
	Values []string
}

// queryBuilder collects conditions and their arguments: data never becomes SQL.
type queryBuilder struct {
	where []string
	args  []any
}

func (b *queryBuilder) arg(v any) string {
	b.args = append(b.args, v)
	return "$" + strconv.Itoa(len(b.args))
}

func (b *queryBuilder) and(format string, args ...any) {
	b.where = append(b.where, fmt.Sprintf(format, args...))
}

// Events runs a query. It is Invalid for a column or operator that there is not.
//
// It looks through the observed days that have events from the newest, a few at a
// time and twice as many each time, until it has enough. A statement names the received
// days that those events came on, and not more than maxParts of them: the planner then
// meets the partitions of those days alone, however many there are and however little
// the query matches.
func (s *Store) Events(ctx context.Context, q EventQuery) ([]EventRow, error) {
	days, err := s.observedDays(ctx, q)
	if err != nil {
		return nil, err
	}
	var events []EventRow
	for size := 1; len(days) > 0 && len(events) < q.Limit; size *= 2 {
		left := q.Limit - len(events)
		n, received := nextDays(days, size, int64(left))
		var found []EventRow
		for some := range slices.Chunk(received, maxParts) {
			more, err := s.eventsOf(ctx, q, days[:n], some, left)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
		slices.SortFunc(found, func(a, b EventRow) int { return b.Key.compare(a.Key) })
		events, days = append(events, found[:min(left, len(found))]...), days[n:]
	}
	return events, nil
}

// maxParts is how many partitions a statement names.
const maxParts = 8

// nextDays returns how many of the days are looked through next: size of them, and as
// many more as it takes to hold so many events, but for those whose events came on too
// many days; and the days on which their events came, in order.
func nextDays(days []observedDay, size int, events int64) (n int, received []time.Time) {
	for held := int64(0); n < len(days) && (n < size || held < events); n++ {
		more := append(slices.Clone(received), days[n].received...)
		slices.SortFunc(more, time.Time.Compare)
		if more = slices.Compact(more); n > 0 && len(more) > maxParts {
			break
		}
		received = more
		held += days[n].events
	}
	return n, received
}

func (k EventKey) compare(o EventKey) int {
	return cmp.Or(k.ObservedAt.Compare(o.ObservedAt), cmp.Compare(k.Ref.Position, o.Ref.Position), cmp.Compare(k.Ref.Ordinal, o.Ref.Ordinal))
}

// eventsOf runs a query over observed days that follow each other, newest first, for
// what was received on some days.
func (s *Store) eventsOf(ctx context.Context, q EventQuery, days []observedDay, received []time.Time, limit int) ([]EventRow, error) {
	// A plan is made for these bounds, never for any: one for any would lock all
	// partitions (see the query's mode).
	b := &queryBuilder{}
	var spans []string
	for i := 0; i < len(received); {
		first, next := received[i], received[i].AddDate(0, 0, 1)
		for i++; i < len(received) && received[i].Equal(next); i++ {
			next = next.AddDate(0, 0, 1)
		}
		spans = append(spans, fmt.Sprintf("received_at >= %s AND received_at < %s", b.arg(first), b.arg(next)))
	}
	b.and("(%s)", strings.Join(spans, " OR "))
	b.and("observed_at >= %s AND observed_at < %s", b.arg(days[len(days)-1].observed), b.arg(days[0].observed.AddDate(0, 0, 1)))
	if q.Host != nil {
		b.and("host_id = %s", b.arg([16]byte(*q.Host)))
	}
	if !q.From.IsZero() {
		b.and("observed_at >= %s", b.arg(q.From))
	}
	if !q.To.IsZero() {
		b.and("observed_at < %s", b.arg(q.To))
	}
	if q.After != nil {
		b.and("(observed_at, position, ordinal) < (%s, %s, %s)", b.arg(q.After.ObservedAt), b.arg(int64(q.After.Ref.Position)), b.arg(int32(q.After.Ref.Ordinal)))
	}
	for _, c := range q.Conditions {
		if err := b.condition(q.Table, c); err != nil {
			return nil, err
		}
	}
	rows, err := s.db.Query(ctx, fmt.Sprintf(`SELECT observed_at, position, ordinal, host_id, %s FROM %s WHERE %s
		ORDER BY observed_at DESC, position DESC, ordinal DESC LIMIT %s`,
		columnsAsText(q.Table), q.Table.Name, strings.Join(b.where, " AND "), b.arg(limit)), append([]any{pgx.QueryExecModeCacheDescribe}, b.args...)...)
	if err != nil {
		return nil, translate("reading events", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (EventRow, error) {
		r := EventRow{Values: make([]string, len(q.Table.Columns))}
		var position int64
		var ordinal int32
		targets := []any{&r.Key.ObservedAt, &position, &ordinal, (*[16]byte)(&r.Host)}
		for i := range r.Values {
			targets = append(targets, &r.Values[i])
		}
		err := row.Scan(targets...)
		r.Key.ObservedAt = r.Key.ObservedAt.UTC()
		r.Key.Ref = assay.EventRef{Position: uint64(position), Ordinal: uint32(ordinal)}
		return r, err
	})
	return events, translate("reading events", err)
}

// observedDay is a day on which events were observed, and the days on which those were
// received, in order.
type observedDay struct {
	observed time.Time
	received []time.Time
	events   int64
}

// observedDays finds the observed days that a query may find events of, newest first.
func (s *Store) observedDays(ctx context.Context, q EventQuery) ([]observedDay, error) {
	until := q.To
	if q.After != nil && (until.IsZero() || q.After.ObservedAt.Before(until)) {
		until = q.After.ObservedAt
	}
	rows, err := s.db.Query(ctx, `SELECT observed_day, array_agg(received_day ORDER BY received_day), sum(events)::bigint FROM event_days
		WHERE table_name = $1 AND ($2::date IS NULL OR observed_day >= $2) AND ($3::date IS NULL OR observed_day <= $3)
		GROUP BY observed_day ORDER BY observed_day DESC`, q.Table.Name, orNull(q.From), orNull(until))
	if err != nil {
		return nil, translate("reading event days", err)
	}
	days, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d observedDay, err error) {
		err = row.Scan(&d.observed, &d.received, &d.events)
		return d, err
	})
	return days, translate("reading event days", err)
}

// columnsAsText has only names of the registry in it.
func columnsAsText(table *telemetry.Table) string {
	parts := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		switch c.Kind {
		case telemetry.KindTexts:
			parts[i] = "coalesce(array_to_string(" + c.Name + ", '; '), '')"
		case telemetry.KindTime:
			parts[i] = "to_char(" + c.Name + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
		default:
			parts[i] = "coalesce(" + c.Name + "::text, '')"
		}
	}
	return strings.Join(parts, ", ")
}

var comparisons = map[string]string{"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

func (b *queryBuilder) condition(table *telemetry.Table, c EventCondition) error {
	column, ok := table.Column(c.Column)
	if !ok {
		return assay.Errorf(assay.Invalid, "table %s has no column %q", table.Name, c.Column)
	}
	text := column.Name + "::text"
	switch c.Op {
	case "contains":
		b.and("strpos(lower(%s), lower(%s)) > 0", text, b.arg(c.Value))
		return nil
	case "starts_with":
		b.and("starts_with(lower(%s), lower(%s))", text, b.arg(c.Value))
		return nil
	}
	op, ok := comparisons[c.Op]
	if !ok {
		return assay.Errorf(assay.Invalid, "there is no operator %q: use =, !=, <, <=, >, >=, contains or starts_with", c.Op)
	}
	value, err := typedValue(column, c.Value)
	if err != nil {
		return err
	}
	if column.Kind == telemetry.KindTexts {
		b.and("%s %s ANY (%s)", b.arg(value), op, column.Name)
		return nil
	}
	b.and("%s %s %s", column.Name, op, b.arg(value))
	return nil
}

// typedValue reads text as the column's type.
func typedValue(column telemetry.Column, text string) (any, error) {
	var value any = text
	var err error
	switch column.Kind {
	case telemetry.KindUUID:
		value, err = assay.ParseHostID(text)
		if err == nil {
			value = [16]byte(value.(assay.HostID))
		}
	case telemetry.KindTime:
		value, err = time.Parse(time.RFC3339Nano, text)
	case telemetry.KindBool:
		value, err = strconv.ParseBool(text)
	case telemetry.KindInt32:
		value, err = strconv.ParseInt(text, 0, 32)
	case telemetry.KindInt64:
		value, err = strconv.ParseInt(text, 0, 64)
	case telemetry.KindFloat64:
		value, err = strconv.ParseFloat(text, 64)
	case telemetry.KindText, telemetry.KindTexts:
	}
	if err != nil {
		return nil, assay.Errorf(assay.Invalid, "%q is no value for column %s, which is %s", text, column.Name, column.SQLType)
	}
	return value, nil
}

// EventTotals counts the events of every table.
func (s *Store) EventTotals(ctx context.Context) (map[string]int64, error) {
	totals := map[string]int64{}
	rows, err := s.db.Query(ctx, `SELECT table_name, sum(events)::bigint FROM event_days GROUP BY table_name`)
	if err != nil {
		return nil, translate("counting events", err)
	}
	var table string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&table, &n}, func() error {
		totals[table] = n
		return nil
	})
	return totals, translate("counting events", err)
}

// EventsSince counts the events that were received on or after a UTC day.
func (s *Store) EventsSince(ctx context.Context, since time.Time) (uint64, error) {
	var n uint64
	err := s.db.QueryRow(ctx, `SELECT coalesce(sum(events), 0)::bigint FROM event_days WHERE received_day >= $1`, day(since)).Scan(&n)
	return n, translate("counting events", err)
}

// BatchAt reads the batch at a ledger position with the host of its agent and
// the stream's kind. It is NotFound where the position holds no batch.
func (s *Store) BatchAt(ctx context.Context, position uint64) (StoredBatch, bool, error) {
	b := StoredBatch{Position: position}
	var signed bool
	err := s.db.QueryRow(ctx, `SELECT b.stream_id, a.host_id, b.received_at, b.header, b.payload, b.head_signature IS NOT NULL
		FROM batch b JOIN stream s ON s.id = b.stream_id JOIN agent a ON a.id = s.agent_id WHERE b.position = $1`, int64(position)).
		Scan((*[16]byte)(&b.Stream), (*[16]byte)(&b.Host), &b.ReceivedAt, &b.Header, &b.Payload, &signed)
	if err != nil {
		return b, signed, translate("reading batch", err)
	}
	one := []StoredBatch{b}
	err = s.openAll(ctx, one)
	return one[0], signed, err
}
