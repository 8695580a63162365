package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// BackfillPass names the pass of a backfill.
func BackfillPass(id assay.BackfillID) string { return "backfill-" + id.String() }

// maxBackfills bounds the backfills that are not done.
const maxBackfills = 20

// StartBackfill records a backfill of rules of the pack version in force, over
// what was received from b.Since until now. It fills in version, positions and
// time. It is NotFound for a pack or rule that is not there, Invalid for one
// that is off.
func (s *Store) StartBackfill(ctx context.Context, b *assay.RuleBackfill) error {
	from, err := s.firstReceived(ctx, b.Since)
	if err != nil {
		return err
	}
	b.StartedAt, b.State, b.From, b.Position = s.clock(), "running", from, from
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockRules(ctx, tx); err != nil {
			return err
		}
		var running int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM rule_backfill WHERE state = 'running'`).Scan(&running); err != nil {
			return fmt.Errorf("counting backfills: %w", err)
		}
		if running >= maxBackfills {
			return assay.Errorf(assay.Limited, "%d backfills are not done yet: wait for one, or cancel it", running)
		}
		if err := chooseRules(ctx, tx, b); err != nil {
			return err
		}
		position, err := s.auditAt(ctx, tx, assay.AuditEntry{User: b.By, Action: "rules.backfill", Subject: b.Pack, RecordedAt: b.StartedAt, Detail: map[string]string{
			"id": b.ID.String(), "version": b.Version, "rules": nameSome(b.Rules), "since": b.Since.UTC().Format(time.RFC3339), "reason": b.Reason,
			"from": strconv.FormatUint(b.From, 10),
		}})
		if err != nil {
			return err
		}
		b.To = uint64(position)
		_, err = tx.Exec(ctx, `INSERT INTO rule_backfill (id, pack, version, rules, since, from_position, to_position, state, user_name, reason, started_at, lease_until)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', $8, $9, $10, 'epoch')`, [16]byte(b.ID), b.Pack, b.Version, b.Rules, b.Since,
			int64(b.From), position, b.By, b.Reason, b.StartedAt)
		if err != nil {
			return fmt.Errorf("inserting backfill: %w", err)
		}
		return nil
	})
	return translate("starting backfill", err)
}

// chooseRules fills in the version in force and the rules that are on.
func chooseRules(ctx context.Context, tx pgx.Tx, b *assay.RuleBackfill) error {
	rows, err := tx.Query(ctx, `SELECT r.version, r.id, coalesce(c.enabled, false)`+inForce+`WHERE r.pack = $2 AND ($3::text[] IS NULL OR r.id = ANY ($3)) ORDER BY r.id`,
		int64(1<<62), b.Pack, b.Rules)
	if err != nil {
		return fmt.Errorf("reading rules: %w", err)
	}
	var version, id string
	var on bool
	var chosen []string
	var off string
	found := map[string]bool{}
	_, err = pgx.ForEachRow(rows, []any{&version, &id, &on}, func() error {
		b.Version, found[id] = version, true
		if on {
			chosen = append(chosen, id)
		} else {
			off = id
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading rules: %w", err)
	}
	for _, want := range b.Rules {
		if !found[want] {
			return assay.Errorf(assay.NotFound, "the pack %s has no rule %s", b.Pack, want)
		}
	}
	if len(b.Rules) > 0 && off != "" {
		return assay.Errorf(assay.Invalid, "rule %s is off: turn it on first", off)
	}
	if b.Rules = chosen; len(chosen) == 0 {
		return assay.Errorf(assay.Invalid, "no rule of the pack %s is on", b.Pack)
	}
	return nil
}

// firstReceived is the first position of a batch received at or after a time, or
// the ledger's size. Batches received before may follow it, where a clock was set
// back.
func (s *Store) firstReceived(ctx context.Context, since time.Time) (uint64, error) {
	size, err := s.LedgerSize(ctx)
	if err != nil {
		return 0, err
	}
	var first int64
	err = s.db.QueryRow(ctx, `SELECT coalesce(min(position), $2) FROM batch WHERE received_at >= $1`, since, int64(size)).Scan(&first)
	return uint64(first), translate("looking for the first batch", err)
}

const backfillColumns = `b.id, b.pack, b.version, b.rules, b.since, b.from_position, b.to_position, b.state, b.detections, b.error, b.user_name, b.reason,
	b.started_at, b.finished_at, coalesce(p.position, CASE WHEN b.state = 'done' THEN b.to_position ELSE b.from_position END)`

const backfillFrom = ` FROM rule_backfill b LEFT JOIN projection_cursor p ON p.pass = 'backfill-' || b.id::text AND p.lane = 0 `

func scanBackfill(row pgx.CollectableRow) (assay.RuleBackfill, error) {
	var b assay.RuleBackfill
	var from, to, position, detections int64
	var finished *time.Time
	err := row.Scan((*[16]byte)(&b.ID), &b.Pack, &b.Version, &b.Rules, &b.Since, &from, &to, &b.State, &detections, &b.Error, &b.By, &b.Reason,
		&b.StartedAt, &finished, &position)
	b.From, b.To, b.Position, b.Detections = uint64(from), uint64(to), uint64(position), uint64(detections)
	b.Since, b.StartedAt, b.FinishedAt = b.Since.UTC(), b.StartedAt.UTC(), orZero(finished)
	return b, err
}

// Backfills lists all, newest first.
func (s *Store) Backfills(ctx context.Context) ([]assay.RuleBackfill, error) {
	rows, err := s.db.Query(ctx, `SELECT `+backfillColumns+backfillFrom+`ORDER BY b.started_at DESC, b.id LIMIT 1000`)
	if err != nil {
		return nil, translate("reading backfills", err)
	}
	list, err := pgx.CollectRows(rows, scanBackfill)
	return list, translate("reading backfills", err)
}

// CancelBackfill ends one that is not done. It is NotFound for an unknown one
// and Conflict for one that has ended.
func (s *Store) CancelBackfill(ctx context.Context, id assay.BackfillID, by string) (assay.RuleBackfill, error) {
	now := s.clock()
	var b assay.RuleBackfill
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+backfillColumns+backfillFrom+`WHERE b.id = $1 FOR UPDATE OF b`, [16]byte(id))
		if err != nil {
			return fmt.Errorf("reading backfill: %w", err)
		}
		b, err = pgx.CollectExactlyOneRow(rows, scanBackfill)
		if errors.Is(err, pgx.ErrNoRows) {
			return assay.Errorf(assay.NotFound, "there is no backfill %s", id)
		}
		if err != nil {
			return fmt.Errorf("reading backfill: %w", err)
		}
		if b.State != "running" {
			return assay.Errorf(assay.Conflict, "the backfill is %s already", b.State)
		}
		if err := endBackfill(ctx, tx, id, "cancelled", "", now); err != nil {
			return err
		}
		b.State, b.FinishedAt = "cancelled", now
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "rules.backfill.cancel", Subject: b.Pack,
			Detail: map[string]string{"id": id.String()}, RecordedAt: now})
	})
	return b, translate("cancelling backfill", err)
}

// endBackfill sets the state and drops what the run remembered.
func endBackfill(ctx context.Context, tx pgx.Tx, id assay.BackfillID, state, reason string, now time.Time) error {
	pass := BackfillPass(id)
	if _, err := tx.Exec(ctx, `UPDATE rule_backfill SET state = $2, error = $3, finished_at = $4 WHERE id = $1`, [16]byte(id), state, reason, now); err != nil {
		return fmt.Errorf("ending backfill: %w", err)
	}
	for _, sql := range []string{
		`DELETE FROM projection_cursor WHERE pass = $1`, `DELETE FROM import_progress WHERE pass = $1`, `DELETE FROM stream_clock WHERE pass = $1`,
		`DELETE FROM correlation_window WHERE owner = $1`,
	} {
		if _, err := tx.Exec(ctx, sql, pass); err != nil {
			return fmt.Errorf("ending backfill: %w", err)
		}
	}
	return nil
}

// EndBackfill records how one ended, if it is still running.
func (s *Store) EndBackfill(ctx context.Context, id assay.BackfillID, state, reason string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var running bool
		err := tx.QueryRow(ctx, `SELECT state = 'running' FROM rule_backfill WHERE id = $1 FOR UPDATE`, [16]byte(id)).Scan(&running)
		if err != nil || !running {
			return err
		}
		return endBackfill(ctx, tx, id, state, reason, now)
	})
	return translate("ending backfill", err)
}

// ClaimBackfill gives a server the oldest backfill that runs and that no other
// works on, for a while; ok is false where there is none.
func (s *Store) ClaimBackfill(ctx context.Context, server string, lease time.Duration, version int) (b assay.RuleBackfill, ok bool, err error) {
	now := s.clock()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var id [16]byte
		err := tx.QueryRow(ctx, `SELECT id FROM rule_backfill WHERE state = 'running' AND (lease_by = $1 OR lease_until < $2)
			ORDER BY started_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`, server, now).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking for a backfill: %w", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE rule_backfill SET lease_by = $2, lease_until = $3 WHERE id = $1`, id, server, now.Add(lease)); err != nil {
			return fmt.Errorf("claiming backfill: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO projection_cursor (pass, lane, version, position, watermark)
			SELECT 'backfill-' || id::text, 0, $2, from_position, 'epoch' FROM rule_backfill WHERE id = $1 ON CONFLICT DO NOTHING`, id, version)
		if err != nil {
			return fmt.Errorf("making cursor: %w", err)
		}
		rows, err := tx.Query(ctx, `SELECT `+backfillColumns+backfillFrom+`WHERE b.id = $1`, id)
		if err != nil {
			return fmt.Errorf("reading backfill: %w", err)
		}
		b, err = pgx.CollectExactlyOneRow(rows, scanBackfill)
		ok = err == nil
		return err
	})
	return b, ok && err == nil, translate("claiming backfill", err)
}

// BackfillStep says in a Delta what a step of a backfill found.
type BackfillStep struct {
	ID     assay.BackfillID
	Server string
	Lease  time.Duration
	Found  int
}

// renew adds what was found and keeps the lease. A backfill that was cancelled
// or is another server's now is ErrCursorMoved.
func (b *BackfillStep) renew(ctx context.Context, tx pgx.Tx, now time.Time) error {
	tag, err := tx.Exec(ctx, `UPDATE rule_backfill SET detections = detections + $3, lease_until = $4
		WHERE id = $1 AND state = 'running' AND lease_by = $2`, [16]byte(b.ID), b.Server, b.Found, now.Add(b.Lease))
	if err != nil {
		return fmt.Errorf("renewing lease: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return ErrCursorMoved
	}
	return nil
}
