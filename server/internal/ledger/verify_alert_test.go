package ledger_test

import (
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// desk adds four alerts: one as it was opened, one that was acknowledged, escalated
// and assigned, one that was closed with the fourth, and that opened again.
func (h *history) desk(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	found := func(position uint64) assay.Detection {
		return assay.Detection{Host: h.agent.HostID, Rule: assay.RuleID{Pack: "own", ID: "r1"}, Version: "1", Ref: assay.EventRef{Position: position}, Level: assay.High,
			ObservedAt: h.now, ReceivedAt: h.now, BookedAt: h.now, Key: []assay.NamedText{{Name: "n", Value: string(rune('a' + position))}}}
	}
	h.now = h.now.Add(123 * time.Nanosecond) // finer than the database keeps
	must(t, h.store.Deliver(ctx, []assay.Detection{found(0), found(1), found(2), found(3)}))
	list, _, err := h.store.Alerts(ctx, &postgres.AlertQuery{At: h.now, Order: "oldest", Limit: 10})
	must(t, err)
	ids := map[string]assay.AlertID{}
	for i := range list {
		ids[list[i].Key[0].Value] = list[i].ID
	}
	do := func(kind, detail string, apply func(*assay.Alert, time.Time, *assay.AlertPolicy) error, names ...string) {
		t.Helper()
		h.now = h.now.Add(time.Minute)
		c := &postgres.AlertChange{Kind: kind, By: "ann", Note: kind + " it", Detail: detail, Apply: apply}
		for _, name := range names {
			c.IDs = append(c.IDs, ids[name])
		}
		_, err := h.store.ChangeAlerts(ctx, c)
		must(t, err)
	}
	nothing := func(*assay.Alert, time.Time, *assay.AlertPolicy) error { return nil }
	do(assay.ActionAcknowledge, "", func(a *assay.Alert, at time.Time, _ *assay.AlertPolicy) error { return a.Acknowledge("ann", at) }, "b")
	do(assay.ActionEscalate, assay.Critical.String(), func(a *assay.Alert, _ time.Time, p *assay.AlertPolicy) error { return a.Escalate(assay.Critical, p) }, "b")
	do(assay.ActionAssign, "bob", func(a *assay.Alert, _ time.Time, _ *assay.AlertPolicy) error { a.Assignee = "bob"; return nil }, "b")
	do(assay.ActionClose, assay.ClosedBenign, func(a *assay.Alert, at time.Time, _ *assay.AlertPolicy) error {
		return a.Close("ann", assay.ClosedBenign, assay.AlertID{}, at)
	}, "c", "d")
	do(assay.ActionReopen, "", func(a *assay.Alert, at time.Time, p *assay.AlertPolicy) error { a.Reopen(at, p); return nil }, "d")
	do(assay.ActionNote, "", nothing, "a", "b", "c", "d")
	h.now = h.now.Add(30 * 24 * time.Hour)
	_, err = h.store.NoteOverdue(ctx)
	must(t, err)
	h.grow(t)
}

// What was done to alerts is altered, removed and added, in each row that speaks
// of it. Each is named, and nothing else is.
func TestRowsOfAlerts(t *testing.T) {
	t.Parallel()
	sound := newHistory(t)
	sound.desk(t)
	if report := sound.verify(t); !report.Good() {
		t.Fatalf("problems in a good ledger: %v", report.Problems)
	}
	closed := ` FROM alert a WHERE a.id = c.alert_id AND a.state = 'closed'`
	for name, sql := range map[string]string{
		"opened later":          `UPDATE alert_action SET acted_at = acted_at + interval '1 minute' WHERE kind = 'open'`,
		"more time":             `UPDATE alert_action SET close_due = close_due + interval '1 day' WHERE kind = 'reopen'`,
		"of another rule":       `UPDATE alert SET rule_id = 'r2' WHERE state = 'closed'`,
		"of another title":      `UPDATE alert SET title = 'Nothing' WHERE state = 'closed'`,
		"opening removed":       `DELETE FROM alert_action WHERE kind = 'reopen'`,
		"alert removed":         `DELETE FROM alert WHERE state = 'closed'`,
		"alert and all removed": `WITH a AS (DELETE FROM alert WHERE state = 'closed' RETURNING id) DELETE FROM alert_action WHERE alert_id IN (SELECT id FROM a)`,
		"alert added":           `INSERT INTO alert SELECT (jsonb_populate_record(a, jsonb_build_object('id', gen_random_uuid()))).* FROM alert a WHERE state = 'closed'`,
		"closed by another":     `UPDATE alert_action c SET user_name = 'eve'` + closed + ` AND c.kind = 'close'`,
		"acknowledged by":       `UPDATE alert SET acknowledged_by = 'eve' WHERE state = 'acknowledged'`,
		"closed earlier":        `UPDATE alert_action SET acted_at = acted_at - interval '1 second' WHERE kind = 'close'`,
		"another note":          `UPDATE alert_action SET note = 'seen' WHERE kind = 'assign'`,
		"another reason":        `UPDATE alert_action SET detail = 'other' WHERE kind = 'close'`,
		"deed removed":          `DELETE FROM alert_action WHERE kind = 'acknowledge'`,
		"newest one removed":    `DELETE FROM alert_action c USING alert a WHERE a.id = c.alert_id AND a.state = 'closed' AND c.kind = 'note'`,
		"deed added": `INSERT INTO alert_action SELECT (jsonb_populate_record(c, jsonb_build_object('number', 99, 'kind', 'close', 'state', 'closed'))).* FROM alert_action c ` +
			`WHERE kind = 'assign'`,
		"deed moved":         `UPDATE alert_action SET position = 1 WHERE kind = 'assign'`,
		"deed of another":    `UPDATE alert_action c SET alert_id = (SELECT a.id FROM alert a WHERE a.state = 'acknowledged'), number = 99` + closed + ` AND c.kind = 'close'`,
		"state":              `UPDATE alert SET state = 'closed' WHERE state = 'open'`,
		"state of all rows":  `WITH a AS (UPDATE alert SET state = 'closed' WHERE state = 'acknowledged' RETURNING id) UPDATE alert_action SET state = 'closed' WHERE alert_id IN (SELECT id FROM a)`,
		"level":              `UPDATE alert SET level = 1 WHERE state = 'acknowledged'`,
		"level of all rows":  `WITH a AS (UPDATE alert SET level = 1 WHERE state = 'acknowledged' RETURNING id) UPDATE alert_action SET level = 1 WHERE kind <> 'open' AND alert_id IN (SELECT id FROM a)`,
		"assignee":           `UPDATE alert SET assignee = 'eve' WHERE state = 'acknowledged'`,
		"assignee, all rows": `WITH a AS (UPDATE alert SET assignee = 'eve' WHERE state = 'acknowledged' RETURNING id) UPDATE alert_action SET assignee = 'eve' WHERE alert_id IN (SELECT id FROM a) AND kind <> 'open'`,
		"due":                `UPDATE alert SET close_due = NULL WHERE state = 'acknowledged'`,
		"opened at":          `UPDATE alert SET opened_at = opened_at + interval '1 day' WHERE state = 'closed'`,
		"acknowledged at":    `UPDATE alert SET acknowledged_at = opened_at WHERE state = 'acknowledged'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			h.desk(t)
			h.exec(t, sql)
			h.named(t, "alert", 12)
		})
	}
}
