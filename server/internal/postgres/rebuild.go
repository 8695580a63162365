package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
)

const rebuildColumns = `id, from_day::timestamp, to_day::timestamp, started_at, started_by, week::timestamp, position, end_position, events, finished_at, keep_until`

func scanRebuild(row pgx.CollectableRow) (assay.Rebuild, error) {
	var r assay.Rebuild
	var finished *time.Time
	err := row.Scan((*[16]byte)(&r.ID), &r.From, &r.To, &r.StartedAt, &r.StartedBy, &r.Week, &r.Position, &r.End, &r.Events, &finished, &r.KeepUntil)
	r.StartedAt, r.FinishedAt, r.KeepUntil = r.StartedAt.UTC(), orZero(finished), r.KeepUntil.UTC()
	return r, err
}

// UnfinishedRebuild returns the rebuild that is under way, or NotFound.
func (s *Store) UnfinishedRebuild(ctx context.Context) (assay.Rebuild, error) {
	rows, err := s.db.Query(ctx, `SELECT `+rebuildColumns+` FROM rebuild WHERE finished_at IS NULL ORDER BY started_at LIMIT 1`)
	if err != nil {
		return assay.Rebuild{}, translate("reading rebuild", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRebuild)
	return r, translate("reading rebuild", err)
}

// CreateRebuild begins a rebuild of the received days [from, to). It is Conflict
// while another is under way, Invalid where a day is not over yet for every
// projection: what is still written to cannot be replaced.
func (s *Store) CreateRebuild(ctx context.Context, from, to, keepUntil time.Time, by string) (assay.Rebuild, error) {
	r := assay.Rebuild{ID: assay.RebuildID(uuid.New()), From: assay.Monday(from), To: day(to), StartedAt: s.clock(), StartedBy: by, KeepUntil: keepUntil}
	if !r.From.Before(r.To) {
		return r, assay.Errorf(assay.Invalid, "there is no day from %s to %s", from.Format(time.DateOnly), to.Format(time.DateOnly))
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE rebuild IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("locking rebuilds: %w", err)
		}
		if err := mayRebuild(ctx, tx, &r); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO rebuild (id, from_day, to_day, started_at, started_by, week, position, end_position, keep_until)
			VALUES ($1, $2, $3, $4, $5, $2, 0, 0, $6)`, [16]byte(r.ID), r.From, r.To, r.StartedAt, by, keepUntil)
		if err != nil {
			return fmt.Errorf("inserting rebuild: %w", err)
		}
		return nil
	})
	if err != nil {
		return r, translate("beginning rebuild", err)
	}
	r.Week = r.From
	return r, s.enterWeek(ctx, &r, r.From)
}

// mayRebuild is called with rebuilds locked, which whoever resets the projections or
// records an erasure locks too: what it finds stays so until r is recorded.
func mayRebuild(ctx context.Context, tx pgx.Tx, r *assay.Rebuild) error {
	var watermark *time.Time
	var busy, erasing bool
	err := tx.QueryRow(ctx, `SELECT (SELECT min(watermark) FROM projection_cursor WHERE pass = $1), EXISTS (SELECT FROM rebuild WHERE finished_at IS NULL),
		EXISTS (SELECT FROM erasure WHERE done_at IS NOT NULL AND key_deleted_at IS NULL AND month < $3 AND month + interval '1 month' > $2)`,
		factsPass, r.From, r.To).Scan(&watermark, &busy, &erasing)
	switch {
	case err != nil:
		return fmt.Errorf("looking at what else is under way: %w", err)
	case watermark == nil || watermark.Before(r.To):
		return assay.Errorf(assay.Invalid, "%s is not over for the projections yet: only past days can be rebuilt", r.To.AddDate(0, 0, -1).Format(time.DateOnly))
	case busy:
		return assay.Errorf(assay.Conflict, "another rebuild is not finished")
	case erasing:
		return assay.Errorf(assay.Conflict, "an erasure in these days is recorded and not carried out in full yet: rebuild when it is")
	}
	return nil
}

// enterWeek finds where the batches of a week begin and end, and goes there.
func (s *Store) enterWeek(ctx context.Context, r *assay.Rebuild, week time.Time) error {
	next := *r
	next.Week = week
	days := next.Days()
	var err error
	if next.Position, next.End, err = s.positionsOf(ctx, days[0], days[len(days)-1].AddDate(0, 0, 1)); err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		for _, part := range rebuiltParts(&next) {
			if _, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s_new (LIKE %s INCLUDING ALL)`, part.part.Name, part.table.Name)); err != nil {
				return fmt.Errorf("creating part %s: %w", part.part.Name, err)
			}
		}
		return moveRebuild(ctx, tx, r, &next)
	})
	if err != nil {
		return translate("beginning week of rebuild", err)
	}
	*r = next
	return nil
}

// moveRebuild moves a rebuild from where it was: two programs that run the same
// one cannot both.
func moveRebuild(ctx context.Context, tx pgx.Tx, old, next *assay.Rebuild) error {
	tag, err := tx.Exec(ctx, `UPDATE rebuild SET week = $4, position = $5, end_position = $6, events = $7
		WHERE id = $1 AND week = $2 AND position = $3 AND finished_at IS NULL`,
		[16]byte(old.ID), old.Week, int64(old.Position), next.Week, int64(next.Position), int64(next.End), next.Events)
	if err != nil {
		return fmt.Errorf("moving rebuild: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return assay.Errorf(assay.Conflict, "the rebuild is run by another program too, or was begun anew")
	}
	return nil
}

// positionsOf is where the batches received in [from, to) lie: from the first of
// them to after the last. Others may lie between them, for a clock that was set
// back puts earlier days at later positions.
func (s *Store) positionsOf(ctx context.Context, from, to time.Time) (first, end uint64, err error) {
	var low, high int64
	err = s.db.QueryRow(ctx, `SELECT coalesce(min(position), 0), coalesce(max(position) + 1, 0) FROM batch WHERE received_at >= $1 AND received_at < $2`, from, to).
		Scan(&low, &high)
	return uint64(low), uint64(high), translate("looking for batches", err)
}

type rebuiltPart struct {
	table *telemetry.Table
	part  EventPart
}

// rebuiltParts are the parts that a week of a rebuild replaces: those that lie
// within it as a whole.
func rebuiltParts(r *assay.Rebuild) []rebuiltPart {
	var parts []rebuiltPart
	for _, table := range telemetry.Tables() {
		seen := ""
		for _, d := range r.Days() {
			name, from, to := eventPartition(table, d)
			if name != seen && !from.Before(r.From) && !to.After(r.To) {
				parts = append(parts, rebuiltPart{table, EventPart{name, from, to}})
			}
			seen = name
		}
	}
	return parts
}

// Repeats returns the events at positions [from, to) that are left out of the
// event tables as projected before.
func (s *Store) Repeats(ctx context.Context, from, to uint64) (map[assay.EventRef]bool, error) {
	rows, err := s.db.Query(ctx, `SELECT position, ordinal FROM import_repeat WHERE position >= $1 AND position < $2`, int64(from), int64(to))
	if err != nil {
		return nil, translate("reading repeated events", err)
	}
	repeats := map[assay.EventRef]bool{}
	var position int64
	var ordinal int32
	_, err = pgx.ForEachRow(rows, []any{&position, &ordinal}, func() error {
		repeats[assay.EventRef{Position: uint64(position), Ordinal: uint32(ordinal)}] = true
		return nil
	})
	return repeats, translate("reading repeated events", err)
}

// RebuildStep writes the rows of the batches up to position to, all received on
// one day, and moves the rebuild there, in one transaction.
func (s *Store) RebuildStep(ctx context.Context, r *assay.Rebuild, to uint64, received time.Time, rows *EventRows, events int64) error {
	into := map[*telemetry.Table]string{}
	for _, p := range rebuiltParts(r) {
		if !received.Before(p.part.From) && received.Before(p.part.To) {
			into[p.table] = p.part.Name + "_new"
		}
	}
	next := *r
	next.Position, next.Events = to, r.Events+events
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := moveRebuild(ctx, tx, r, &next); err != nil {
			return err
		}
		return rows.copyInto(ctx, tx, func(table *telemetry.Table) string { return into[table] })
	})
	if err != nil {
		return translate("rebuilding", err)
	}
	*r = next
	return nil
}

// FinishWeek puts the week's new parts into place, one transaction each, and
// goes on to the next week or ends the rebuild. It may be called again.
func (s *Store) FinishWeek(ctx context.Context, r *assay.Rebuild) error {
	for _, p := range rebuiltParts(r) {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			if err := lockRebuild(ctx, tx, r); err != nil {
				return err
			}
			var waiting bool
			if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, p.part.Name+"_new").Scan(&waiting); err != nil || !waiting {
				return err
			}
			return replacePart(ctx, tx, p.table, p.part)
		})
		if err != nil {
			return translate("putting rebuilt part into place", err)
		}
	}
	if next := r.Week.AddDate(0, 0, 7); next.Before(r.To) {
		return s.enterWeek(ctx, r, next)
	}
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockRebuild(ctx, tx, r); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE rebuild SET finished_at = $2 WHERE id = $1`, [16]byte(r.ID), now); err != nil {
			return fmt.Errorf("noting the end: %w", err)
		}
		return nil
	})
	if err != nil {
		return translate("ending rebuild", err)
	}
	r.FinishedAt = now
	return nil
}

// lockRebuild keeps a rebuild where it is until the transaction ends. It is
// Conflict where it is elsewhere: a program that wakes late puts nothing into
// place, not even what a newer rebuild has begun.
func lockRebuild(ctx context.Context, tx pgx.Tx, r *assay.Rebuild) error {
	var same bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rebuild WHERE id = $1 AND week = $2 AND position = $3 AND finished_at IS NULL FOR UPDATE)`,
		[16]byte(r.ID), r.Week, int64(r.Position)).Scan(&same)
	if err != nil {
		return fmt.Errorf("locking rebuild: %w", err)
	}
	if !same {
		return assay.Errorf(assay.Conflict, "the rebuild is run by another program too, or was begun anew")
	}
	return nil
}

// PinnedDays returns the spans of received days that a rebuild keeps beyond the
// hot period at that time.
func (s *Store) PinnedDays(ctx context.Context, at time.Time) ([][2]time.Time, error) {
	rows, err := s.db.Query(ctx, `SELECT from_day::timestamp, to_day::timestamp FROM rebuild WHERE finished_at IS NULL OR keep_until > $1`, at)
	if err != nil {
		return nil, translate("reading rebuilds", err)
	}
	pinned, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (span [2]time.Time, err error) {
		err = row.Scan(&span[0], &span[1])
		return span, err
	})
	return pinned, translate("reading rebuilds", err)
}
