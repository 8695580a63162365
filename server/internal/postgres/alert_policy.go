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

// alertPolicy is what holds now.
func alertPolicy(ctx context.Context, db DB) (assay.AlertPolicy, error) {
	policy := assay.DefaultAlertPolicy()
	var body []byte
	var position int64
	err := db.QueryRow(ctx, `SELECT body, position FROM alert_policy ORDER BY position DESC LIMIT 1`).Scan(&body, &position)
	if errors.Is(err, pgx.ErrNoRows) {
		return policy, nil
	}
	if err != nil {
		return policy, fmt.Errorf("reading alert policy: %w", err)
	}
	policy = assay.AlertPolicy{}
	if err := json.Unmarshal(body, &policy); err != nil {
		return policy, fmt.Errorf("decoding alert policy: %w", err)
	}
	policy.Position = uint64(position)
	return policy, nil
}

// AlertPolicy is the policy that holds now: the newest, or the product's.
func (s *Store) AlertPolicy(ctx context.Context) (assay.AlertPolicy, error) {
	policy, err := alertPolicy(ctx, s.db)
	return policy, translate("reading alert policy", err)
}

// ChangeAlertPolicy records a policy as a row and a leaf. Clocks that run keep
// the time that they were set to. It is Invalid if the policy is.
func (s *Store) ChangeAlertPolicy(ctx context.Context, policy assay.AlertPolicy) (assay.AlertPolicy, error) {
	if err := policy.Validate(); err != nil {
		return policy, err
	}
	policy.ChangedAt = s.clock()
	body, err := json.Marshal(policy)
	if err != nil {
		return policy, fmt.Errorf("encoding alert policy: %w", err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		position, err := s.auditAt(ctx, tx, assay.AuditEntry{User: policy.By, Action: "alert.policy", Subject: "alerts", RecordedAt: policy.ChangedAt,
			Detail: map[string]string{"policy": string(body), "reason": policy.Reason}})
		if err != nil {
			return err
		}
		policy.Position = uint64(position)
		_, err = tx.Exec(ctx, `INSERT INTO alert_policy (position, body, user_name, changed_at) VALUES ($1, $2, $3, $4)`, position, body, policy.By, policy.ChangedAt)
		return err
	})
	return policy, translate("changing alert policy", err)
}

// RecordReview records that a person went through alerts and logs, with how many
// alerts stood open and overdue then, as a row and a leaf.
func (s *Store) RecordReview(ctx context.Context, by, note string) (assay.Review, error) {
	r := assay.Review{At: s.clock(), By: by, Note: note}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE state = 'open' AND acknowledge_due < $1 OR close_due < $1)
			FROM alert WHERE state <> 'closed'`, r.At).Scan(&r.Open, &r.Overdue)
		if err != nil {
			return fmt.Errorf("counting alerts: %w", err)
		}
		body, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encoding review: %w", err)
		}
		position, err := s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafReview, RecordedAt: evidence.Ticks(r.At), Body: body}})
		if err != nil {
			return err
		}
		r.Position = uint64(position)
		_, err = tx.Exec(ctx, `INSERT INTO review (position, user_name, note, open, overdue, reviewed_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			position, by, note, r.Open, r.Overdue, r.At)
		if err != nil {
			return fmt.Errorf("inserting review: %w", err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "alert.review", Subject: "alerts", RecordedAt: r.At, Detail: map[string]string{"note": note}})
	})
	return r, translate("recording review", err)
}

// Reviews returns the reviews since a time, oldest first. They are read from
// their leaves, which the ledger's tree binds.
func (s *Store) Reviews(ctx context.Context, since time.Time) ([]assay.Review, error) {
	rows, err := s.db.Query(ctx, `SELECT position, data FROM review JOIN leaf USING (position) WHERE reviewed_at >= $1 ORDER BY position`, since)
	if err != nil {
		return nil, translate("reading reviews", err)
	}
	reviews, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Review, error) {
		var r assay.Review
		var data []byte
		var position int64
		if err := row.Scan(&position, &data); err != nil {
			return r, err
		}
		if err := unmarshalLeaf(data, evidence.LeafReview, &r); err != nil {
			return r, fmt.Errorf("review %d: %w", position, err)
		}
		r.Position = uint64(position)
		return r, nil
	})
	return reviews, translate("reading reviews", err)
}
