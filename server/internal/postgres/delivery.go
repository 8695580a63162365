package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Notice is a delivery with all that its message tells. The alert is as it is
// now, not as it was when the delivery was made: a late message tells the truth.
type Notice struct {
	assay.Delivery
	Target assay.Target
	// Alert is zero for a test, and where the alert is gone.
	Alert NoticeAlert
}

// NoticeAlert is what leaves the house of an alert: nothing of the event itself.
type NoticeAlert struct {
	ID                       assay.AlertID
	Pack, Rule, Title, Level string
	Tags                     []string
	State, Assignee          string
	Host                     assay.HostID
	HostName                 string
	Count                    uint64
	FirstSeen, LastSeen      time.Time
	OpenedAt                 time.Time
	AcknowledgeDue, CloseDue time.Time
	Position                 uint64
}

// Notice reads what a delivery is to tell, or NotFound.
func (s *Store) Notice(ctx context.Context, id assay.DeliveryID) (Notice, error) {
	list, err := s.deliveries(ctx, `WHERE d.id = $1`, []any{[16]byte(id)})
	if err != nil {
		return Notice{}, translate("reading delivery", err)
	}
	if len(list) == 0 {
		return Notice{}, assay.Errorf(assay.NotFound, "there is no delivery %s", id)
	}
	n := Notice{Delivery: list[0]}
	if n.Target, err = s.Target(ctx, n.Delivery.Target); err != nil {
		return n, err
	}
	if n.Delivery.Alert == (assay.AlertID{}) {
		return n, nil
	}
	var level int16
	var acknowledge, closing *time.Time
	a := &n.Alert
	err = s.db.QueryRow(ctx, `SELECT a.id, a.pack, a.rule_id, a.title, a.level, a.tags, a.state, a.assignee, a.host_id, coalesce(h.name, ''), a.count,
			a.first_seen, a.last_seen, a.opened_at, a.acknowledge_due, a.close_due, a.position
		FROM alert a LEFT JOIN host h ON h.id = a.host_id WHERE a.id = $1`, [16]byte(n.Delivery.Alert)).
		Scan((*[16]byte)(&a.ID), &a.Pack, &a.Rule, &a.Title, &level, &a.Tags, &a.State, &a.Assignee, (*[16]byte)(&a.Host), &a.HostName, &a.Count,
			&a.FirstSeen, &a.LastSeen, &a.OpenedAt, &acknowledge, &closing, &a.Position)
	if errors.Is(err, pgx.ErrNoRows) {
		return n, nil
	}
	a.Level = assay.Level(level).String()
	a.FirstSeen, a.LastSeen, a.OpenedAt, a.AcknowledgeDue, a.CloseDue = a.FirstSeen.UTC(), a.LastSeen.UTC(), a.OpenedAt.UTC(), orZero(acknowledge), orZero(closing)
	return n, translate("reading alert of delivery", err)
}

// deliveries reads deliveries with their attempts under a condition of ours.
func (s *Store) deliveries(ctx context.Context, condition string, args []any) ([]assay.Delivery, error) {
	rows, err := s.db.Query(ctx, `SELECT d.id, d.target_id, d.kind, d.alert_id, d.level, d.detail, d.state, d.occurred_at, d.created_at, d.finished_at,
			d.next_attempt_at, coalesce((SELECT jsonb_agg(jsonb_build_object('at', a.at, 'ms', a.milliseconds, 'ok', a.ok, 'detail', a.detail) ORDER BY a.number)
				FROM notification_attempt a WHERE a.delivery_id = d.id), '[]')
		FROM notification_delivery d `+condition, args...)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Delivery, error) {
		var d assay.Delivery
		var alert *[16]byte
		var finished, next *time.Time
		var attempts []byte
		err := row.Scan((*[16]byte)(&d.ID), (*[16]byte)(&d.Target), &d.Kind, &alert, &d.Level, &d.Detail, &d.State, &d.OccurredAt, &d.CreatedAt, &finished, &next, &attempts)
		if err != nil {
			return d, err
		}
		if alert != nil {
			d.Alert = *alert
		}
		d.OccurredAt, d.CreatedAt, d.FinishedAt, d.NextAttemptAt = d.OccurredAt.UTC(), d.CreatedAt.UTC(), orZero(finished), orZero(next)
		var list []struct {
			At     time.Time
			MS     int64
			OK     bool
			Detail string
		}
		if err := json.Unmarshal(attempts, &list); err != nil {
			return d, fmt.Errorf("reading attempts of delivery %s: %w", d.ID, err)
		}
		for _, a := range list {
			d.Attempts = append(d.Attempts, assay.DeliveryAttempt{At: a.At.UTC(), Took: time.Duration(a.MS) * time.Millisecond, OK: a.OK, Detail: a.Detail})
		}
		return d, nil
	})
}

// DeliveryFilter chooses deliveries; what is zero chooses all.
type DeliveryFilter struct {
	Target        assay.TargetID
	Alert         assay.AlertID
	State         assay.DeliveryState
	Limit, Offset int
}

// Deliveries lists the log, newest first, and says how many there are in all.
func (s *Store) Deliveries(ctx context.Context, f DeliveryFilter) (list []assay.Delivery, total uint64, err error) {
	var conditions []string
	var args []any
	add := func(column string, value any) {
		args = append(args, value)
		conditions = append(conditions, fmt.Sprintf("d.%s = $%d", column, len(args)))
	}
	if f.Target != (assay.TargetID{}) {
		add("target_id", [16]byte(f.Target))
	}
	if f.Alert != (assay.AlertID{}) {
		add("alert_id", [16]byte(f.Alert))
	}
	if f.State != "" {
		add("state", string(f.State))
	}
	where := ""
	if len(conditions) > 0 {
		where = "WHERE " + strings.Join(conditions, " AND ")
	}
	if err := s.db.QueryRow(ctx, `SELECT count(*) FROM notification_delivery d `+where, args...).Scan(&total); err != nil {
		return nil, 0, translate("counting deliveries", err)
	}
	n := len(args)
	list, err = s.deliveries(ctx, fmt.Sprintf(`%s ORDER BY d.created_at DESC, d.id LIMIT $%d OFFSET $%d`, where, n+1, n+2), append(args, f.Limit, f.Offset))
	return list, total, translate("listing deliveries", err)
}

// SaveAttempt records one try and what it makes of the delivery. A delivery
// that is no longer pending stays as it is: two workers cannot both end it.
func (s *Store) SaveAttempt(ctx context.Context, id assay.DeliveryID, a assay.DeliveryAttempt, state assay.DeliveryState, next time.Time) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var finished *time.Time
		if state != assay.DeliveryPending {
			finished = orNull(a.At.Add(a.Took))
		}
		tag, err := tx.Exec(ctx, `UPDATE notification_delivery SET state = $2, finished_at = $3, next_attempt_at = $4 WHERE id = $1 AND state = 'pending'`,
			[16]byte(id), string(state), finished, orNull(next))
		if err != nil {
			return fmt.Errorf("updating delivery %s: %w", id, err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `INSERT INTO notification_attempt (delivery_id, number, at, milliseconds, ok, detail)
			SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5 FROM notification_attempt WHERE delivery_id = $1`,
			[16]byte(id), a.At, a.Took.Milliseconds(), a.OK, a.Detail)
		if err != nil {
			return fmt.Errorf("inserting attempt at delivery %s: %w", id, err)
		}
		return nil
	})
	return translate("recording attempt", err)
}

// CancelDelivery ends a pending delivery whose target was turned off.
func (s *Store) CancelDelivery(ctx context.Context, id assay.DeliveryID) error {
	_, err := s.db.Exec(ctx, `UPDATE notification_delivery SET state = 'cancelled', finished_at = $2, next_attempt_at = NULL WHERE id = $1 AND state = 'pending'`,
		[16]byte(id), s.clock())
	return translate("cancelling delivery", err)
}

// CreateTest makes the delivery of a test that a person sends now.
func (s *Store) CreateTest(ctx context.Context, id assay.DeliveryID, target assay.TargetID, by string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO notification_delivery (id, target_id, kind, level, detail, occurred_at, state, created_at, job_id)
			VALUES ($1, $2, $3, 'informational', $4, $5, 'pending', $5, 0)`, [16]byte(id), [16]byte(target), string(assay.NotifyTest), by, now)
		if err != nil {
			return fmt.Errorf("inserting test of target %s: %w", target, err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "notification.test", Subject: target.String(), RecordedAt: now,
			Detail: map[string]string{"delivery": id.String()}})
	})
	if assay.KindOf(translate("", err)) == assay.Conflict {
		return assay.Errorf(assay.NotFound, "there is no notification target %s", target)
	}
	return translate("creating test", err)
}

// Backlog is what waits and what failed.
type Backlog struct {
	Pending, Failed int64
	Oldest          time.Time // of what is pending; zero: nothing is
}

// DeliveryBacklog counts for the metrics.
func (s *Store) DeliveryBacklog(ctx context.Context) (Backlog, error) {
	var b Backlog
	var oldest *time.Time
	err := s.db.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'failed'), min(created_at) FILTER (WHERE state = 'pending')
		FROM notification_delivery WHERE state IN ('pending', 'failed')`).Scan(&b.Pending, &b.Failed, &oldest)
	b.Oldest = orZero(oldest)
	return b, translate("counting deliveries", err)
}

// SweepDeliveries marks as failed what is pending with nobody left to try: its
// job ended without a word (a worker that was killed at the last attempt), or a
// person's test was cut off. It forgets what finished before the given time, but
// not the events themselves: their key keeps a replay from telling them again.
func (s *Store) SweepDeliveries(ctx context.Context, forget time.Time) (orphans, forgotten int64, err error) {
	now := s.clock()
	tag, err := s.db.Exec(ctx, `UPDATE notification_delivery d SET state = 'failed', finished_at = $1, next_attempt_at = NULL
		WHERE state = 'pending' AND created_at < $2
		AND NOT EXISTS (SELECT FROM river_job j WHERE j.id = d.job_id AND j.state NOT IN ('completed', 'discarded', 'cancelled'))`, now, now.Add(-10*time.Minute))
	if err != nil {
		return 0, 0, translate("ending orphaned deliveries", err)
	}
	orphans = tag.RowsAffected()
	if tag, err = s.db.Exec(ctx, `DELETE FROM notification_delivery WHERE state <> 'pending' AND finished_at < $1`, forget); err != nil {
		return orphans, 0, translate("forgetting old deliveries", err)
	}
	return orphans, tag.RowsAffected(), nil
}
