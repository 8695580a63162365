package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
)

// held: a hold that is placed on the host of the erasure e.
const held = `EXISTS (SELECT FROM hold h WHERE h.released_at IS NULL AND (h.host_id IS NULL OR h.host_id = e.host_id))`

const erasureQuery = `SELECT e.id, e.host_id, e.month::timestamp, e.reason, e.requested_by, e.requested_at, e.position, e.due_at,
	e.done_at, e.key_deleted_at, ` + held + ` FROM erasure e`

func scanErasure(row pgx.CollectableRow) (assay.Erasure, error) {
	var e assay.Erasure
	var done, deleted *time.Time
	err := row.Scan((*[16]byte)(&e.ID), (*[16]byte)(&e.Host), &e.Month, &e.Reason, &e.RequestedBy, &e.RequestedAt, &e.Position, &e.DueAt, &done, &deleted, &e.Held)
	e.RequestedAt, e.DueAt, e.DoneAt, e.KeyDeletedAt = e.RequestedAt.UTC(), e.DueAt.UTC(), orZero(done), orZero(deleted)
	return e, err
}

func (s *Store) erasures(ctx context.Context, where string, args ...any) ([]assay.Erasure, error) {
	rows, err := s.db.Query(ctx, erasureQuery+` `+where, args...)
	if err != nil {
		return nil, translate("reading erasures", err)
	}
	erasures, err := pgx.CollectRows(rows, scanErasure)
	return erasures, translate("reading erasures", err)
}

// Erasures returns all erasures, the newest request first.
func (s *Store) Erasures(ctx context.Context) ([]assay.Erasure, error) {
	return s.erasures(ctx, `ORDER BY e.requested_at DESC, e.id`)
}

// ErasuresDue returns those that may be carried out at that time, and those
// that are recorded and whose key may still be there.
func (s *Store) ErasuresDue(ctx context.Context, at time.Time) ([]assay.Erasure, error) {
	return s.erasures(ctx, `WHERE e.key_deleted_at IS NULL AND (e.done_at IS NOT NULL OR e.due_at <= $1 AND NOT `+held+`) ORDER BY e.due_at, e.id`, at)
}

// RequestErasure asks for what a host sent in a month to be erased from dueAt on.
// It is NotFound for an unknown host, Conflict where it was asked for already.
func (s *Store) RequestErasure(ctx context.Context, host assay.HostID, month, dueAt time.Time, reason, by string) (assay.ErasureID, error) {
	if err := assay.CheckText("reason", reason, assay.MaxReason); err != nil {
		return assay.ErasureID{}, err
	}
	id, now := assay.ErasureID(uuid.New()), s.clock()
	body, err := evidence.Encode(evidence.ErasureRecord{Action: evidence.ErasureRequested, Host: evidence.ID(host), Month: month.Format("2006-01"),
		Segment: -1, Reason: reason, By: by, Due: evidence.Ticks(dueAt)})
	if err != nil {
		return id, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := enrolledHost(ctx, tx, host); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO erasure (id, host_id, month, reason, requested_by, requested_at, position, due_at)
			VALUES ($1, $2, $3, $4, $5, $6, -1, $7) ON CONFLICT (host_id, month) DO NOTHING`, [16]byte(id), [16]byte(host), month, reason, by, now, dueAt)
		if err != nil {
			return fmt.Errorf("inserting erasure: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return assay.Errorf(assay.Conflict, "the erasure of %s was asked for already", month.Format("2006-01"))
		}
		err = s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "erasure.request", Subject: host.String(),
			Detail: map[string]string{"month": month.Format("2006-01"), "reason": reason}, RecordedAt: now})
		if err != nil {
			return err
		}
		position, err := s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafErasure, Body: body}})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE erasure SET position = $2 WHERE id = $1`, [16]byte(id), position)
		if err != nil {
			return fmt.Errorf("noting leaf of erasure: %w", err)
		}
		return nil
	})
	return id, translate("requesting erasure", err)
}

// RecordErasure notes, with its leaf, that an erasure is carried out. It is
// Conflict where a hold stands against it. Only then may the key be deleted.
func (s *Store) RecordErasure(ctx context.Context, e *assay.Erasure) error {
	body, err := evidence.Encode(evidence.ErasureRecord{Action: evidence.ErasureDone, Host: evidence.ID(e.Host), Month: e.Month.Format("2006-01"),
		Segment: -1, Reason: e.Reason, By: e.RequestedBy})
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(retentionLock)); err != nil {
			return fmt.Errorf("locking retention: %w", err)
		}
		// No rebuild begins until it is recorded, and none of these days until it is
		// carried out.
		if _, err := tx.Exec(ctx, `LOCK TABLE rebuild IN SHARE MODE`); err != nil {
			return fmt.Errorf("locking rebuilds: %w", err)
		}
		if err := besideNoRebuild(ctx, tx, e.Month); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE erasure e SET done_at = $2 WHERE id = $1 AND done_at IS NULL AND NOT `+held, [16]byte(e.ID), s.clock())
		if err != nil {
			return fmt.Errorf("noting erasure: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return assay.Errorf(assay.Conflict, "the erasure is held, or done already")
		}
		position, err := s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafErasure, Body: body}})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE erasure SET done_position = $2 WHERE id = $1`, [16]byte(e.ID), position)
		if err != nil {
			return fmt.Errorf("noting leaf of erasure: %w", err)
		}
		return nil
	})
	return translate("recording erasure", err)
}

// RecordKeyDeleted notes that an erasure's key is gone.
func (s *Store) RecordKeyDeleted(ctx context.Context, id assay.ErasureID) error {
	_, err := s.db.Exec(ctx, `UPDATE erasure SET key_deleted_at = $2 WHERE id = $1`, [16]byte(id), s.clock())
	return translate("noting deleted key", err)
}

// EraseEvents takes the rows of what a host's agents sent in a month out of the
// event tables, and what rules matched of it. Each part is copied without them
// and takes the old one's place, one transaction each. The month's parts of event
// tables must be past: none is written to. It is Conflict while an unfinished rebuild meets the
// month: that has rows which are not in any part yet.
func (s *Store) EraseEvents(ctx context.Context, host assay.HostID, month time.Time) error {
	from, to := month, month.AddDate(0, 1, 0)
	if err := besideNoRebuild(ctx, s.db, month); err != nil {
		return translate("looking for rebuilds", err)
	}
	for _, table := range telemetry.Tables() {
		parts, err := s.EventParts(ctx, table)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if part.To.After(from) && part.From.Before(to) {
				if err := s.erasePart(ctx, table, part, host, from, to); err != nil {
					return err
				}
			}
		}
	}
	for _, table := range []positionTable{detectionTable, inputTable} {
		if err := s.eraseMatches(ctx, table, host, from, to); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) eraseMatches(ctx context.Context, table positionTable, host assay.HostID, from, to time.Time) error {
	parts, err := table.parts(ctx, s)
	if err != nil {
		return err
	}
	for _, part := range parts {
		var some bool
		err := s.db.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM %s WHERE %s)`, part.Name, concerned), [16]byte(host), from, to).Scan(&some)
		if err != nil {
			return translate("looking for what to erase", err)
		}
		if !some {
			continue
		}
		if _, err := table.rewrite(ctx, s, part, concerned, [16]byte(host), from, to); err != nil {
			return err
		}
	}
	return nil
}

// besideNoRebuild is Conflict while an unfinished rebuild meets a month.
func besideNoRebuild(ctx context.Context, db querier, month time.Time) error {
	var rebuilt bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rebuild WHERE finished_at IS NULL AND from_day < $2::timestamp::date AND to_day > $1::timestamp::date)`,
		month, month.AddDate(0, 1, 0)).Scan(&rebuilt)
	if err != nil {
		return fmt.Errorf("looking for rebuilds: %w", err)
	}
	if rebuilt {
		return assay.Errorf(assay.Conflict, "a rebuild of days of %s is not finished: what it has read would come back", month.Format("2006-01"))
	}
	return nil
}

// concerned are the rows of what the agents of host $1 sent in [$2, $3).
const concerned = `received_at >= $2 AND received_at < $3 AND (host_id = $1 OR host_id IN (
	SELECT h.id FROM host h JOIN stream s ON s.id = h.import_stream JOIN agent a ON a.id = s.agent_id WHERE a.host_id = $1))`

// erasePart has only names of the registry and of our own making in its SQL.
func (s *Store) erasePart(ctx context.Context, table *telemetry.Table, part EventPart, host assay.HostID, from, to time.Time) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var some bool
		err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM %s WHERE %s)`, part.Name, concerned), [16]byte(host), from, to).Scan(&some)
		if err != nil || !some {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s_new (LIKE %s INCLUDING ALL)`, part.Name, table.Name)); err != nil {
			return fmt.Errorf("creating part: %w", err)
		}
		_, err = tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %s_new SELECT * FROM %s WHERE NOT (%s)`, part.Name, part.Name, concerned), [16]byte(host), from, to)
		if err != nil {
			return fmt.Errorf("copying part: %w", err)
		}
		return replacePart(ctx, tx, table, part)
	})
	return translate("erasing from "+part.Name, err)
}
