package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// newConsumer reads what deciding on the detections takes, and locks the alerts
// that may change.
func newConsumer(ctx context.Context, tx pgx.Tx, detections []assay.Detection, now time.Time) (*consumer, error) {
	c := &consumer{now: now, known: map[detectionKey]bool{}, tags: map[assay.HostID][]string{}, rules: map[ruleVersion]ruleTitle{},
		alerts: map[assay.AlertID]*assay.Alert{}, newest: map[alertKey]*assay.Alert{}, processes: map[processKey]*assay.Alert{},
		touched: map[*assay.Alert]bool{}, suppressed: map[assay.SuppressionID]int{}}
	var err error
	if c.policy, err = alertPolicy(ctx, tx); err != nil {
		return nil, err
	}
	if c.suppressions, err = activeSuppressions(ctx, tx, now); err != nil {
		return nil, err
	}
	for _, load := range []func(context.Context, pgx.Tx, []assay.Detection) error{c.loadKnown, c.loadHosts, c.loadRules, c.loadAlerts} {
		if err := load(ctx, tx, detections); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// detectionArrays are the keys of detections, by column.
func detectionArrays(detections []assay.Detection) (hosts [][16]byte, packs, rules []string, positions []int64, ordinals []int32) {
	for i := range detections {
		d := &detections[i]
		hosts, packs, rules = append(hosts, d.Host), append(packs, d.Rule.Pack), append(rules, d.Rule.ID)
		positions, ordinals = append(positions, int64(d.Ref.Position)), append(ordinals, int32(d.Ref.Ordinal))
	}
	return hosts, packs, rules, positions, ordinals
}

func (c *consumer) loadKnown(ctx context.Context, tx pgx.Tx, detections []assay.Detection) error {
	hosts, packs, rules, positions, ordinals := detectionArrays(detections)
	rows, err := tx.Query(ctx, `SELECT k.host_id, k.pack, k.rule_id, k.position, k.ordinal FROM alert_detection k
		JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::int[]) d(host_id, pack, rule_id, position, ordinal)
		USING (host_id, pack, rule_id, position, ordinal)`, hosts, packs, rules, positions, ordinals)
	if err != nil {
		return fmt.Errorf("reading what is known of detections: %w", err)
	}
	var host [16]byte
	var rule assay.RuleID
	var position int64
	var ordinal int32
	_, err = pgx.ForEachRow(rows, []any{&host, &rule.Pack, &rule.ID, &position, &ordinal}, func() error {
		c.known[detectionKey{host, rule, assay.EventRef{Position: uint64(position), Ordinal: uint32(ordinal)}}] = true
		return nil
	})
	return err
}

func (c *consumer) loadHosts(ctx context.Context, tx pgx.Tx, detections []assay.Detection) error {
	hosts, _, _, _, _ := detectionArrays(detections)
	rows, err := tx.Query(ctx, `SELECT id, tags FROM host WHERE id = ANY ($1)`, hosts)
	if err != nil {
		return fmt.Errorf("reading hosts: %w", err)
	}
	var host [16]byte
	var tags []string
	_, err = pgx.ForEachRow(rows, []any{&host, &tags}, func() error {
		c.tags[host] = slices.Clone(tags)
		return nil
	})
	return err
}

func (c *consumer) loadRules(ctx context.Context, tx pgx.Tx, detections []assay.Detection) error {
	want := map[ruleVersion]bool{}
	for i := range detections {
		want[ruleVersion{detections[i].Rule, detections[i].Version}] = true
	}
	var packs, versions, ids []string
	for w := range want {
		packs, versions, ids = append(packs, w.rule.Pack), append(versions, w.version), append(ids, w.rule.ID)
	}
	rows, err := tx.Query(ctx, `SELECT r.pack, r.version, r.id, r.title, r.tags FROM rule r
		JOIN unnest($1::text[], $2::text[], $3::text[]) w(pack, version, id) USING (pack, version, id)`, packs, versions, ids)
	if err != nil {
		return fmt.Errorf("reading rules: %w", err)
	}
	var v ruleVersion
	var title string
	var tags []string
	_, err = pgx.ForEachRow(rows, []any{&v.rule.Pack, &v.version, &v.rule.ID, &title, &tags}, func() error {
		c.rules[v] = ruleTitle{title, slices.Clone(tags)}
		return nil
	})
	return err
}

// loadAlerts finds the newest alert of each key, and of each process, and locks
// them.
func (c *consumer) loadAlerts(ctx context.Context, tx pgx.Tx, detections []assay.Detection) error {
	hosts, packs, rules, _, _ := detectionArrays(detections)
	hashes, uids := make([][]byte, len(detections)), make([]string, len(detections))
	for i := range detections {
		hash := assay.AlertKey(detections[i].Rule, detections[i].Key)
		hashes[i], uids[i] = hash[:], detections[i].ProcessUID
	}
	ids := map[assay.AlertID]bool{}
	rows, err := tx.Query(ctx, `SELECT DISTINCT ON (a.host_id, a.key_hash) a.id FROM alert a
		JOIN (SELECT DISTINCT * FROM unnest($1::uuid[], $2::bytea[])) k(host_id, key_hash) USING (host_id, key_hash)
		ORDER BY a.host_id, a.key_hash, a.opened_at DESC, a.id`, hosts, hashes)
	if err != nil {
		return fmt.Errorf("looking for alerts: %w", err)
	}
	var id [16]byte
	if _, err = pgx.ForEachRow(rows, []any{&id}, func() error { ids[id] = true; return nil }); err != nil {
		return fmt.Errorf("looking for alerts: %w", err)
	}
	held := map[processKey]assay.AlertID{}
	rows, err = tx.Query(ctx, `SELECT DISTINCT ON (k.host_id, k.pack, k.rule_id, k.process_uid) k.host_id, k.pack, k.rule_id, k.process_uid, k.alert_id
		FROM alert_detection k JOIN (SELECT DISTINCT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])) p(host_id, pack, rule_id, process_uid)
		USING (host_id, pack, rule_id, process_uid) WHERE k.process_uid <> '' AND k.alert_id IS NOT NULL
		ORDER BY k.host_id, k.pack, k.rule_id, k.process_uid, k.position DESC, k.ordinal DESC`, hosts, packs, rules, uids)
	if err != nil {
		return fmt.Errorf("looking for processes' alerts: %w", err)
	}
	var p processKey
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&p.host), &p.rule.Pack, &p.rule.ID, &p.uid, &id}, func() error {
		held[p], ids[id] = id, true
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for processes' alerts: %w", err)
	}
	locked, err := lockedAlerts(ctx, tx, slices.Collect(maps.Keys(ids)))
	if err != nil {
		return err
	}
	for i := range locked {
		a := &locked[i]
		c.alerts[a.ID] = a
		key := alertKey{a.Host, a.KeyHash}
		if newest := c.newest[key]; newest == nil || a.OpenedAt.After(newest.OpenedAt) {
			c.newest[key] = a
		}
	}
	for p, id := range held {
		c.processes[p] = c.alerts[id]
	}
	return nil
}
