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

// AlertQuery says which alerts are asked for. Zero values ask for all.
type AlertQuery struct {
	States       []assay.AlertState
	Levels       []assay.Level
	Host         *assay.HostID
	Rule         assay.RuleID // pack, id or both
	Assignee     string
	Unassigned   bool
	Overdue      bool
	Reason       string
	Text         string
	From, To     time.Time // of opening
	Order        string    // "newest", "oldest", "level" or "due"
	At           time.Time // the moment that clocks are judged at
	AsOf         bool      // alerts are shown as they stood at At
	Limit, Start int
}

// alertsThen are the alerts that were there at $1, as a: their state, level,
// assignee and clocks are those of the last action until then.
const alertsThen = ` FROM (SELECT a.host_id, a.id, a.pack, a.rule_id, a.key, a.key_hash, a.title, a.tags, a.rule_level, x.level, x.state,
		CASE WHEN x.state = 'closed' THEN x.detail ELSE '' END AS reason, CASE WHEN x.state = 'closed' THEN a.duplicate_of END AS duplicate_of,
		x.assignee, a.count, a.first_seen, a.last_seen, o.acted_at AS opened_at, x.opening, x.acknowledge_due, x.close_due,
		k.acted_at AS acknowledged_at, coalesce(k.user_name, '') AS acknowledged_by,
		CASE WHEN x.state = 'closed' THEN x.acted_at END AS closed_at, CASE WHEN x.state = 'closed' THEN x.user_name ELSE '' END AS closed_by,
		a.overdue_noted, a.latest_position, a.latest_ordinal, a.finding_id, o.position
	FROM alert a
	JOIN LATERAL (SELECT * FROM alert_action WHERE host_id = a.host_id AND alert_id = a.id AND acted_at <= $1 AND kind NOT IN ('note', 'overdue')
		ORDER BY number DESC LIMIT 1) x ON true
	JOIN LATERAL (SELECT acted_at, position FROM alert_action WHERE host_id = a.host_id AND alert_id = a.id AND acted_at <= $1
		AND kind IN ('open', 'reopen') ORDER BY number DESC LIMIT 1) o ON true
	LEFT JOIN LATERAL (SELECT acted_at, user_name FROM alert_action WHERE host_id = a.host_id AND alert_id = a.id AND acted_at <= $1
		AND kind = 'acknowledge' AND opening = x.opening ORDER BY number DESC LIMIT 1) k ON true) a `

const alertOverdue = `(a.state = 'open' AND a.acknowledge_due < $1 OR a.state <> 'closed' AND a.close_due < $1)`

// where is the FROM and WHERE of a query; its first argument is the moment.
func (q *AlertQuery) where() (string, []any) {
	from := ` FROM alert a `
	if q.AsOf {
		from = alertsThen
	}
	args := []any{q.At}
	conditions := []string{"$1::timestamptz IS NOT NULL"}
	add := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if len(q.States) > 0 {
		add("a.state = ANY (?)", texts[string](q.States))
	}
	if len(q.Levels) > 0 {
		levels := make([]int16, len(q.Levels))
		for i, l := range q.Levels {
			levels[i] = int16(l)
		}
		add("a.level = ANY (?)", levels)
	}
	if q.Host != nil {
		add("a.host_id = ?", [16]byte(*q.Host))
	}
	for _, c := range []struct{ condition, value string }{
		{"a.pack = ?", q.Rule.Pack}, {"a.rule_id = ?", q.Rule.ID}, {"lower(a.assignee) = lower(?)", q.Assignee}, {"a.reason = ?", q.Reason},
	} {
		if c.value != "" {
			add(c.condition, c.value)
		}
	}
	if q.Unassigned {
		conditions = append(conditions, "a.assignee = ''")
	}
	if q.Overdue {
		conditions = append(conditions, alertOverdue)
	}
	if !q.From.IsZero() {
		add("a.opened_at >= ?", q.From)
	}
	if !q.To.IsZero() {
		add("a.opened_at < ?", q.To)
	}
	if q.Text != "" {
		add(`(position(lower(?) in lower(a.title || ' ' || a.rule_id || ' ' || array_to_string(a.key, ' '))) > 0
			OR EXISTS (SELECT FROM host h WHERE h.id = a.host_id AND position(lower(?) in lower(h.name)) > 0)
			OR EXISTS (SELECT FROM detection d WHERE d.host_id = a.host_id AND d.pack = a.pack AND d.rule_id = a.rule_id AND d.position = a.latest_position
				AND d.ordinal = a.latest_ordinal AND position(lower(?) in lower(array_to_string(d.matched, ' '))) > 0))`, q.Text)
	}
	return from + "WHERE " + strings.Join(conditions, " AND "), args
}

var alertOrders = map[string]string{
	"":       "a.last_seen DESC, a.id",
	"newest": "a.last_seen DESC, a.id",
	"oldest": "a.opened_at, a.id",
	"level":  "a.level DESC, a.last_seen DESC, a.id",
	"due":    "CASE a.state WHEN 'open' THEN coalesce(a.acknowledge_due, a.close_due) WHEN 'acknowledged' THEN a.close_due END NULLS LAST, a.id",
}

// Alerts returns a part of the alerts asked for, and how many there are.
func (s *Store) Alerts(ctx context.Context, q *AlertQuery) (list []assay.Alert, total int, err error) {
	order, ok := alertOrders[q.Order]
	if !ok {
		return nil, 0, assay.Errorf(assay.Invalid, "%q is no order: use newest, oldest, level or due", q.Order)
	}
	where, args := q.where()
	if err := s.db.QueryRow(ctx, `SELECT count(*)`+where, args...).Scan(&total); err != nil {
		return nil, 0, translate("counting alerts", err)
	}
	rows, err := s.db.Query(ctx, `SELECT `+alertColumns+where+fmt.Sprintf(` ORDER BY %s LIMIT %d OFFSET %d`, order, q.Limit, q.Start), args...)
	if err != nil {
		return nil, 0, translate("reading alerts", err)
	}
	list, err = pgx.CollectRows(rows, scanAlert)
	return list, total, translate("reading alerts", err)
}

// AlertCounts counts alerts at a moment.
type AlertCounts struct {
	Open, Acknowledged, Closed       int
	OverdueAcknowledge, OverdueClose int
	Levels                           [assay.Critical + 1]int // not closed
	Overdue                          [assay.Critical + 1]int // of Levels, past one clock or both
	Suppressed                       int64
}

// CountAlerts counts the alerts that a query asks for.
func (s *Store) CountAlerts(ctx context.Context, q *AlertQuery) (AlertCounts, error) {
	var n AlertCounts
	where, args := q.where()
	rows, err := s.db.Query(ctx, `SELECT a.state, a.level, count(*), count(*) FILTER (WHERE a.state = 'open' AND a.acknowledge_due < $1),
		count(*) FILTER (WHERE a.state <> 'closed' AND a.close_due < $1), count(*) FILTER (WHERE `+alertOverdue+`)`+where+` GROUP BY a.state, a.level`, args...)
	if err != nil {
		return n, translate("counting alerts", err)
	}
	var state string
	var level int16
	var count, acknowledge, closing, overdue int
	_, err = pgx.ForEachRow(rows, []any{&state, &level, &count, &acknowledge, &closing, &overdue}, func() error {
		switch assay.AlertState(state) {
		case assay.AlertOpen:
			n.Open += count
		case assay.AlertAcknowledged:
			n.Acknowledged += count
		case assay.AlertClosed:
			n.Closed += count
			return nil
		}
		n.Levels[level] += count
		n.Overdue[level] += overdue
		n.OverdueAcknowledge, n.OverdueClose = n.OverdueAcknowledge+acknowledge, n.OverdueClose+closing
		return nil
	})
	if err != nil {
		return n, translate("counting alerts", err)
	}
	host := (*[16]byte)(q.Host)
	if host == nil {
		err = s.db.QueryRow(ctx, `SELECT coalesce(sum(count), 0) FROM suppression`).Scan(&n.Suppressed)
	} else {
		err = s.db.QueryRow(ctx, `SELECT count(*) FROM alert_detection WHERE host_id = $1 AND suppression_id IS NOT NULL`, host).Scan(&n.Suppressed)
	}
	return n, translate("counting suppressed detections", err)
}

// ListedDetection is a detection with what became of it.
type ListedDetection struct {
	assay.Detection
	Title       string
	Alert       assay.AlertID
	Suppression assay.SuppressionID
}

// DetectionQuery says which detections are asked for. Zero values ask for all.
type DetectionQuery struct {
	Alert        *assay.AlertID
	Host         *assay.HostID
	Rule         assay.RuleID
	Suppressed   string // "yes", "no" or empty
	From, To     time.Time
	Limit, Start int
}

// Detections returns a part of the detections asked for, newest event first, and
// how many there are.
func (s *Store) Detections(ctx context.Context, q *DetectionQuery) (list []ListedDetection, total int, err error) {
	from := ` FROM detection d LEFT JOIN alert_detection k USING (host_id, pack, rule_id, position, ordinal)
		LEFT JOIN rule r ON r.pack = d.pack AND r.version = d.version AND r.id = d.rule_id WHERE true`
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		from += " AND " + strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args)))
	}
	if q.Alert != nil {
		add("k.alert_id = ?", [16]byte(*q.Alert))
	}
	if q.Host != nil {
		add("d.host_id = ?", [16]byte(*q.Host))
	}
	if q.Rule.Pack != "" {
		add("d.pack = ?", q.Rule.Pack)
	}
	if q.Rule.ID != "" {
		add("d.rule_id = ?", q.Rule.ID)
	}
	if q.Suppressed != "" {
		add("(k.suppression_id IS NOT NULL) = ?", q.Suppressed == "yes")
	}
	if !q.From.IsZero() {
		add("d.booked_at >= ?", q.From)
	}
	if !q.To.IsZero() {
		add("d.booked_at < ?", q.To)
	}
	if err := s.db.QueryRow(ctx, `SELECT count(*)`+from, args...).Scan(&total); err != nil {
		return nil, 0, translate("counting detections", err)
	}
	rows, err := s.db.Query(ctx, `SELECT coalesce(r.title, ''), k.alert_id, k.suppression_id, `+detectionColumns+from+
		fmt.Sprintf(` ORDER BY d.booked_at DESC, d.position DESC, d.ordinal DESC, d.pack, d.rule_id LIMIT %d OFFSET %d`, q.Limit, q.Start), args...)
	if err != nil {
		return nil, 0, translate("reading detections", err)
	}
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedDetection, error) {
		var l ListedDetection
		var alert, suppression *[16]byte
		var r detectionRow
		err := row.Scan(append([]any{&l.Title, &alert, &suppression}, r.into()...)...)
		l.Detection = r.finish()
		if alert != nil {
			l.Alert = *alert
		}
		if suppression != nil {
			l.Suppression = *suppression
		}
		return l, err
	})
	return list, total, translate("reading detections", err)
}

// LatestDetections returns the newest detection of each alert that has one
// still, by alert.
func (s *Store) LatestDetections(ctx context.Context, ids []assay.AlertID) (map[assay.AlertID]ListedDetection, error) {
	rows, err := s.db.Query(ctx, `SELECT a.id, coalesce(r.title, ''), `+detectionColumns+` FROM alert a
		JOIN detection d ON d.host_id = a.host_id AND d.pack = a.pack AND d.rule_id = a.rule_id AND d.position = a.latest_position AND d.ordinal = a.latest_ordinal
		LEFT JOIN rule r ON r.pack = d.pack AND r.version = d.version AND r.id = d.rule_id WHERE a.id = ANY ($1)`, uuids(ids))
	if err != nil {
		return nil, translate("reading detections", err)
	}
	latest := map[assay.AlertID]ListedDetection{}
	var id [16]byte
	var title string
	var r detectionRow
	_, err = pgx.ForEachRow(rows, append([]any{&id, &title}, r.into()...), func() error {
		latest[id] = ListedDetection{Detection: r.finish(), Title: title, Alert: id}
		return nil
	})
	return latest, translate("reading detections", err)
}

// AlertAt returns an alert, as it stood at a moment where past is set. It is
// NotFound for an unknown one, and for one that was not open yet.
func (s *Store) AlertAt(ctx context.Context, id assay.AlertID, at time.Time, past bool) (assay.Alert, error) {
	if !past {
		return s.Alert(ctx, id)
	}
	rows, err := s.db.Query(ctx, `SELECT `+alertColumns+alertsThen+`WHERE a.id = $2`, at, [16]byte(id))
	if err != nil {
		return assay.Alert{}, translate("reading alert", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAlert)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, assay.Errorf(assay.NotFound, "there was no alert %s at that time", id)
	}
	return a, translate("reading alert", err)
}
