package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// audit records what a person did, in the deed's own transaction, as a row and
// a leaf. It must come last in the transaction (see AppendLeaves).
func (s *Store) audit(ctx context.Context, tx pgx.Tx, entry assay.AuditEntry) error {
	_, err := s.auditAt(ctx, tx, entry)
	return err
}

// auditAt is audit for those who need the position of the entry's leaf.
func (s *Store) auditAt(ctx context.Context, tx pgx.Tx, entry assay.AuditEntry) (position int64, err error) {
	body, err := json.Marshal(entry)
	if err != nil {
		return 0, fmt.Errorf("encoding audit entry: %w", err)
	}
	leaf := evidence.Leaf{Kind: evidence.LeafOperator, RecordedAt: evidence.Ticks(entry.RecordedAt), Body: body}
	position, err = s.AppendLeaves(ctx, tx, []evidence.Leaf{leaf})
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO audit_entry (position, user_name, action, subject, detail, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		position, entry.User, entry.Action, entry.Subject, entry.Detail, entry.RecordedAt)
	if err != nil {
		return 0, fmt.Errorf("inserting audit entry: %w", err)
	}
	return position, nil
}
