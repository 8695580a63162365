package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// ListedPack is a pack version as lists show it: without files and rules.
type ListedPack struct {
	assay.RulePack
	Rules, Correlations, Filters, Problems, Enabled int
	InForce                                         bool
}

// RulePacks lists all versions of all packs, by name, newest first.
func (s *Store) RulePacks(ctx context.Context) ([]ListedPack, error) {
	rows, err := s.db.Query(ctx, `SELECT p.name, p.version, p.digest, p.builtin, p.imported_by, p.imported_at, p.position, p.rules, p.correlations,
			p.filters, p.problems, coalesce(u.version = p.version, false), coalesce(e.n, 0)
		FROM rule_pack p
		LEFT JOIN (SELECT DISTINCT ON (pack) pack, version FROM rule_pack_use ORDER BY pack, position DESC) u ON u.pack = p.name
		LEFT JOIN (SELECT r.pack, r.version, count(*) AS n`+inForce+`WHERE c.enabled GROUP BY r.pack, r.version) e ON e.pack = p.name AND e.version = p.version
		ORDER BY p.name, p.position DESC`, int64(1<<62))
	if err != nil {
		return nil, translate("reading rule packs", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedPack, error) {
		var p ListedPack
		var digest []byte
		var position int64
		err := row.Scan(&p.Name, &p.Version, &digest, &p.Builtin, &p.ImportedBy, &p.ImportedAt, &position, &p.Rules, &p.Correlations,
			&p.Filters, &p.Problems, &p.InForce, &p.Enabled)
		copy(p.Digest[:], digest)
		p.Position, p.ImportedAt = uint64(position), p.ImportedAt.UTC()
		return p, err
	})
	return list, translate("reading rule packs", err)
}

// PackInForce returns the digest and the rules of the version of a pack that is
// in force, without their texts; ok is false where there is none.
func (s *Store) PackInForce(ctx context.Context, name string) (version string, digest [32]byte, rules []assay.Rule, ok bool, err error) {
	var raw []byte
	err = s.db.QueryRow(ctx, `SELECT p.version, p.digest FROM rule_pack_use u JOIN rule_pack p ON p.name = u.pack AND p.version = u.version
		WHERE u.pack = $1 ORDER BY u.position DESC LIMIT 1`, name).Scan(&version, &raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", digest, nil, false, nil
	}
	if err != nil {
		return "", digest, nil, false, translate("reading rule pack", err)
	}
	copy(digest[:], raw)
	rows, err := s.db.Query(ctx, `SELECT `+ruleColumns+` FROM rule r WHERE pack = $1 AND version = $2 ORDER BY id`, name, version)
	if err != nil {
		return "", digest, nil, false, translate("reading rules", err)
	}
	rules, err = pgx.CollectRows(rows, scanRule)
	return version, digest, rules, err == nil, translate("reading rules", err)
}

// KnownRules returns which ids of a pack were ever turned on or off: an import
// leaves their state as it is.
func (s *Store) KnownRules(ctx context.Context, pack string) (map[string]bool, error) {
	rows, err := s.db.Query(ctx, `SELECT id FROM rule WHERE pack = $1 UNION SELECT rule_id FROM rule_change WHERE pack = $1`, pack)
	if err != nil {
		return nil, translate("reading rules", err)
	}
	known := map[string]bool{}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { known[id] = true; return nil })
	return known, translate("reading rules", err)
}

// RuleProblems lists what of a pack version was refused; an empty version is the
// one in force.
func (s *Store) RuleProblems(ctx context.Context, pack, version string) ([]assay.RuleProblem, error) {
	rows, err := s.db.Query(ctx, `SELECT path, line, rule, reason FROM rule_problem WHERE pack = $1 AND version = coalesce(nullif($2, ''),
		(SELECT version FROM rule_pack_use WHERE pack = $1 ORDER BY position DESC LIMIT 1)) ORDER BY number`, pack, version)
	if err != nil {
		return nil, translate("reading refused rules", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.RuleProblem, error) {
		var p assay.RuleProblem
		err := row.Scan(&p.Path, &p.Line, &p.Rule, &p.Reason)
		return p, err
	})
	return list, translate("reading refused rules", err)
}

// ListedRule is a rule in force with its state and hits.
type ListedRule struct {
	assay.Rule
	Enabled   bool
	ChangedBy string
	ChangedAt time.Time
	Reason    string
	// Hits and Suppressed are of the time asked for, LastHit of any time.
	Hits, Suppressed int64
	LastHit          time.Time
	OpenAlerts       int
}

// ListedRules returns the rules of all packs in force, highest level first, with
// their hits since a time.
func (s *Store) ListedRules(ctx context.Context, since time.Time) ([]ListedRule, error) {
	rows, err := s.db.Query(ctx, `SELECT `+ruleColumns+`, coalesce(c.enabled, false), coalesce(c.user_name, ''), c.changed_at, coalesce(c.reason, ''),
			coalesce(n.hits, 0), coalesce(n.suppressed, 0), n.last, coalesce(o.open, 0)`+inForce+`
		LEFT JOIN (SELECT d.pack, d.rule_id, count(*) AS hits, count(k.suppression_id) AS suppressed, max(d.booked_at) AS last
			FROM detection d LEFT JOIN alert_detection k USING (host_id, pack, rule_id, position, ordinal) WHERE d.booked_at >= $2 GROUP BY 1, 2) n
			ON n.pack = r.pack AND n.rule_id = r.id
		LEFT JOIN (SELECT pack, rule_id, count(*) AS open FROM alert WHERE state <> 'closed' GROUP BY 1, 2) o ON o.pack = r.pack AND o.rule_id = r.id
		ORDER BY r.level DESC, r.title, r.pack, r.id`, int64(1<<62), since)
	if err != nil {
		return nil, translate("reading rules", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedRule, error) {
		var l ListedRule
		var level int16
		var digest []byte
		var changed, last *time.Time
		err := row.Scan(append(ruleInto(&l.Rule, &level, &digest), &l.Enabled, &l.ChangedBy, &changed, &l.Reason, &l.Hits, &l.Suppressed, &last, &l.OpenAlerts)...)
		l.Level, l.ChangedAt, l.LastHit = assay.Level(level), orZero(changed), orZero(last)
		copy(l.Digest[:], digest)
		return l, err
	})
	return list, translate("reading rules", err)
}

// RuleChange is a rule's having been turned on or off.
type RuleChange struct {
	Enabled  bool
	By       string
	At       time.Time
	Reason   string
	Position uint64
}

// RuleDay counts a rule's hits of one UTC day.
type RuleDay struct {
	Day              time.Time
	Hits, Suppressed int64
}

// RuleHistory returns a rule's newest changes, newest first, and its hits by day
// since a time.
func (s *Store) RuleHistory(ctx context.Context, id assay.RuleID, since time.Time) ([]RuleChange, []RuleDay, error) {
	rows, err := s.db.Query(ctx, `SELECT enabled, user_name, changed_at, reason, position FROM rule_change
		WHERE pack = $1 AND rule_id = $2 ORDER BY position DESC LIMIT 100`, id.Pack, id.ID)
	if err != nil {
		return nil, nil, translate("reading a rule's changes", err)
	}
	changes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (RuleChange, error) {
		var c RuleChange
		var position int64
		err := row.Scan(&c.Enabled, &c.By, &c.At, &c.Reason, &position)
		c.At, c.Position = c.At.UTC(), uint64(position)
		return c, err
	})
	if err != nil {
		return nil, nil, translate("reading a rule's changes", err)
	}
	rows, err = s.db.Query(ctx, `SELECT (d.booked_at AT TIME ZONE 'UTC')::date AS day, count(*), count(k.suppression_id)
		FROM detection d LEFT JOIN alert_detection k USING (host_id, pack, rule_id, position, ordinal)
		WHERE d.pack = $1 AND d.rule_id = $2 AND d.booked_at >= $3 GROUP BY 1 ORDER BY 1`, id.Pack, id.ID, since)
	if err != nil {
		return nil, nil, translate("reading a rule's hits", err)
	}
	days, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (RuleDay, error) {
		var d RuleDay
		err := row.Scan(&d.Day, &d.Hits, &d.Suppressed)
		return d, err
	})
	return changes, days, translate("reading a rule's hits", err)
}

// RuleText returns a rule of a pack version with its document; an empty version
// is the one in force. It is NotFound where there is none.
func (s *Store) RuleText(ctx context.Context, id assay.RuleID, version string) (RuleText, error) {
	rows, err := s.db.Query(ctx, `SELECT `+ruleColumns+` FROM rule r WHERE pack = $1 AND id = $2 AND version = coalesce(nullif($3, ''),
		(SELECT version FROM rule_pack_use WHERE pack = $1 ORDER BY position DESC LIMIT 1))`, id.Pack, id.ID, version)
	if err != nil {
		return RuleText{}, translate("reading rule", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRule)
	if errors.Is(err, pgx.ErrNoRows) {
		return RuleText{}, assay.Errorf(assay.NotFound, "the pack %s has no rule %s", id.Pack, id.ID)
	}
	if err != nil {
		return RuleText{}, translate("reading rule", err)
	}
	list := []RuleText{{Rule: r}}
	if err := s.readTexts(ctx, list); err != nil {
		return RuleText{}, translate("reading rule", fmt.Errorf("reading the text of %s: %w", id.ID, err))
	}
	return list[0], nil
}
