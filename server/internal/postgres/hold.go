package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Holds returns all holds, newest first.
func (s *Store) Holds(ctx context.Context) ([]assay.Hold, error) {
	rows, err := s.db.Query(ctx, `SELECT id, host_id, reason, placed_by, placed_at, position, coalesce(released_by, ''), released_at, coalesce(release_reason, '')
		FROM hold ORDER BY placed_at DESC, id`)
	if err != nil {
		return nil, translate("reading holds", err)
	}
	holds, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Hold, error) {
		var h assay.Hold
		var host *[16]byte
		var released *time.Time
		err := row.Scan((*[16]byte)(&h.ID), &host, &h.Reason, &h.PlacedBy, &h.PlacedAt, &h.Position, &h.ReleasedBy, &released, &h.ReleaseReason)
		if host != nil {
			h.Host = *host
		}
		h.PlacedAt, h.ReleasedAt = h.PlacedAt.UTC(), orZero(released)
		return h, err
	})
	return holds, translate("reading holds", err)
}

// PlaceHold places a hold on a host, or on all where host is zero. When it
// returns, nothing that it stands against is under way. It is NotFound where
// there is no such host, and Conflict while an erasure or a deletion that
// concerns it is recorded and not carried out: no hold keeps what goes by then.
func (s *Store) PlaceHold(ctx context.Context, host assay.HostID, reason, by string) (assay.HoldID, error) {
	if err := assay.CheckText("reason", reason, assay.MaxReason); err != nil {
		return assay.HoldID{}, err
	}
	id, now := assay.HoldID(uuid.New()), s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(retentionLock)); err != nil {
			return fmt.Errorf("locking retention: %w", err)
		}
		var on *[16]byte
		if host != (assay.HostID{}) {
			on = (*[16]byte)(&host)
			if err := enrolledHost(ctx, tx, host); err != nil {
				return err
			}
		}
		if err := nothingUnderWay(ctx, tx, on); err != nil {
			return err
		}
		position, err := s.recordHold(ctx, tx, evidence.HoldRecord{Action: evidence.HoldPlaced, Hold: evidence.ID(id), Host: evidence.ID(host), Reason: reason, By: by}, now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO hold (id, host_id, reason, placed_by, placed_at, position) VALUES ($1, $2, $3, $4, $5, $6)`,
			[16]byte(id), on, reason, by, now, position)
		if err != nil {
			return fmt.Errorf("inserting hold: %w", err)
		}
		return nil
	})
	return id, translate("placing hold", err)
}

// nothingUnderWay is Conflict while something of the host (nil: of any) is
// recorded as erased or deleted and may still be there.
func nothingUnderWay(ctx context.Context, tx pgx.Tx, host *[16]byte) error {
	var underWay bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erasure WHERE done_at IS NOT NULL AND key_deleted_at IS NULL AND ($1::uuid IS NULL OR host_id = $1))
		OR EXISTS (SELECT FROM archived_segment g WHERE deleted_at IS NOT NULL AND gone_at IS NULL
			AND ($1::uuid IS NULL OR EXISTS (SELECT FROM archived_host ah WHERE ah.segment = g.segment AND ah.host_id = $1)))`, host).Scan(&underWay)
	if err != nil {
		return fmt.Errorf("looking for what is under way: %w", err)
	}
	if underWay {
		return assay.Errorf(assay.Conflict, "an erasure or deletion that this would stand against is recorded in the ledger and not carried out in full yet: place the hold when it is")
	}
	return nil
}

// ReleaseHold ends a hold. It is NotFound for an unknown one and Conflict for
// one that is released.
func (s *Store) ReleaseHold(ctx context.Context, id assay.HoldID, reason, by string) error {
	if err := assay.CheckText("reason", reason, assay.MaxReason); err != nil {
		return err
	}
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var host *[16]byte
		var placed bool
		err := tx.QueryRow(ctx, `SELECT host_id, released_at IS NULL FROM hold WHERE id = $1 FOR UPDATE`, [16]byte(id)).Scan(&host, &placed)
		if errors.Is(err, pgx.ErrNoRows) {
			return assay.Errorf(assay.NotFound, "there is no hold %s", id)
		}
		if err != nil {
			return fmt.Errorf("reading hold: %w", err)
		}
		if !placed {
			return assay.Errorf(assay.Conflict, "the hold is released already")
		}
		record := evidence.HoldRecord{Action: evidence.HoldReleased, Hold: evidence.ID(id), Reason: reason, By: by}
		if host != nil {
			record.Host = evidence.ID(*host)
		}
		position, err := s.recordHold(ctx, tx, record, now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE hold SET released_by = $2, released_at = $3, release_reason = $4, release_position = $5 WHERE id = $1`,
			[16]byte(id), by, now, reason, position)
		if err != nil {
			return fmt.Errorf("releasing hold: %w", err)
		}
		return nil
	})
	return translate("releasing hold", err)
}

// recordHold appends a hold's leaf and the entry of who did it.
func (s *Store) recordHold(ctx context.Context, tx pgx.Tx, record evidence.HoldRecord, now time.Time) (position int64, err error) {
	body, err := evidence.Encode(record)
	if err != nil {
		return 0, err
	}
	action := "hold.place"
	if record.Action == evidence.HoldReleased {
		action = "hold.release"
	}
	err = s.audit(ctx, tx, assay.AuditEntry{User: record.By, Action: action, Subject: assay.HoldID(record.Hold).String(),
		Detail: map[string]string{"host": assay.HostID(record.Host).String(), "reason": record.Reason}, RecordedAt: now})
	if err != nil {
		return 0, err
	}
	return s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafHold, Body: body}})
}

// enrolledHost is NotFound for a host that is not there, and Invalid for an
// imported one, whose records rest with the host whose agent imported them.
func enrolledHost(ctx context.Context, tx pgx.Tx, host assay.HostID) error {
	var kind string
	err := tx.QueryRow(ctx, `SELECT kind FROM host WHERE id = $1`, [16]byte(host)).Scan(&kind)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return assay.Errorf(assay.NotFound, "there is no host %s", host)
	case err != nil:
		return fmt.Errorf("reading host: %w", err)
	case kind != "enrolled":
		return assay.Errorf(assay.Invalid, "host %s is known from imported logs alone: name the host whose agent imported them", host)
	}
	return nil
}
