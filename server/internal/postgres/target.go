package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// TargetStats tells what became of the messages to a target.
type TargetStats struct {
	Pending, Delivered, Failed uint64
	LastDelivered              time.Time
	// LastError is of the newest attempt, empty if it went well.
	LastError string
}

// CreateTarget keeps a new target. It is Conflict for a name that is taken.
func (s *Store) CreateTarget(ctx context.Context, t *assay.Target) error {
	now := s.clock()
	t.CreatedAt, t.ChangedAt, t.ChangedBy = now, now, t.CreatedBy
	settings, err := json.Marshal(t.Settings)
	if err != nil {
		return fmt.Errorf("encoding settings of target %s: %w", t.ID, err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM notification_target`).Scan(&n); err != nil {
			return fmt.Errorf("counting targets: %w", err)
		}
		if n >= assay.MaxTargets {
			return assay.Errorf(assay.Limited, "there are %d targets, the most there can be", n)
		}
		_, err := tx.Exec(ctx, `INSERT INTO notification_target (id, name, kind, address, settings, secrets, levels, kinds, enabled,
				created_by, created_at, changed_by, changed_at, changed_reason, position)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, true, $9, $10, $9, $10, '', 0)`,
			[16]byte(t.ID), t.Name, t.Kind, t.Address, settings, t.Sealed, orEmpty(t.Levels), orEmpty(t.Kinds), t.CreatedBy, now)
		if err != nil {
			return fmt.Errorf("inserting target %s: %w", t.ID, err)
		}
		position, err := s.auditAt(ctx, tx, assay.AuditEntry{User: t.CreatedBy, Action: "notification.create", Subject: t.ID.String(), RecordedAt: now,
			Detail: map[string]string{"name": t.Name, "kind": t.Kind, "address": t.Address, "levels": strings.Join(t.Levels, " "), "kinds": strings.Join(t.Kinds, " ")}})
		if err != nil {
			return err
		}
		t.Position, t.Enabled = uint64(position), true
		if _, err := tx.Exec(ctx, `UPDATE notification_target SET position = $2 WHERE id = $1`, [16]byte(t.ID), position); err != nil {
			return fmt.Errorf("marking target %s: %w", t.ID, err)
		}
		return nil
	})
	if assay.KindOf(translate("", err)) == assay.Conflict {
		return assay.Errorf(assay.Conflict, "there is a target named %q already", t.Name)
	}
	return translate("creating notification target", err)
}

// SetTargetEnabled turns a target on or off. What is pending for a target that
// is off is cancelled when its turn comes. It is Conflict if it is so already.
func (s *Store) SetTargetEnabled(ctx context.Context, id assay.TargetID, enabled bool, reason, by string) error {
	now := s.clock()
	action := map[bool]string{true: "notification.enable", false: "notification.disable"}[enabled]
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var name string
		var was bool
		if err := tx.QueryRow(ctx, `SELECT name, enabled FROM notification_target WHERE id = $1 FOR UPDATE`, [16]byte(id)).Scan(&name, &was); err != nil {
			return fmt.Errorf("reading target %s: %w", id, err)
		}
		if was == enabled {
			return assay.Errorf(assay.Conflict, "the target %q is so already", name)
		}
		_, err := tx.Exec(ctx, `UPDATE notification_target SET enabled = $2, changed_by = $3, changed_at = $4, changed_reason = $5 WHERE id = $1`,
			[16]byte(id), enabled, by, now, reason)
		if err != nil {
			return fmt.Errorf("updating target %s: %w", id, err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: action, Subject: id.String(), RecordedAt: now,
			Detail: map[string]string{"name": name, "reason": reason}})
	})
	return noTarget(id, translate("changing notification target", err))
}

// ChangeTarget keeps what a target has become since was read. It is Conflict for a
// name that is taken, and if somebody else changed the target meanwhile.
func (s *Store) ChangeTarget(ctx context.Context, t, was *assay.Target) error {
	now := s.clock()
	settings, err := json.Marshal(t.Settings)
	if err != nil {
		return fmt.Errorf("encoding settings of target %s: %w", t.ID, err)
	}
	meanwhile := false
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE notification_target SET name = $3, address = $4, settings = $5, secrets = $6, levels = $7, kinds = $8,
				changed_by = $9, changed_at = $10, changed_reason = $11 WHERE id = $1 AND changed_at = $2`,
			[16]byte(t.ID), was.ChangedAt, t.Name, t.Address, settings, t.Sealed, orEmpty(t.Levels), orEmpty(t.Kinds), t.ChangedBy, now, t.ChangedReason)
		if err != nil {
			return fmt.Errorf("updating target %s: %w", t.ID, err)
		}
		if meanwhile = tag.RowsAffected() == 0; meanwhile {
			return assay.Errorf(assay.Conflict, "the target %q was changed meanwhile: look at it again", was.Name)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: t.ChangedBy, Action: "notification.change", Subject: t.ID.String(), RecordedAt: now,
			Detail: map[string]string{"name": t.Name, "kind": t.Kind, "address": t.Address, "levels": strings.Join(t.Levels, " "),
				"kinds": strings.Join(t.Kinds, " "), "settings": string(settings), "reason": t.ChangedReason}})
	})
	if !meanwhile && assay.KindOf(translate("", err)) == assay.Conflict {
		return assay.Errorf(assay.Conflict, "there is a target named %q already", t.Name)
	}
	return translate("changing notification target", err)
}

func noTarget(id assay.TargetID, err error) error {
	if assay.KindOf(err) == assay.NotFound {
		return assay.Errorf(assay.NotFound, "there is no notification target %s", id)
	}
	return err
}

const targetColumns = `id, name, kind, address, settings, secrets, levels, kinds, enabled, created_by, created_at, changed_by, changed_at, changed_reason, position`

func scanTarget(row pgx.CollectableRow) (assay.Target, error) {
	var t assay.Target
	err := row.Scan((*[16]byte)(&t.ID), &t.Name, &t.Kind, &t.Address, &t.Settings, &t.Sealed, &t.Levels, &t.Kinds, &t.Enabled,
		&t.CreatedBy, &t.CreatedAt, &t.ChangedBy, &t.ChangedAt, &t.ChangedReason, &t.Position)
	t.CreatedAt, t.ChangedAt = t.CreatedAt.UTC(), t.ChangedAt.UTC()
	return t, err
}

func targets(ctx context.Context, db DB) ([]assay.Target, error) {
	rows, err := db.Query(ctx, `SELECT `+targetColumns+` FROM notification_target ORDER BY lower(name)`)
	if err != nil {
		return nil, fmt.Errorf("reading targets: %w", err)
	}
	return pgx.CollectRows(rows, scanTarget)
}

// Targets returns all targets by name.
func (s *Store) Targets(ctx context.Context) ([]assay.Target, error) {
	list, err := targets(ctx, s.db)
	return list, translate("reading notification targets", err)
}

// Target returns one target, or NotFound.
func (s *Store) Target(ctx context.Context, id assay.TargetID) (assay.Target, error) {
	rows, err := s.db.Query(ctx, `SELECT `+targetColumns+` FROM notification_target WHERE id = $1`, [16]byte(id))
	if err != nil {
		return assay.Target{}, translate("reading notification target", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanTarget)
	return t, noTarget(id, translate("reading notification target", err))
}

// TargetStats tells of each target that was ever told anything.
func (s *Store) TargetStats(ctx context.Context) (map[assay.TargetID]TargetStats, error) {
	rows, err := s.db.Query(ctx, `SELECT target_id, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'delivered'),
			count(*) FILTER (WHERE state = 'failed'), max(finished_at) FILTER (WHERE state = 'delivered'),
			coalesce((SELECT CASE WHEN a.ok THEN '' ELSE a.detail END FROM notification_attempt a JOIN notification_delivery o ON o.id = a.delivery_id
				WHERE o.target_id = d.target_id ORDER BY a.at DESC, a.number DESC LIMIT 1), '')
		FROM notification_delivery d GROUP BY target_id`)
	if err != nil {
		return nil, translate("counting deliveries", err)
	}
	stats := map[assay.TargetID]TargetStats{}
	var id [16]byte
	var t TargetStats
	var last *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &t.Pending, &t.Delivered, &t.Failed, &last, &t.LastError}, func() error {
		t.LastDelivered = orZero(last)
		stats[id] = t
		return nil
	})
	return stats, translate("counting deliveries", err)
}
