package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// ChangePolicy records a decision as a row and a leaf. It is Invalid if the
// change is.
func (s *Store) ChangePolicy(ctx context.Context, change assay.PolicyChange) (position uint64, err error) {
	if err := change.Validate(); err != nil {
		return 0, err
	}
	change.RecordedAt = s.clock()
	body, err := json.Marshal(change)
	if err != nil {
		return 0, fmt.Errorf("encoding policy change: %w", err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		first, err := s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafPolicy, RecordedAt: evidence.Ticks(change.RecordedAt), Body: body}})
		if err != nil {
			return err
		}
		position = uint64(first)
		_, err = tx.Exec(ctx, `INSERT INTO policy_change (position, kind, name, body, user_name, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			first, string(change.Kind), change.Name, body, change.By, change.RecordedAt)
		if err != nil {
			return fmt.Errorf("inserting policy change: %w", err)
		}
		return nil
	})
	return position, translate("changing policy", err)
}

// PolicyChanges returns all decisions known at a tree size, oldest first; size
// 0: all. They are read from their leaves, which the ledger's tree binds: the
// rows beside them only say where the leaves are.
func (s *Store) PolicyChanges(ctx context.Context, size uint64) ([]assay.PolicyChange, error) {
	rows, err := s.db.Query(ctx, `SELECT p.position, l.data FROM policy_change p JOIN leaf l USING (position)
		WHERE $1 = 0 OR position < $1 ORDER BY position`, int64(size))
	if err != nil {
		return nil, translate("reading policy", err)
	}
	changes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.PolicyChange, error) {
		var c assay.PolicyChange
		var data []byte
		var position int64
		if err := row.Scan(&position, &data); err != nil {
			return c, err
		}
		if err := unmarshalLeaf(data, evidence.LeafPolicy, &c); err != nil {
			return c, fmt.Errorf("policy change %d: %w", position, err)
		}
		c.Position = uint64(position)
		return c, nil
	})
	return changes, translate("reading policy", err)
}

// unmarshalLeaf reads the JSON record of a leaf of the given kind.
func unmarshalLeaf(data []byte, kind evidence.LeafKind, record any) error {
	leaf, err := evidence.ParseLeaf(data)
	if err != nil {
		return fmt.Errorf("reading leaf: %w", err)
	}
	if leaf.Kind != kind {
		return fmt.Errorf("its leaf is a %s", leaf.Kind)
	}
	if err := json.Unmarshal(leaf.Body, record); err != nil {
		return fmt.Errorf("decoding leaf: %w", err)
	}
	return nil
}
