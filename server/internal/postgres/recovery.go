package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// HeldCheckpoint is a checkpoint by the ledger's key that somebody holds and that
// is not of this database's tree: the database was restored from an older backup.
type HeldCheckpoint struct {
	Tree
	Note []byte
	// Holder says who showed it, for people; Agent is zero where it was no agent.
	Holder  string
	Agent   assay.AgentID
	ShownAt time.Time
}

// KeepHeld keeps a checkpoint that was verified, and reports whether it is the
// first of its kind.
func (s *Store) KeepHeld(ctx context.Context, c *HeldCheckpoint) (first bool, err error) {
	var agent *[16]byte
	if c.Agent != (assay.AgentID{}) {
		agent = (*[16]byte)(&c.Agent)
	}
	tag, err := s.db.Exec(ctx, `INSERT INTO held_checkpoint (size, root, note, holder, agent_id, shown_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		c.Size, c.Root[:], c.Note, c.Holder, agent, s.clock())
	return tag.RowsAffected() > 0, translate("keeping a checkpoint that is held", err)
}

// Held returns those that no successor ledger has answered, largest first.
func (s *Store) Held(ctx context.Context) ([]HeldCheckpoint, error) {
	rows, err := s.db.Query(ctx, `SELECT size, root, note, holder, agent_id, shown_at FROM held_checkpoint WHERE settled_at IS NULL ORDER BY size DESC, root`)
	if err != nil {
		return nil, translate("reading held checkpoints", err)
	}
	held, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c HeldCheckpoint, err error) {
		var root []byte
		var agent *[16]byte
		err = row.Scan(&c.Size, &root, &c.Note, &c.Holder, &agent, &c.ShownAt)
		copy(c.Root[:], root)
		if agent != nil {
			c.Agent = *agent
		}
		c.ShownAt = c.ShownAt.UTC()
		return c, err
	})
	return held, translate("reading held checkpoints", err)
}

// refuseUnheld keeps the tree from growing while somebody is known to hold
// another one: it would sign other leaves at positions that were signed before.
func refuseUnheld(ctx context.Context, tx pgx.Tx) error {
	var size *int64
	if err := tx.QueryRow(ctx, `SELECT max(size) FROM held_checkpoint WHERE settled_at IS NULL`).Scan(&size); err != nil {
		return fmt.Errorf("reading held checkpoints: %w", err)
	}
	if size == nil {
		return nil
	}
	return &assay.Error{Kind: assay.Internal, Err: fmt.Errorf("a checkpoint of %d leaves is held that this ledger does not have: the database was restored from an older backup. Stop all servers and run assay-server recover", *size)}
}

// settleHeld says which leaf answers what is held up to a size, and refuses where
// more is held.
func settleHeld(ctx context.Context, tx pgx.Tx, size, position int64) error {
	if _, err := tx.Exec(ctx, `UPDATE held_checkpoint SET settled_at = $2 WHERE settled_at IS NULL AND size <= $1`, size, position); err != nil {
		return fmt.Errorf("settling held checkpoints: %w", err)
	}
	var more int64
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM held_checkpoint WHERE settled_at IS NULL`).Scan(&more); err != nil {
		return fmt.Errorf("reading held checkpoints: %w", err)
	}
	if more > 0 {
		return assay.Errorf(assay.Conflict, "%d larger checkpoints were shown meanwhile: try again", more)
	}
	return nil
}

// Tree returns the signed tree as it is now.
func (s *Store) Tree(ctx context.Context) (tree Tree, err error) {
	var root []byte
	err = s.db.QueryRow(ctx, `SELECT size, root FROM ledger_tree`).Scan(&tree.Size, &root)
	copy(tree.Root[:], root)
	return tree, translate("reading ledger tree", err)
}

// Speaking returns how many hosts have an agent that may speak.
func (s *Store) Speaking(ctx context.Context) (hosts int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT count(DISTINCT a.host_id) FROM agent a JOIN host h ON h.id = a.host_id WHERE a.revoked_at IS NULL AND h.retired_at IS NULL`).Scan(&hosts)
	return hosts, translate("counting hosts", err)
}

// ServersAtWork returns the names of servers that hold a lease.
func (s *Store) ServersAtWork(ctx context.Context) ([]string, error) {
	// Leases run by the database's clock.
	rows, err := s.db.Query(ctx, `SELECT DISTINCT s.name FROM lease l JOIN server s ON s.id = l.server_id WHERE l.expires_at > now() ORDER BY s.name`)
	if err != nil {
		return nil, translate("reading servers", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, translate("reading servers", err)
}

// UnknownAmong returns which of the agents are not in the database.
func (s *Store) UnknownAmong(ctx context.Context, agents []assay.AgentID) ([]assay.AgentID, error) {
	ids := make([][16]byte, len(agents))
	for i, a := range agents {
		ids[i] = a
	}
	rows, err := s.db.Query(ctx, `SELECT shown.id FROM unnest($1::uuid[]) AS shown (id) WHERE NOT EXISTS (SELECT FROM agent a WHERE a.id = shown.id) ORDER BY shown.id`, ids)
	if err != nil {
		return nil, translate("looking for unknown agents", err)
	}
	unknown, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id assay.AgentID, err error) {
		err = row.Scan((*[16]byte)(&id))
		return id, err
	})
	return unknown, translate("looking for unknown agents", err)
}

// Succession is what SucceedLedger records.
type Succession struct {
	Record evidence.KeyRecord
	// Previous is the key (note format) of the ledger that ends. Held is the largest
	// tree of it that anyone was known to hold, which settles all up to it.
	Previous string
	Held     Tree
	By       string
}

// SucceedLedger begins another ledger with what is here, by a leaf that says what
// is gone of the one before. It is Conflict where that one's key is not the newest
// or where more than Held is known to be held. Recorded already, it is done.
func (s *Store) SucceedLedger(ctx context.Context, c *Succession) (position int64, err error) {
	if err := s.EnsureSegments(ctx); err != nil {
		return 0, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		var known bool
		if position, known, err = s.appendKey(ctx, tx, c.Record, c.Previous); err != nil || known {
			return err
		}
		if err := settleHeld(ctx, tx, c.Held.Size, position); err != nil {
			return err
		}
		return s.auditKey(ctx, tx, "ledger.recover", c.Record, c.Previous, c.By)
	})
	return position, translate("beginning a successor ledger", err)
}
