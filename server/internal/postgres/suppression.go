package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

const suppressionColumns = `id, pack, rule_id, host_id, tag, conditions, owner, reason, created_by, created_at, expires_at, ended_at, ended_by, ended_reason,
	count, last_at, position`

func scanSuppression(row pgx.CollectableRow) (assay.Suppression, error) {
	var s assay.Suppression
	var host *[16]byte
	var conditions []string
	var ended, last *time.Time
	var count, position int64
	err := row.Scan((*[16]byte)(&s.ID), &s.Scope.Rule.Pack, &s.Scope.Rule.ID, &host, &s.Scope.Tag, &conditions, &s.Owner, &s.Reason, &s.CreatedBy,
		&s.CreatedAt, &s.ExpiresAt, &ended, &s.EndedBy, &s.EndedReason, &count, &last, &position)
	if host != nil {
		s.Scope.Host = *host
	}
	s.Scope.Conditions, s.Count, s.Position = unflat(conditions), uint64(count), uint64(position)
	s.CreatedAt, s.ExpiresAt, s.EndedAt, s.LastAt = s.CreatedAt.UTC(), s.ExpiresAt.UTC(), orZero(ended), orZero(last)
	return s, err
}

// activeSuppressions are those in force at a time, oldest first.
func activeSuppressions(ctx context.Context, db DB, at time.Time) ([]assay.Suppression, error) {
	rows, err := db.Query(ctx, `SELECT `+suppressionColumns+` FROM suppression
		WHERE created_at <= $1 AND expires_at > $1 AND (ended_at IS NULL OR ended_at > $1) ORDER BY created_at, id`, at)
	if err != nil {
		return nil, fmt.Errorf("reading suppressions: %w", err)
	}
	return pgx.CollectRows(rows, scanSuppression)
}

func sortedSuppressions(counts map[assay.SuppressionID]int) []assay.SuppressionID {
	return slices.SortedFunc(maps.Keys(counts), func(a, b assay.SuppressionID) int { return slices.Compare(a[:], b[:]) })
}

// Suppressions lists all, newest first.
func (s *Store) Suppressions(ctx context.Context) ([]assay.Suppression, error) {
	rows, err := s.db.Query(ctx, `SELECT `+suppressionColumns+` FROM suppression ORDER BY created_at DESC, id`)
	if err != nil {
		return nil, translate("reading suppressions", err)
	}
	list, err := pgx.CollectRows(rows, scanSuppression)
	return list, translate("reading suppressions", err)
}

// Suppression returns one, or NotFound.
func (s *Store) Suppression(ctx context.Context, id assay.SuppressionID) (assay.Suppression, error) {
	rows, err := s.db.Query(ctx, `SELECT `+suppressionColumns+` FROM suppression WHERE id = $1`, [16]byte(id))
	if err != nil {
		return assay.Suppression{}, translate("reading suppression", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanSuppression)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, assay.Errorf(assay.NotFound, "there is no suppression %s", id)
	}
	return found, translate("reading suppression", err)
}

// maxSuppressions bounds those in force: each is asked for every detection.
const maxSuppressions = 1000

// CreateSuppression records one as a row and a leaf, and where it is asked for
// closes the open alerts that it covers, as benign. It is Invalid if the
// suppression is.
func (s *Store) CreateSuppression(ctx context.Context, p *assay.Suppression, closeOpen bool) (closed int, err error) {
	p.CreatedAt = s.clock()
	p.ExpiresAt = p.ExpiresAt.UTC().Truncate(time.Microsecond)
	if err := p.Validate(p.CreatedAt); err != nil {
		return 0, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockAlerts(ctx, tx); err != nil {
			return err
		}
		active, err := activeSuppressions(ctx, tx, p.CreatedAt)
		if err != nil {
			return err
		}
		if len(active) >= maxSuppressions {
			return assay.Errorf(assay.Limited, "%d suppressions are in force, at most %d", len(active), maxSuppressions)
		}
		if err := checkScope(ctx, tx, &p.Scope); err != nil {
			return err
		}
		var covered []assay.AlertID
		if closeOpen {
			if covered, err = coveredAlerts(ctx, tx, &p.Scope); err != nil {
				return err
			}
		}
		if closed = len(covered); closed > 0 {
			policy, err := alertPolicy(ctx, tx)
			if err != nil {
				return err
			}
			if _, err := s.changeAlerts(ctx, tx, closeAs(covered, p.CreatedBy, assay.ClosedBenign, "suppressed: "+p.Reason), &policy, p.CreatedAt); err != nil {
				return err
			}
		}
		return s.insertSuppression(ctx, tx, p)
	})
	return closed, translate("creating suppression", err)
}

func closeAs(ids []assay.AlertID, by, reason, note string) *AlertChange {
	return &AlertChange{IDs: ids, Kind: assay.ActionClose, By: by, Note: note, Detail: reason,
		Apply: func(a *assay.Alert, now time.Time, _ *assay.AlertPolicy) error {
			return a.Close(by, reason, assay.AlertID{}, now)
		}}
}

func (s *Store) insertSuppression(ctx context.Context, tx pgx.Tx, p *assay.Suppression) error {
	var conditions []string
	for _, c := range p.Scope.Conditions {
		conditions = append(conditions, c.Name+"="+c.Value)
	}
	detail := map[string]string{"owner": p.Owner, "reason": p.Reason, "expires": p.ExpiresAt.Format(time.RFC3339), "pack": p.Scope.Rule.Pack,
		"rule": p.Scope.Rule.ID, "tag": p.Scope.Tag, "conditions": strings.Join(conditions, " ")}
	if p.Scope.Host != (assay.HostID{}) {
		detail["host"] = p.Scope.Host.String()
	}
	position, err := s.auditAt(ctx, tx, assay.AuditEntry{User: p.CreatedBy, Action: "suppression.create", Subject: p.ID.String(), Detail: detail, RecordedAt: p.CreatedAt})
	if err != nil {
		return err
	}
	p.Position = uint64(position)
	_, err = tx.Exec(ctx, `INSERT INTO suppression (id, pack, rule_id, host_id, tag, conditions, owner, reason, created_by, created_at, expires_at, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, [16]byte(p.ID), p.Scope.Rule.Pack, p.Scope.Rule.ID, orNullID(p.Scope.Host), p.Scope.Tag,
		flat(p.Scope.Conditions), p.Owner, p.Reason, p.CreatedBy, p.CreatedAt, p.ExpiresAt, position)
	if err != nil {
		return fmt.Errorf("inserting suppression: %w", err)
	}
	return nil
}

// checkScope is NotFound for a rule or host that is not there: a suppression
// with a slip in it would silence nothing, and nobody would know.
func checkScope(ctx context.Context, tx pgx.Tx, scope *assay.SuppressionScope) error {
	var rule, host bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rule WHERE pack = $1 AND id = $2), EXISTS (SELECT FROM host WHERE id = $3)`,
		scope.Rule.Pack, scope.Rule.ID, orNullID(scope.Host)).Scan(&rule, &host)
	if err != nil {
		return fmt.Errorf("checking scope: %w", err)
	}
	if scope.Rule.ID != "" && !rule {
		return assay.Errorf(assay.NotFound, "the pack %s has no rule %s", scope.Rule.Pack, scope.Rule.ID)
	}
	if scope.Host != (assay.HostID{}) && !host {
		return assay.Errorf(assay.NotFound, "there is no host %s", scope.Host)
	}
	return nil
}

// coveredAlerts are the alerts not closed of which the newest detection is
// within the scope.
func coveredAlerts(ctx context.Context, tx pgx.Tx, scope *assay.SuppressionScope) ([]assay.AlertID, error) {
	rows, err := tx.Query(ctx, `SELECT a.id, h.tags, `+detectionColumns+` FROM alert a JOIN host h ON h.id = a.host_id
		JOIN detection d ON d.host_id = a.host_id AND d.pack = a.pack AND d.rule_id = a.rule_id AND d.position = a.latest_position AND d.ordinal = a.latest_ordinal
		WHERE a.state <> 'closed'`)
	if err != nil {
		return nil, fmt.Errorf("reading alerts: %w", err)
	}
	var ids []assay.AlertID
	var id [16]byte
	var tags []string
	var r detectionRow
	_, err = pgx.ForEachRow(rows, append([]any{&id, &tags}, r.into()...), func() error {
		if d := r.finish(); scope.Covers(&d, tags) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// EndSuppression ends one before its time, with its audit entry and leaf. It is
// NotFound for an unknown one, Conflict for one that has ended.
func (s *Store) EndSuppression(ctx context.Context, id assay.SuppressionID, by, reason string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var active bool
		err := tx.QueryRow(ctx, `SELECT expires_at > $2 AND ended_at IS NULL FROM suppression WHERE id = $1 FOR UPDATE`, [16]byte(id), now).Scan(&active)
		if errors.Is(err, pgx.ErrNoRows) {
			return assay.Errorf(assay.NotFound, "there is no suppression %s", id)
		}
		if err != nil {
			return fmt.Errorf("reading suppression: %w", err)
		}
		if !active {
			return assay.Errorf(assay.Conflict, "the suppression has ended already")
		}
		if _, err := tx.Exec(ctx, `UPDATE suppression SET ended_at = $2, ended_by = $3, ended_reason = $4 WHERE id = $1`, [16]byte(id), now, by, reason); err != nil {
			return fmt.Errorf("ending suppression: %w", err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "suppression.end", Subject: id.String(), Detail: map[string]string{"reason": reason}, RecordedAt: now})
	})
	return translate("ending suppression", err)
}
