package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// rulesLock serialises changes of the rules in force: each must see the one
// before, for the digest that it records is of all of them.
const rulesLock = 0x6173736179_01

func lockRules(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(rulesLock)); err != nil {
		return fmt.Errorf("locking the rules: %w", err)
	}
	return nil
}

// packRecord is the body of a pack's leaf.
type packRecord struct {
	Pack     string `json:"pack"`
	Version  string `json:"version"`
	Digest   string `json:"digest"`
	Rules    int    `json:"rules"`
	Problems int    `json:"problems"`
	By       string `json:"by"`
}

// ImportPack stores a version of a pack, puts it in force and turns rules of it
// on, all at one ledger position, which it returns. It is Conflict where the
// version is there already.
func (s *Store) ImportPack(ctx context.Context, p *assay.RulePack, turnOn []string, reason string) (position uint64, err error) {
	now := s.clock()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockRules(ctx, tx); err != nil {
			return err
		}
		var there bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rule_pack WHERE name = $1 AND version = $2)`, p.Name, p.Version).Scan(&there)
		if err != nil {
			return fmt.Errorf("looking for the pack: %w", err)
		}
		if there {
			return assay.Errorf(assay.Conflict, "version %s of the pack %s is there already: versions never change, choose another", p.Version, p.Name)
		}
		if err := insertPack(ctx, tx, p, now); err != nil {
			return err
		}
		body, err := json.Marshal(packRecord{Pack: p.Name, Version: p.Version, Digest: hex.EncodeToString(p.Digest[:]),
			Rules: len(p.Rules), Problems: len(p.Problems), By: p.ImportedBy})
		if err != nil {
			return fmt.Errorf("encoding pack: %w", err)
		}
		position, err = s.changeRules(ctx, tx, ruleChange{
			pack: p.Name, version: p.Version, ids: turnOn, enabled: true, by: p.ImportedBy, reason: reason, at: now, action: "rules.import",
			first: &evidence.Leaf{Kind: evidence.LeafPack, Body: body},
		})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE rule_pack SET position = $3 WHERE name = $1 AND version = $2`, p.Name, p.Version, int64(position))
		return err
	})
	return position, translate("importing rules", err)
}

func insertPack(ctx context.Context, tx pgx.Tx, p *assay.RulePack, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO rule_pack (name, version, digest, builtin, files, rules, correlations, filters, problems, imported_by, imported_at, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, -1)`, p.Name, p.Version, p.Digest[:], p.Builtin, len(p.Files),
		p.Count(assay.KindRule), p.Count(assay.KindCorrelation), p.Count(assay.KindFilter), len(p.Problems), p.ImportedBy, now)
	if err != nil {
		return fmt.Errorf("inserting pack: %w", err)
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"rule_source"}, []string{"pack", "version", "path", "data"},
		pgx.CopyFromSlice(len(p.Files), func(i int) ([]any, error) {
			return []any{p.Name, p.Version, p.Files[i].Path, p.Files[i].Data}, nil
		}))
	if err != nil {
		return fmt.Errorf("copying rule files: %w", err)
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"rule"}, []string{"pack", "version", "id", "kind", "title", "level", "status", "logsource",
		"description", "author", "license", "tags", "refs", "false_positives", "related", "alert_by", "digest", "path", "line", "begins", "ends"},
		pgx.CopyFromSlice(len(p.Rules), func(i int) ([]any, error) {
			r := &p.Rules[i]
			return []any{p.Name, p.Version, r.ID, r.Kind, r.Title, int16(r.Level), r.Status, r.Logsource, r.Description, r.Author, r.License,
				orEmpty(r.Tags), orEmpty(r.References), orEmpty(r.FalsePositives), orEmpty(r.Related), orEmpty(r.AlertBy), r.Digest[:],
				r.Path, int32(r.Line), int32(r.Begins), int32(r.Ends)}, nil
		}))
	if err != nil {
		return fmt.Errorf("copying rules: %w", err)
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"rule_problem"}, []string{"pack", "version", "number", "path", "line", "rule", "reason"},
		pgx.CopyFromSlice(len(p.Problems), func(i int) ([]any, error) {
			q := &p.Problems[i]
			return []any{p.Name, p.Version, int32(i), q.Path, int32(q.Line), q.Rule, q.Reason}, nil
		}))
	if err != nil {
		return fmt.Errorf("copying problems: %w", err)
	}
	return nil
}

// ruleChange is a change of what is in force.
type ruleChange struct {
	pack    string
	version string // set where another version comes in force
	ids     []string
	enabled bool
	by      string
	reason  string
	at      time.Time
	action  string
	first   *evidence.Leaf // a leaf that goes before the operator's
}

// changeRules records a change: its leaf, audit entry, rows, and the set that it
// makes. The rules are locked by the caller; from the leaf on nothing waits for
// a lock.
func (s *Store) changeRules(ctx context.Context, tx pgx.Tx, c ruleChange) (uint64, error) {
	if c.first != nil {
		c.first.RecordedAt = evidence.Ticks(c.at)
		if _, err := s.AppendLeaves(ctx, tx, []evidence.Leaf{*c.first}); err != nil {
			return 0, err
		}
	}
	state := "off"
	if c.enabled {
		state = "on"
	}
	detail := map[string]string{"version": c.version, state: strconv.Itoa(len(c.ids)), "reason": c.reason, "rules": nameSome(c.ids)}
	position, err := s.auditAt(ctx, tx, assay.AuditEntry{User: c.by, Action: c.action, Subject: c.pack, Detail: detail, RecordedAt: c.at})
	if err != nil {
		return 0, err
	}
	if c.version != "" {
		_, err := tx.Exec(ctx, `INSERT INTO rule_pack_use (pack, position, version, user_name, reason, used_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			c.pack, position, c.version, c.by, c.reason, c.at)
		if err != nil {
			return 0, fmt.Errorf("putting pack in force: %w", err)
		}
	}
	if len(c.ids) > 0 {
		_, err := tx.Exec(ctx, `INSERT INTO rule_change (pack, rule_id, position, enabled, user_name, reason, changed_at)
			SELECT $1, id, $3, $4, $5, $6, $7 FROM unnest($2::text[]) id`, c.pack, c.ids, position, c.enabled, c.by, c.reason, c.at)
		if err != nil {
			return 0, fmt.Errorf("changing rules: %w", err)
		}
	}
	set, err := setAt(ctx, tx, position+1)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO rule_set (position, digest, rules, correlations, changed_at) VALUES ($1, $2, $3, $4, $5)`,
		position, set.Digest[:], set.Rules, set.Correlations, c.at)
	if err != nil {
		return 0, fmt.Errorf("recording the set of rules: %w", err)
	}
	return uint64(position), nil
}

// setAt counts and digests the rules that are on for events at a position. It
// reads no more of them than that takes: the ledger waits for it.
func setAt(ctx context.Context, tx pgx.Tx, position int64) (set assay.RuleSet, err error) {
	rows, err := tx.Query(ctx, `SELECT r.pack, r.version, r.id, r.kind, r.digest`+inForce+`WHERE c.enabled`, position)
	if err != nil {
		return set, fmt.Errorf("reading the set of rules: %w", err)
	}
	var rules []assay.Rule
	var r assay.Rule
	var digest []byte
	_, err = pgx.ForEachRow(rows, []any{&r.Pack, &r.Version, &r.ID, &r.Kind, &digest}, func() error {
		copy(r.Digest[:], digest)
		rules = append(rules, r)
		if r.Kind == assay.KindCorrelation {
			set.Correlations++
		} else {
			set.Rules++
		}
		return nil
	})
	set.Digest = assay.SetDigest(rules)
	return set, err
}

// nameSome names as many as an audit entry has room for; the rows name all.
func nameSome(ids []string) string {
	const most = 20
	text := ""
	for i, id := range ids {
		if i == most {
			return text + fmt.Sprintf(" and %d more", len(ids)-most)
		}
		if i > 0 {
			text += " "
		}
		text += id
	}
	return text
}

// SetRules turns rules of a pack in force on or off and returns the ids that
// were not so before. It is NotFound for a pack or a rule that is not there.
func (s *Store) SetRules(ctx context.Context, pack string, ids []string, enabled bool, by, reason string) (changed []string, err error) {
	now := s.clock()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockRules(ctx, tx); err != nil {
			return err
		}
		missing, different, err := compareRules(ctx, tx, pack, ids, enabled)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return assay.Errorf(assay.NotFound, "the pack %s has no rule %s", pack, nameSome(missing))
		}
		if changed = different; len(changed) == 0 {
			return nil
		}
		action := "rules.disable"
		if enabled {
			action = "rules.enable"
		}
		_, err = s.changeRules(ctx, tx, ruleChange{pack: pack, ids: changed, enabled: enabled, by: by, reason: reason, at: now, action: action})
		return err
	})
	return changed, translate("changing rules", err)
}

// compareRules finds which ids the version in force lacks, and which are not in
// the state.
func compareRules(ctx context.Context, tx pgx.Tx, pack string, ids []string, enabled bool) (missing, different []string, err error) {
	rows, err := tx.Query(ctx, `SELECT want.id, r.id IS NULL, coalesce(state.enabled, false)
		FROM unnest($2::text[]) want(id)
		LEFT JOIN LATERAL (SELECT version FROM rule_pack_use WHERE pack = $1 ORDER BY position DESC LIMIT 1) u ON true
		LEFT JOIN rule r ON r.pack = $1 AND r.version = u.version AND r.id = want.id
		LEFT JOIN LATERAL (SELECT enabled FROM rule_change WHERE pack = $1 AND rule_id = want.id ORDER BY position DESC LIMIT 1) state ON true
		ORDER BY want.id`, pack, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("reading rules: %w", err)
	}
	var id string
	var absent, on bool
	_, err = pgx.ForEachRow(rows, []any{&id, &absent, &on}, func() error {
		switch {
		case absent:
			missing = append(missing, id)
		case on != enabled:
			different = append(different, id)
		}
		return nil
	})
	return missing, different, err
}

// UsePack puts a version that was imported before in force. It is NotFound for
// one that was not, and Conflict for the one that is.
func (s *Store) UsePack(ctx context.Context, pack, version, by, reason string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockRules(ctx, tx); err != nil {
			return err
		}
		var there bool
		var current *string
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rule_pack WHERE name = $1 AND version = $2),
			(SELECT version FROM rule_pack_use WHERE pack = $1 ORDER BY position DESC LIMIT 1)`, pack, version).Scan(&there, &current)
		if err != nil {
			return fmt.Errorf("looking for the pack: %w", err)
		}
		if !there {
			return assay.Errorf(assay.NotFound, "the pack %s has no version %s", pack, version)
		}
		if current != nil && *current == version {
			return assay.Errorf(assay.Conflict, "version %s of the pack %s is in force already", version, pack)
		}
		_, err = s.changeRules(ctx, tx, ruleChange{pack: pack, version: version, by: by, reason: reason, at: now, action: "rules.use"})
		return err
	})
	return translate("putting pack in force", err)
}

// RuleSets lists the sets of rules that came in force at positions in [from,
// to), oldest first.
func (s *Store) RuleSets(ctx context.Context, from, to uint64) ([]assay.RuleSet, error) {
	rows, err := s.db.Query(ctx, `SELECT position, digest, rules, correlations, changed_at FROM rule_set
		WHERE position >= $1 AND position < $2 ORDER BY position`, int64(from), int64(to))
	if err != nil {
		return nil, translate("reading sets of rules", err)
	}
	sets, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.RuleSet, error) {
		var set assay.RuleSet
		var digest []byte
		err := row.Scan(&set.Position, &digest, &set.Rules, &set.Correlations, &set.ChangedAt)
		copy(set.Digest[:], digest)
		set.ChangedAt = set.ChangedAt.UTC()
		return set, err
	})
	return sets, translate("reading sets of rules", err)
}

const ruleColumns = `r.pack, r.version, r.id, r.kind, r.title, r.level, r.status, r.logsource, r.description, r.author, r.license, r.tags, r.refs,
	r.false_positives, r.related, r.alert_by, r.digest, r.path, r.line, r.begins, r.ends`

func ruleInto(r *assay.Rule, level *int16, digest *[]byte) []any {
	return []any{&r.Pack, &r.Version, &r.ID, &r.Kind, &r.Title, level, &r.Status, &r.Logsource, &r.Description, &r.Author, &r.License, &r.Tags, &r.References,
		&r.FalsePositives, &r.Related, &r.AlertBy, digest, &r.Path, &r.Line, &r.Begins, &r.Ends}
}

func scanRule(row pgx.CollectableRow) (assay.Rule, error) {
	var r assay.Rule
	var level int16
	var digest []byte
	err := row.Scan(ruleInto(&r, &level, &digest)...)
	r.Level = assay.Level(level)
	copy(r.Digest[:], digest)
	return r, err
}

// inForce is the FROM clause of the rules of the versions in force for events
// at position $1, as r, and their states.
const inForce = ` FROM (SELECT DISTINCT ON (pack) pack, version FROM rule_pack_use WHERE position < $1 ORDER BY pack, position DESC) u
	JOIN rule r ON r.pack = u.pack AND r.version = u.version
	LEFT JOIN (SELECT DISTINCT ON (pack, rule_id) pack, rule_id, enabled, user_name, reason, changed_at FROM rule_change WHERE position < $1
		ORDER BY pack, rule_id, position DESC) c ON c.pack = r.pack AND c.rule_id = r.id `

// rulesAt are the rules that are on for events at a position.
func rulesAt(ctx context.Context, tx DB, position int64) ([]assay.Rule, error) {
	rows, err := tx.Query(ctx, `SELECT `+ruleColumns+inForce+`WHERE c.enabled ORDER BY r.pack, r.id`, position)
	if err != nil {
		return nil, fmt.Errorf("reading the rules in force: %w", err)
	}
	return pgx.CollectRows(rows, scanRule)
}

// RuleText is a rule with its document.
type RuleText struct {
	assay.Rule
	Text []byte
	// Enabled is false for a rule that is only there for a correlation.
	Enabled bool
}

// RulesInForce returns the rules that are on for events at a position, and
// those that correlations among them refer to, by pack and id.
func (s *Store) RulesInForce(ctx context.Context, position uint64) ([]RuleText, error) {
	on, err := rulesAt(ctx, s.db, int64(position))
	if err != nil {
		return nil, translate("reading the rules in force", err)
	}
	list, err := s.withRelated(ctx, on)
	return list, translate("reading the rules in force", err)
}

// RulesOf returns rules of a pack version as RulesInForce does.
func (s *Store) RulesOf(ctx context.Context, pack, version string, ids []string) ([]RuleText, error) {
	rows, err := s.db.Query(ctx, `SELECT `+ruleColumns+` FROM rule r WHERE pack = $1 AND version = $2 AND id = ANY ($3) ORDER BY id`, pack, version, ids)
	if err != nil {
		return nil, translate("reading rules", err)
	}
	rules, err := pgx.CollectRows(rows, scanRule)
	if err != nil {
		return nil, translate("reading rules", err)
	}
	list, err := s.withRelated(ctx, rules)
	return list, translate("reading rules", err)
}

func (s *Store) withRelated(ctx context.Context, on []assay.Rule) ([]RuleText, error) {
	list := make([]RuleText, 0, len(on))
	known := map[assay.RuleID]bool{}
	for i := range on {
		list = append(list, RuleText{Rule: on[i], Enabled: true})
		known[assay.RuleID{Pack: on[i].Pack, ID: on[i].ID}] = true
	}
	for next := 0; next < len(list); next++ {
		r := list[next].Rule
		var missing []string
		for _, id := range r.Related {
			if key := (assay.RuleID{Pack: r.Pack, ID: id}); !known[key] {
				known[key] = true
				missing = append(missing, id)
			}
		}
		if len(missing) == 0 {
			continue
		}
		rows, err := s.db.Query(ctx, `SELECT `+ruleColumns+` FROM rule r WHERE pack = $1 AND version = $2 AND id = ANY ($3) ORDER BY id`, r.Pack, r.Version, missing)
		if err != nil {
			return nil, err
		}
		related, err := pgx.CollectRows(rows, scanRule)
		if err != nil {
			return nil, err
		}
		for i := range related {
			list = append(list, RuleText{Rule: related[i]})
		}
	}
	return list, s.readTexts(ctx, list)
}

// readTexts cuts the rules' documents out of their files.
func (s *Store) readTexts(ctx context.Context, list []RuleText) error {
	n := len(list)
	packs, versions, paths := make([]string, n), make([]string, n), make([]string, n)
	begins, sizes := make([]int32, n), make([]int32, n)
	for i := range list {
		r := &list[i]
		packs[i], versions[i], paths[i], begins[i], sizes[i] = r.Pack, r.Version, r.Path, int32(r.Begins), int32(r.Ends-r.Begins)
	}
	rows, err := s.db.Query(ctx, `SELECT w.number, substring(f.data FROM w.begins + 1 FOR w.size)
		FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[]) WITH ORDINALITY w(pack, version, path, begins, size, number)
		JOIN rule_source f ON f.pack = w.pack AND f.version = w.version AND f.path = w.path`, packs, versions, paths, begins, sizes)
	if err != nil {
		return err
	}
	var number int64
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&number, &text}, func() error {
		list[number-1].Text = append([]byte(nil), text...)
		return nil
	})
	return err
}
