package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

const alertColumns = `a.host_id, a.id, a.pack, a.rule_id, a.key, a.key_hash, a.title, a.tags, a.rule_level, a.level, a.state, a.reason, a.duplicate_of,
	a.assignee, a.count, a.first_seen, a.last_seen, a.opened_at, a.opening, a.acknowledge_due, a.close_due, a.acknowledged_at, a.acknowledged_by,
	a.closed_at, a.closed_by, a.overdue_noted, a.latest_position, a.latest_ordinal, a.finding_id, a.position`

// alertRow is where a row of alertColumns goes.
type alertRow struct {
	a                                 assay.Alert
	key                               []string
	hash                              []byte
	ruleLevel, level, noted           int16
	state                             string
	duplicate, finding                *[16]byte
	count, latest, position           int64
	ordinal                           int32
	ackDue, closeDue, acked, closedAt *time.Time
}

func (r *alertRow) into() []any {
	a := &r.a
	return []any{(*[16]byte)(&a.Host), (*[16]byte)(&a.ID), &a.Rule.Pack, &a.Rule.ID, &r.key, &r.hash, &a.Title, &a.Tags, &r.ruleLevel, &r.level, &r.state,
		&a.Reason, &r.duplicate, &a.Assignee, &r.count, &a.FirstSeen, &a.LastSeen, &a.OpenedAt, &a.Opening, &r.ackDue, &r.closeDue, &r.acked,
		&a.AcknowledgedBy, &r.closedAt, &a.ClosedBy, &r.noted, &r.latest, &r.ordinal, &r.finding, &r.position}
}

func (r *alertRow) finish() assay.Alert {
	a := r.a
	a.Key, a.RuleLevel, a.Level, a.State = unflat(r.key), assay.Level(r.ruleLevel), assay.Level(r.level), assay.AlertState(r.state)
	copy(a.KeyHash[:], r.hash)
	if r.duplicate != nil {
		a.DuplicateOf = *r.duplicate
	}
	if r.finding != nil {
		a.Finding = *r.finding
	}
	a.Count, a.Position, a.OverdueNoted = uint64(r.count), uint64(r.position), int(r.noted)
	a.Latest = assay.EventRef{Position: uint64(r.latest), Ordinal: uint32(r.ordinal)}
	a.FirstSeen, a.LastSeen, a.OpenedAt = a.FirstSeen.UTC(), a.LastSeen.UTC(), a.OpenedAt.UTC()
	a.AcknowledgeDue, a.CloseDue, a.AcknowledgedAt, a.ClosedAt = orZero(r.ackDue), orZero(r.closeDue), orZero(r.acked), orZero(r.closedAt)
	return a
}

func scanAlert(row pgx.CollectableRow) (assay.Alert, error) {
	var r alertRow
	err := row.Scan(r.into()...)
	return r.finish(), err
}

// orNullID is NULL for the zero id.
func orNullID[ID ~[16]byte](id ID) *[16]byte {
	if id == (ID{}) {
		return nil
	}
	raw := [16]byte(id)
	return &raw
}

// queueAlert writes an alert as it stands.
func queueAlert(batch *pgx.Batch, a *assay.Alert) {
	batch.Queue(`INSERT INTO alert (host_id, id, pack, rule_id, key, key_hash, title, tags, rule_level, level, state, reason, duplicate_of, assignee,
			count, first_seen, last_seen, opened_at, opening, acknowledge_due, close_due, acknowledged_at, acknowledged_by, closed_at, closed_by,
			overdue_noted, latest_position, latest_ordinal, finding_id, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)
		ON CONFLICT (host_id, id) DO UPDATE SET level = excluded.level, state = excluded.state, reason = excluded.reason,
			duplicate_of = excluded.duplicate_of, assignee = excluded.assignee, count = excluded.count, first_seen = excluded.first_seen,
			last_seen = excluded.last_seen, opened_at = excluded.opened_at, opening = excluded.opening, acknowledge_due = excluded.acknowledge_due,
			close_due = excluded.close_due, acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by,
			closed_at = excluded.closed_at, closed_by = excluded.closed_by, overdue_noted = excluded.overdue_noted,
			latest_position = excluded.latest_position, latest_ordinal = excluded.latest_ordinal, position = excluded.position`,
		[16]byte(a.Host), [16]byte(a.ID), a.Rule.Pack, a.Rule.ID, flat(a.Key), a.KeyHash[:], a.Title, orEmpty(a.Tags), int16(a.RuleLevel), int16(a.Level),
		string(a.State), a.Reason, orNullID(a.DuplicateOf), a.Assignee, int64(a.Count), a.FirstSeen, a.LastSeen, a.OpenedAt, a.Opening,
		orNull(a.AcknowledgeDue), orNull(a.CloseDue), orNull(a.AcknowledgedAt), a.AcknowledgedBy, orNull(a.ClosedAt), a.ClosedBy,
		int16(a.OverdueNoted), int64(a.Latest.Position), int32(a.Latest.Ordinal), orNullID(a.Finding), int64(a.Position))
}

// queueAction adds an action, with what the alert is after it.
func queueAction(batch *pgx.Batch, a *assay.Alert, act *assay.AlertAction) {
	batch.Queue(`INSERT INTO alert_action (host_id, alert_id, number, kind, user_name, acted_at, note, detail, state, level, assignee, opening,
			acknowledge_due, close_due, position)
		SELECT $1, $2, coalesce(max(number) + 1, 0), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM alert_action WHERE host_id = $1 AND alert_id = $2`,
		[16]byte(a.Host), [16]byte(a.ID), act.Kind, act.By, act.At, act.Note, act.Detail, string(a.State), int16(a.Level), a.Assignee, a.Opening,
		orNull(a.AcknowledgeDue), orNull(a.CloseDue), int64(act.Position))
}

// queueNotification tells others, once for each opening, kind and detail.
func queueNotification(batch *pgx.Batch, kind string, a *assay.Alert, detail string, at time.Time) {
	batch.Queue(`INSERT INTO notification_event (kind, host_id, alert_id, level, opening, detail, occurred_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT DO NOTHING`, kind, [16]byte(a.Host), [16]byte(a.ID), a.Level.String(), a.Opening, detail, at)
}

// alertsLock serialises what opens alerts: two must never open the same one.
const alertsLock = 0x6173736179_02

func lockAlerts(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(alertsLock)); err != nil {
		return fmt.Errorf("locking alerts: %w", err)
	}
	return nil
}

// lockedAlerts reads alerts for change, in the order of their ids: any two
// transactions that share alerts meet at the first. It is NotFound where one of
// them is missing.
func lockedAlerts(ctx context.Context, tx pgx.Tx, ids []assay.AlertID) ([]assay.Alert, error) {
	rows, err := tx.Query(ctx, `SELECT `+alertColumns+` FROM alert a WHERE a.id = ANY ($1) ORDER BY a.id FOR UPDATE`, uuids(ids))
	if err != nil {
		return nil, fmt.Errorf("reading alerts: %w", err)
	}
	alerts, err := pgx.CollectRows(rows, scanAlert)
	if err != nil {
		return nil, fmt.Errorf("reading alerts: %w", err)
	}
	found := make(map[assay.AlertID]bool, len(alerts))
	for i := range alerts {
		found[alerts[i].ID] = true
	}
	for _, id := range ids {
		if !found[id] {
			return nil, assay.Errorf(assay.NotFound, "there is no alert %s", id)
		}
	}
	return alerts, nil
}

// AlertChange is what a person does to alerts, all of them or none.
type AlertChange struct {
	IDs  []assay.AlertID
	Kind string // assay.Action…
	By   string
	Note string
	// Detail is told with the action: the reason, the assignee, the level.
	Detail string
	// Notify is the kind of notification; empty: none.
	Notify string
	// Apply changes one alert.
	Apply func(a *assay.Alert, now time.Time, policy *assay.AlertPolicy) error
	// Also names an alert that must exist, of which it is a duplicate.
	Also *assay.AlertID
}

// ChangeAlerts does what a person asks, with its audit entry and leaf, and
// returns the alerts as they are then.
func (s *Store) ChangeAlerts(ctx context.Context, c *AlertChange) ([]assay.Alert, error) {
	now := s.clock()
	var alerts []assay.Alert
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		policy, err := alertPolicy(ctx, tx)
		if err != nil {
			return err
		}
		if c.Also != nil {
			var there bool
			if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM alert WHERE id = $1)`, [16]byte(*c.Also)).Scan(&there); err != nil {
				return fmt.Errorf("reading alert: %w", err)
			}
			if !there {
				return assay.Errorf(assay.NotFound, "there is no alert %s", *c.Also)
			}
		}
		alerts, err = s.changeAlerts(ctx, tx, c, &policy, now)
		return err
	})
	return alerts, translate("changing alerts", err)
}

func (s *Store) changeAlerts(ctx context.Context, tx pgx.Tx, c *AlertChange, policy *assay.AlertPolicy, now time.Time) ([]assay.Alert, error) {
	alerts, err := lockedAlerts(ctx, tx, c.IDs)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(alerts))
	for i := range alerts {
		if err := c.Apply(&alerts[i], now, policy); err != nil {
			return nil, err
		}
		ids[i] = alerts[i].ID.String()
	}
	detail := map[string]string{"note": c.Note}
	if c.Detail != "" {
		detail["detail"] = c.Detail
	}
	subject := ids[0]
	if len(ids) > 1 {
		subject, detail["alerts"] = fmt.Sprintf("%d alerts", len(ids)), strings.Join(ids, " ")
	}
	position, err := s.auditAt(ctx, tx, assay.AuditEntry{User: c.By, Action: "alert." + c.Kind, Subject: subject, Detail: detail, RecordedAt: now})
	if err != nil {
		return nil, err
	}
	if c.Kind == assay.ActionReopen {
		opened := make([]opening, len(alerts))
		for i := range alerts {
			opened[i] = opening{&alerts[i], assay.ActionReopen, alerts[i].Latest}
		}
		if err := s.recordOpenings(ctx, tx, opened); err != nil {
			return nil, err
		}
	}
	batch := &pgx.Batch{}
	for i := range alerts {
		a := &alerts[i]
		action := assay.AlertAction{Kind: c.Kind, By: c.By, At: now, Note: c.Note, Detail: c.Detail, Position: uint64(position)}
		if c.Kind == assay.ActionReopen {
			action.Position = a.Position // of the leaf with its clocks; the operator's is beside it
		}
		queueAlert(batch, a)
		queueAction(batch, a, &action)
		if c.Notify != "" {
			told := ""
			if c.Kind == assay.ActionEscalate {
				told = c.Detail
			}
			queueNotification(batch, c.Notify, a, told, now)
		}
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("writing alerts: %w", err)
	}
	return alerts, nil
}

// Alert returns one alert, or NotFound.
func (s *Store) Alert(ctx context.Context, id assay.AlertID) (assay.Alert, error) {
	rows, err := s.db.Query(ctx, `SELECT `+alertColumns+` FROM alert a WHERE a.id = $1`, [16]byte(id))
	if err != nil {
		return assay.Alert{}, translate("reading alert", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAlert)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, assay.Errorf(assay.NotFound, "there is no alert %s", id)
	}
	return a, translate("reading alert", err)
}

// AlertActions lists what was done to an alert, oldest first.
func (s *Store) AlertActions(ctx context.Context, host assay.HostID, id assay.AlertID) ([]assay.AlertAction, error) {
	rows, err := s.db.Query(ctx, `SELECT kind, user_name, acted_at, note, detail, position FROM alert_action
		WHERE host_id = $1 AND alert_id = $2 ORDER BY number`, [16]byte(host), [16]byte(id))
	if err != nil {
		return nil, translate("reading an alert's actions", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.AlertAction, error) {
		var a assay.AlertAction
		var position int64
		err := row.Scan(&a.Kind, &a.By, &a.At, &a.Note, &a.Detail, &position)
		a.At, a.Position = a.At.UTC(), uint64(position)
		return a, err
	})
	return list, translate("reading an alert's actions", err)
}

// NoteOverdue records once for each opening which alerts have run past a clock
// at the server's time, and tells others of it. It returns how many.
func (s *Store) NoteOverdue(ctx context.Context) (int, error) {
	now, n := s.clock(), 0
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+alertColumns+` FROM alert a
			WHERE state = 'open' AND acknowledge_due < $1 AND overdue_noted & 1 = 0 OR state <> 'closed' AND close_due < $1 AND overdue_noted & 2 = 0
			ORDER BY a.id LIMIT 500 FOR UPDATE SKIP LOCKED`, now)
		if err != nil {
			return fmt.Errorf("reading overdue alerts: %w", err)
		}
		alerts, err := pgx.CollectRows(rows, scanAlert)
		if err != nil {
			return fmt.Errorf("reading overdue alerts: %w", err)
		}
		batch := &pgx.Batch{}
		for i := range alerts {
			noteOverdue(batch, &alerts[i], now)
		}
		if n = len(alerts); n == 0 {
			return nil
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	return n, translate("noting overdue alerts", err)
}

func noteOverdue(batch *pgx.Batch, a *assay.Alert, now time.Time) {
	for _, clock := range []struct {
		bit      int
		due, met time.Time
		name     string
	}{{1, a.AcknowledgeDue, a.AcknowledgeMet(), "acknowledge"}, {2, a.CloseDue, a.ClosedAt, "close"}} {
		if a.OverdueNoted&clock.bit != 0 || assay.Clock(clock.due, clock.met, now) != assay.ClockOverdue {
			continue
		}
		a.OverdueNoted |= clock.bit
		queueAction(batch, a, &assay.AlertAction{Kind: assay.ActionOverdue, At: now, Detail: clock.name,
			Note: "was due " + clock.due.Format(time.RFC3339)})
		queueNotification(batch, "alert.overdue", a, clock.name, now)
	}
	batch.Queue(`UPDATE alert SET overdue_noted = $3 WHERE host_id = $1 AND id = $2`, [16]byte(a.Host), [16]byte(a.ID), a.OverdueNoted)
}
