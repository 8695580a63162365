package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// ConsumeDetections makes alerts of detections and moves the cursor of whoever
// does so, comparing (ErrCursorMoved). What became of a detection is recorded,
// so one that comes again, after a rebuild or in a backfill, changes nothing.
func (s *Store) ConsumeDetections(ctx context.Context, cursor Cursor, to uint64, detections []assay.Detection) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := moveCursor(ctx, tx, cursor, to, now); err != nil {
			return err
		}
		if err := notBehind(ctx, tx, "correlations", to); err != nil {
			return err
		}
		return s.consume(ctx, tx, detections, nil, now)
	})
	if errors.Is(err, ErrCursorMoved) {
		return err
	}
	return translate("making alerts", err)
}

// AlertingCheck is a check of which open findings are alerts, with their level.
type AlertingCheck struct {
	Check string
	Level assay.Level
}

// ConsumeFindings makes alerts of the findings of some checks that were recorded
// from the cursor's position up to another and are still open, and moves the
// cursor, comparing (ErrCursorMoved).
func (s *Store) ConsumeFindings(ctx context.Context, cursor Cursor, to uint64, checks []AlertingCheck) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := moveCursor(ctx, tx, cursor, to, now); err != nil {
			return err
		}
		var names []string
		levels := map[string]assay.Level{}
		for _, c := range checks {
			names, levels[c.Check] = append(names, c.Check), c.Level
		}
		rows, err := tx.Query(ctx, `SELECT `+findingColumns+` FROM finding WHERE position >= $1 AND position < $2 AND check_id = ANY ($3)
			AND resolved_at IS NULL ORDER BY position, id`, int64(cursor.Position), int64(to), names)
		if err != nil {
			return fmt.Errorf("reading findings: %w", err)
		}
		findings, err := pgx.CollectRows(rows, scanFinding)
		if err != nil {
			return fmt.Errorf("reading findings: %w", err)
		}
		detections := make([]assay.Detection, len(findings))
		of := make(map[detectionKey]*StoredFinding, len(findings))
		for i := range findings {
			f := &findings[i]
			detections[i] = assay.Detection{
				Host: f.Host, Rule: assay.RuleID{Pack: assay.ChecksPack, ID: f.Check}, Ref: assay.EventRef{Position: f.Position}, Level: levels[f.Check],
				ObservedAt: f.OpenedAt, ReceivedAt: now, BookedAt: f.OpenedAt, Grade: f.Grade, Key: []assay.NamedText{{Name: "finding", Value: f.ID.String()}},
			}
			of[detectionKey{f.Host, detections[i].Rule, detections[i].Ref}] = f
		}
		return s.consume(ctx, tx, detections, of, now)
	})
	if errors.Is(err, ErrCursorMoved) {
		return err
	}
	return translate("making alerts of findings", err)
}

// Deliver is ConsumeDetections for detections that no cursor leads to.
func (s *Store) Deliver(ctx context.Context, detections []assay.Detection) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error { return s.consume(ctx, tx, detections, nil, now) })
	return translate("making alerts", err)
}

// consume makes alerts of detections; findings are those that stand behind some.
func (s *Store) consume(ctx context.Context, tx pgx.Tx, detections []assay.Detection, findings map[detectionKey]*StoredFinding, now time.Time) error {
	if len(detections) == 0 {
		return nil
	}
	if err := lockAlerts(ctx, tx); err != nil {
		return err
	}
	c, err := newConsumer(ctx, tx, detections, now)
	if err != nil {
		return err
	}
	c.findings = findings
	for i := range detections {
		c.take(&detections[i])
	}
	return c.write(ctx, s, tx)
}

// consumer is what consuming some detections knows and changes.
type consumer struct {
	now          time.Time
	policy       assay.AlertPolicy
	suppressions []assay.Suppression
	known        map[detectionKey]bool
	tags         map[assay.HostID][]string
	rules        map[ruleVersion]ruleTitle
	findings     map[detectionKey]*StoredFinding
	alerts       map[assay.AlertID]*assay.Alert
	newest       map[alertKey]*assay.Alert   // of each key
	processes    map[processKey]*assay.Alert // the newest alert that holds the process

	order      []*assay.Alert // touched, in order of their first touch
	touched    map[*assay.Alert]bool
	opened     []opening
	outcomes   []outcome
	suppressed map[assay.SuppressionID]int
}

type (
	detectionKey struct {
		host assay.HostID
		rule assay.RuleID
		ref  assay.EventRef
	}
	alertKey struct {
		host assay.HostID
		hash [32]byte
	}
	processKey struct {
		host assay.HostID
		rule assay.RuleID
		uid  string
	}
	ruleVersion struct {
		rule    assay.RuleID
		version string
	}
	ruleTitle struct {
		title string
		tags  []string
	}
	opening struct {
		alert  *assay.Alert
		action string
		by     assay.EventRef
	}
	outcome struct {
		d           *assay.Detection
		alert       *assay.Alert
		suppression assay.SuppressionID
	}
)

// take decides what becomes of a detection.
func (c *consumer) take(d *assay.Detection) {
	key := detectionKey{d.Host, d.Rule, d.Ref}
	if d.Level < c.policy.AlertFrom || c.known[key] {
		return
	}
	c.known[key] = true
	for i := range c.suppressions {
		if s := &c.suppressions[i]; s.Active(c.now) && s.Scope.Covers(d, c.tags[d.Host]) {
			c.suppressed[s.ID]++
			c.outcomes = append(c.outcomes, outcome{d: d, suppression: s.ID})
			return
		}
	}
	process := processKey{d.Host, d.Rule, d.ProcessUID}
	alert := c.admit(d, process)
	if alert == nil {
		known := c.rules[ruleVersion{d.Rule, d.Version}]
		alert = assay.NewAlert(d, known.title, known.tags, c.now, &c.policy)
		if f := c.findings[key]; f != nil {
			alert.Title, alert.Finding = f.Title, f.ID
		}
		c.alerts[alert.ID] = alert
		c.opened = append(c.opened, opening{alert, assay.ActionOpen, d.Ref})
		c.newest[alertKey{d.Host, alert.KeyHash}] = alert
	}
	if d.ProcessUID != "" {
		c.processes[process] = alert
	}
	if !c.touched[alert] {
		c.touched[alert] = true
		c.order = append(c.order, alert)
	}
	c.outcomes = append(c.outcomes, outcome{d: d, alert: alert})
}

// admit finds the alert that takes the detection in, nil if none does. What one
// process did is one alert, whatever other fields say, while that is open.
func (c *consumer) admit(d *assay.Detection, process processKey) *assay.Alert {
	if d.ProcessUID != "" {
		if a := c.processes[process]; a != nil && a.State != assay.AlertClosed {
			a.Admit(d, c.now, &c.policy)
			return a
		}
	}
	a := c.newest[alertKey{d.Host, assay.AlertKey(d.Rule, d.Key)}]
	if a == nil {
		return nil
	}
	switch a.Admit(d, c.now, &c.policy) {
	case assay.Refuse:
		return nil
	case assay.Again:
		c.opened = append(c.opened, opening{a, assay.ActionReopen, d.Ref})
	case assay.Held:
	}
	return a
}

// alertRecord is the body of the leaf of an opening.
type alertRecord struct {
	Alert   string    `json:"alert"`
	Action  string    `json:"action"` // "open" or "reopen"
	Host    string    `json:"host"`
	Pack    string    `json:"pack"`
	Rule    string    `json:"rule"`
	Level   string    `json:"level"`
	Opening int       `json:"opening"`
	At      time.Time `json:"at"`
	// The due times are those of the policy that held then.
	AcknowledgeDue time.Time `json:"acknowledge_due,omitzero"`
	CloseDue       time.Time `json:"close_due,omitzero"`
	Title          string    `json:"title"`
	// Event is position and ordinal of what opened it.
	Event   [2]uint64 `json:"event"`
	Finding string    `json:"finding,omitempty"`
}

func alertLeaf(a *assay.Alert, action string, by assay.EventRef) (evidence.Leaf, error) {
	record := alertRecord{Alert: a.ID.String(), Action: action, Host: a.Host.String(), Pack: a.Rule.Pack, Rule: a.Rule.ID, Level: a.Level.String(),
		Opening: a.Opening, At: a.OpenedAt, AcknowledgeDue: a.AcknowledgeDue, CloseDue: a.CloseDue, Title: a.Title, Event: [2]uint64{by.Position, uint64(by.Ordinal)}}
	if a.Finding != (assay.FindingID{}) {
		record.Finding = a.Finding.String()
	}
	body, err := json.Marshal(record)
	if err != nil {
		return evidence.Leaf{}, fmt.Errorf("encoding alert: %w", err)
	}
	return evidence.Leaf{Kind: evidence.LeafAlert, RecordedAt: evidence.Ticks(a.OpenedAt), Body: body}, nil
}

// write stores what was decided. The leaves come last.
func (c *consumer) write(ctx context.Context, s *Store, tx pgx.Tx) error {
	if len(c.outcomes) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	c.queueOutcomes(batch)
	for _, id := range sortedSuppressions(c.suppressed) {
		batch.Queue(`UPDATE suppression SET count = count + $2, last_at = $3 WHERE id = $1`, [16]byte(id), c.suppressed[id], c.now)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("recording detections: %w", err)
	}
	if err := s.recordOpenings(ctx, tx, c.opened); err != nil {
		return err
	}
	batch = &pgx.Batch{}
	for _, a := range c.order {
		queueAlert(batch, a)
	}
	for i := range c.opened {
		o := &c.opened[i]
		queueAction(batch, o.alert, &assay.AlertAction{Kind: o.action, At: c.now, Detail: o.by.String(), Position: o.alert.Position})
		queueNotification(batch, "alert."+o.action, o.alert, "", c.now)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("writing alerts: %w", err)
	}
	return nil
}

// recordOpenings makes a leaf of each opening.
func (s *Store) recordOpenings(ctx context.Context, tx pgx.Tx, opened []opening) error {
	if len(opened) == 0 {
		return nil
	}
	leaves := make([]evidence.Leaf, len(opened))
	for i := range opened {
		var err error
		if leaves[i], err = alertLeaf(opened[i].alert, opened[i].action, opened[i].by); err != nil {
			return err
		}
	}
	first, err := s.AppendLeaves(ctx, tx, leaves)
	if err != nil {
		return err
	}
	for i := range opened {
		opened[i].alert.Position = uint64(first) + uint64(i)
	}
	return nil
}

func (c *consumer) queueOutcomes(batch *pgx.Batch) {
	n := len(c.outcomes)
	hosts, packs, rules, positions, ordinals, uids := make([][16]byte, n), make([]string, n), make([]string, n), make([]int64, n), make([]int32, n), make([]string, n)
	alerts, suppressions := make([]*[16]byte, n), make([]*[16]byte, n)
	for i := range c.outcomes {
		o := &c.outcomes[i]
		hosts[i], packs[i], rules[i], uids[i] = o.d.Host, o.d.Rule.Pack, o.d.Rule.ID, o.d.ProcessUID
		positions[i], ordinals[i], suppressions[i] = int64(o.d.Ref.Position), int32(o.d.Ref.Ordinal), orNullID(o.suppression)
		if o.alert != nil {
			alerts[i] = orNullID(o.alert.ID)
		}
	}
	batch.Queue(`INSERT INTO alert_detection (host_id, pack, rule_id, position, ordinal, process_uid, alert_id, suppression_id)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::text[], $7::uuid[], $8::uuid[])`,
		hosts, packs, rules, positions, ordinals, uids, alerts, suppressions)
}
