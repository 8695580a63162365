package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// normalOpening is what the rows can say of the leaf of an opening: which event
// it was is with the detections.
func normalOpening(r alertRecord) alertRecord {
	r.At, r.AcknowledgeDue, r.CloseDue, r.Event = coarse(r.At), coarse(r.AcknowledgeDue), coarse(r.CloseDue), [2]uint64{}
	return r
}

// deed is what a person did to some alerts, as the leaf of it and the rows
// beside it both say.
type deed struct {
	Kind   string    `json:"kind"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Note   string    `json:"note"`
	Detail string    `json:"detail"`
	Alerts []string  `json:"alerts"` // sorted
	// Fault is of rows that contradict themselves or each other.
	Fault string `json:"fault,omitempty"`
}

// deeds are those that have rows of their own: an alert that was opened again has
// them beside the leaf of the opening.
var deeds = []string{assay.ActionAcknowledge, assay.ActionClose, assay.ActionAssign, assay.ActionEscalate, assay.ActionNote}

// NormalDeed returns what the leaf of a user's action says was done to alerts, in
// the form of LedgerPage.Deeds; nil where it is of something else.
func NormalDeed(body []byte) ([]byte, error) {
	var r assay.AuditEntry
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("decoding operator: %w", err)
	}
	kind, ok := strings.CutPrefix(r.Action, "alert.")
	if !ok || !slices.Contains(deeds, kind) {
		return nil, nil
	}
	d := deed{Kind: kind, By: r.User, At: coarse(r.RecordedAt), Note: r.Detail["note"], Detail: r.Detail["detail"], Alerts: []string{r.Subject}}
	if several, ok := r.Detail["alerts"]; ok {
		d.Alerts = strings.Fields(several)
		slices.Sort(d.Alerts)
	}
	return marshalDeed(&d)
}

func marshalDeed(d *deed) ([]byte, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encoding deed: %w", err)
	}
	return body, nil
}

// queueAlerts reads the rows beside the page's leaves of alerts and of what was
// done to them.
func (p *LedgerPage) queueAlerts(each func(sql string, scan func(rows pgx.Rows) error)) {
	var position int64
	each(`SELECT c.position, c.alert_id, c.kind, c.host_id, a.pack, a.rule_id, c.level, c.opening, c.acted_at, c.acknowledge_due, c.close_due, a.title, a.finding_id
		FROM alert_action c JOIN alert a ON a.host_id = c.host_id AND a.id = c.alert_id
		WHERE c.position >= $1 AND c.position < $2 AND c.kind IN ('open', 'reopen')`, func(rows pgx.Rows) error {
		var r alertRecord
		var host, alert [16]byte
		var finding *[16]byte
		var level int16
		var acknowledge, closed *time.Time
		if err := rows.Scan(&position, &alert, &r.Action, &host, &r.Pack, &r.Rule, &level, &r.Opening, &r.At, &acknowledge, &closed, &r.Title, &finding); err != nil {
			return err
		}
		r.Alert, r.Host, r.Level = assay.AlertID(alert).String(), assay.HostID(host).String(), assay.Level(level).String()
		r.AcknowledgeDue, r.CloseDue = orZero(acknowledge), orZero(closed)
		if finding != nil {
			r.Finding = assay.FindingID(*finding).String()
		}
		return p.addRecord(position, evidence.LeafAlert, normalOpening(r))
	})
	each(`SELECT position, kind, user_name, acted_at, note, detail, alert_id, level, assignee FROM alert_action
		WHERE position >= $1 AND position < $2 AND kind NOT IN ('open', 'reopen', 'overdue') ORDER BY position, alert_id`, func(rows pgx.Rows) error {
		var d deed
		var alert [16]byte
		var level int16
		var assignee string
		if err := rows.Scan(&position, &d.Kind, &d.By, &d.At, &d.Note, &d.Detail, &alert, &level, &assignee); err != nil {
			return err
		}
		d.At, d.Alerts = coarse(d.At), []string{assay.AlertID(alert).String()}
		if d.Kind == assay.ActionEscalate && assay.Level(level).String() != d.Detail || d.Kind == assay.ActionAssign && assignee != d.Detail {
			d.Fault = "it is not what came of it"
		}
		return p.addDeed(position, d)
	})
}

// addDeed adds a row's part of a deed: the next of several alerts, in order.
func (p *LedgerPage) addDeed(position int64, d deed) error {
	if before, ok := p.Deeds[position]; ok {
		var first deed
		if err := json.Unmarshal(before, &first); err != nil {
			return fmt.Errorf("decoding deed: %w", err)
		}
		alone := first
		alone.Alerts = d.Alerts
		was, err := marshalDeed(&alone)
		if err != nil {
			return err
		}
		if is, err := marshalDeed(&d); err != nil {
			return err
		} else if !bytes.Equal(is, was) {
			first.Fault = "its rows differ"
		}
		first.Alerts = append(first.Alerts, d.Alerts...)
		d = first
	}
	body, err := marshalDeed(&d)
	p.Deeds[position] = body
	return err
}

// readStrayAlerts returns the alerts that are not as what was done to them last
// has left them, and those of which a row says what it cannot have come to.
func readStrayAlerts(ctx context.Context, tx pgx.Tx, size int64) ([]StrayRow, error) {
	rows, err := tx.Query(ctx, `WITH deed AS (SELECT *, lag(state) OVER w AS state_before, lag(level) OVER w AS level_before, lag(assignee) OVER w AS assignee_before,
				lag(opening) OVER w AS opening_before, lag(number, 1, -1) OVER w AS number_before, lead(number) OVER w IS NULL AS newest
			FROM alert_action WINDOW w AS (PARTITION BY host_id, alert_id ORDER BY number))
		SELECT DISTINCT coalesce(a.id, d.alert_id)::text FROM alert a FULL JOIN deed d ON d.host_id = a.host_id AND d.alert_id = a.id
		WHERE a.id IS NULL OR d.alert_id IS NULL OR d.kind <> 'overdue' AND d.position NOT BETWEEN 0 AND $1 - 1 OR d.number <> d.number_before + 1
			OR d.state IS DISTINCT FROM CASE WHEN d.kind IN ('open', 'reopen') THEN 'open' WHEN d.kind = 'acknowledge' THEN 'acknowledged' WHEN d.kind = 'close' THEN 'closed' ELSE d.state_before END
			OR d.kind NOT IN ('open', 'reopen', 'escalate') AND (d.level IS DISTINCT FROM d.level_before OR d.opening IS DISTINCT FROM d.opening_before)
			OR d.kind NOT IN ('open', 'reopen', 'assign', 'acknowledge') AND d.assignee IS DISTINCT FROM d.assignee_before
			OR d.newest AND (a.state, a.level, a.assignee, a.opening, a.acknowledge_due, a.close_due) IS DISTINCT FROM
				(d.state, d.level, d.assignee, d.opening, d.acknowledge_due, d.close_due)
			OR d.kind = 'acknowledge' AND d.opening = a.opening AND (a.acknowledged_by, a.acknowledged_at) IS DISTINCT FROM (d.user_name, d.acted_at)
			OR d.kind = 'close' AND d.newest AND (a.closed_by, a.closed_at, a.reason) IS DISTINCT FROM (d.user_name, d.acted_at, d.detail)
			OR d.kind IN ('open', 'reopen') AND d.opening = a.opening AND (a.opened_at, a.position) IS DISTINCT FROM (d.acted_at, d.position)`, size)
	if err != nil {
		return nil, fmt.Errorf("comparing alerts: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("comparing alerts: %w", err)
	}
	stray := make([]StrayRow, len(names))
	for i, name := range names {
		stray[i] = StrayRow{evidence.LeafAlert, name}
	}
	return stray, nil
}
