package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// CheckpointAt returns the checkpoint of a size, or NotFound.
func (s *Store) CheckpointAt(ctx context.Context, size int64) (Checkpoint, error) {
	c, err := scanCheckpoint(s.db.QueryRow(ctx, `SELECT size, root, note, signed_at FROM checkpoint WHERE size = $1`, size))
	return c, translate("reading checkpoint", err)
}

// CheckpointFrom returns the first checkpoint of at least a size, or NotFound.
func (s *Store) CheckpointFrom(ctx context.Context, size int64) (Checkpoint, error) {
	c, err := scanCheckpoint(s.db.QueryRow(ctx, `SELECT size, root, note, signed_at FROM checkpoint WHERE size >= $1 ORDER BY size LIMIT 1`, size))
	return c, translate("reading checkpoint", err)
}

func scanCheckpoint(row pgx.Row) (c Checkpoint, err error) {
	var root []byte
	err = row.Scan(&c.Size, &root, &c.Note, &c.SignedAt)
	copy(c.Root[:], root)
	c.SignedAt = c.SignedAt.UTC()
	return c, err
}

// CheckpointSummary is a checkpoint with who vouches for it.
type CheckpointSummary struct {
	Size     int64
	SignedAt time.Time
	// Hosts cosigned this very size.
	Hosts int64
	// Witnesses are the names of those that cosigned it, Stamped the time that a
	// time-stamp states, zero where there is none.
	Witnesses []string
	Stamped   time.Time
}

// CheckpointSummaries returns the newest checkpoints that somebody vouches for,
// of sizes below before (0: all).
func (s *Store) CheckpointSummaries(ctx context.Context, before int64, limit int) ([]CheckpointSummary, error) {
	rows, err := s.db.Query(ctx, `SELECT c.size, c.signed_at,
			(SELECT count(DISTINCT a.host_id) FROM cosignature o JOIN agent a ON a.id = o.agent_id WHERE o.size = c.size),
			(SELECT coalesce(array_agg(w.name ORDER BY w.name), '{}') FROM witness_cosignature w WHERE w.size = c.size),
			(SELECT min(t.stamped_at) FROM time_stamp t WHERE t.size = c.size)
		FROM checkpoint c WHERE ($1 = 0 OR c.size < $1) AND (EXISTS (SELECT FROM cosignature o WHERE o.size = c.size)
			OR EXISTS (SELECT FROM witness_cosignature w WHERE w.size = c.size) OR EXISTS (SELECT FROM time_stamp t WHERE t.size = c.size))
		ORDER BY c.size DESC LIMIT $2`, before, limit)
	if err != nil {
		return nil, translate("reading checkpoints", err)
	}
	summaries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c CheckpointSummary, err error) {
		var stamped *time.Time
		err = row.Scan(&c.Size, &c.SignedAt, &c.Hosts, &c.Witnesses, &stamped)
		if c.SignedAt = c.SignedAt.UTC(); stamped != nil {
			c.Stamped = stamped.UTC()
		}
		return c, err
	})
	return summaries, translate("reading checkpoints", err)
}

// ThinCheckpoints deletes checkpoints from before a time but the last of each hour and
// the newest, and returns how many. What anyone outside the server has signed stays: a
// checkpoint that a host, a witness or a time-stamp speaks of is never deleted.
func (s *Store) ThinCheckpoints(ctx context.Context, before time.Time) (gone int64, err error) {
	tag, err := s.db.Exec(ctx, `DELETE FROM checkpoint c WHERE c.signed_at < $1
		AND c.size NOT IN (SELECT max(size) FROM checkpoint GROUP BY date_trunc('hour', signed_at, 'UTC'))
		AND c.size <> (SELECT size FROM ledger_tree)
		AND NOT EXISTS (SELECT FROM cosignature o WHERE o.size = c.size)
		AND NOT EXISTS (SELECT FROM witness_cosignature w WHERE w.size = c.size)
		AND NOT EXISTS (SELECT FROM time_stamp t WHERE t.size = c.size)`, before)
	return tag.RowsAffected(), translate("thinning checkpoints", err)
}
