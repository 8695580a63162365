package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/telemetry"
)

// EventPart is a part of an event table: a partition by received day or week.
type EventPart struct {
	Name     string
	From, To time.Time
}

// EventParts returns the parts that a table has, oldest first.
func (s *Store) EventParts(ctx context.Context, table *telemetry.Table) ([]EventPart, error) {
	names, err := s.partNames(ctx, table.Name)
	if err != nil {
		return nil, err
	}
	parts := make([]EventPart, 0, len(names))
	for _, name := range names {
		part, err := parsePart(table, name)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// parsePart reads a part's name, which says what it holds.
func parsePart(table *telemetry.Table, name string) (EventPart, error) {
	suffix := strings.TrimPrefix(name, table.Name+"_")
	if day, err := time.Parse("20060102", suffix); err == nil {
		return EventPart{name, day, day.AddDate(0, 0, 1)}, nil
	}
	var year, week int
	if _, err := fmt.Sscanf(suffix, "%4dw%2d", &year, &week); err != nil {
		return EventPart{}, fmt.Errorf("%s is no name of a part of %s", name, table.Name)
	}
	// 4 January is always in week 1.
	first := time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC)
	from := first.AddDate(0, 0, -(int(first.Weekday())+6)%7+7*(week-1))
	return EventPart{name, from, from.AddDate(0, 0, 7)}, nil
}

// partBound is a bound of a part as it stands in SQL.
const partBound = "'2006-01-02 00:00:00+00'"

// replacePart puts NAME_new into the place of a part, or where there is none any
// more, and counts its events anew, in the caller's transaction (see swapPart).
func replacePart(ctx context.Context, tx pgx.Tx, table *telemetry.Table, part EventPart) error {
	if err := countPart(ctx, tx, table, part, part.Name+"_new"); err != nil {
		return err
	}
	return swapPart(ctx, tx, table.Name, part.Name, part.Name+"_new", "received_at", part.From.Format(partBound), part.To.Format(partBound))
}

// countPart makes event_days say of a part what is in a table; "" is nothing.
func countPart(ctx context.Context, tx pgx.Tx, table *telemetry.Table, part EventPart, content string) error {
	_, err := tx.Exec(ctx, `DELETE FROM event_days WHERE table_name = $1 AND received_day >= $2 AND received_day < $3`, table.Name, part.From, part.To)
	if err == nil && content != "" {
		_, err = tx.Exec(ctx, fmt.Sprintf(`INSERT INTO event_days (table_name, received_day, observed_day, events)
			SELECT $1, (received_at AT TIME ZONE 'UTC')::date, (observed_at AT TIME ZONE 'UTC')::date, count(*) FROM %s GROUP BY 2, 3`, content), table.Name)
	}
	if err != nil {
		return fmt.Errorf("counting events of part %s: %w", part.Name, err)
	}
	return nil
}

// DropEventPart drops a part of an event table, which rebuilding may bring back
// from the batches.
func (s *Store) DropEventPart(ctx context.Context, table *telemetry.Table, part EventPart) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := countPart(ctx, tx, table, part, ""); err != nil {
			return err
		}
		return dropPart(ctx, tx, table.Name, part.Name)
	})
	return translate("dropping "+part.Name, err)
}
