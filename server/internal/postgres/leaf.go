package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
)

// AppendLeaves records leaves in the caller's transaction and returns the
// position of the first; the others follow without holes. Their RecordedAt is
// set here, to the time that goes with the position. It must be the last thing
// in the transaction that waits for a lock: from here until the commit all
// other appends wait. The leaves are in the ledger when, and only if, the
// transaction commits.
func (s *Store) AppendLeaves(ctx context.Context, tx pgx.Tx, leaves []evidence.Leaf) (first int64, err error) {
	if len(leaves) == 0 || len(leaves) > SegmentSize {
		return 0, fmt.Errorf("appending leaves: %d at once, 1 to %d", len(leaves), SegmentSize)
	}
	taken, err := s.takePositions(ctx, tx, len(leaves))
	if err != nil {
		return 0, err
	}
	stamp(leaves, taken.at)
	return taken.first, copyLeaves(ctx, tx, taken.first, leaves)
}

// positions are those that a transaction took: the first of n, and their time.
type positions struct {
	first int64
	at    time.Time
}

// advanceHead reserves $1 positions at the clock $2 and returns the first and
// its time. Small differences between servers' clocks (5 s) are levelled so
// that time goes with position; a clock that was set back is taken at its word,
// for the other way a single wrong clock would stop time for all.
const advanceHead = `UPDATE ledger_head SET size = size + $1::bigint,
		recorded_at = CASE WHEN recorded_at BETWEEN $2::timestamptz AND $2::timestamptz + interval '5 seconds'
			THEN recorded_at ELSE $2::timestamptz END
	RETURNING size - $1::bigint AS first, recorded_at`

// takePositions reserves n positions in commit order: the row's lock is held
// until the transaction ends, so positions have no holes, and whoever reads
// the size sees every position below it.
func (s *Store) takePositions(ctx context.Context, tx pgx.Tx, n int) (positions, error) {
	var taken positions
	if err := tx.QueryRow(ctx, advanceHead, n, s.clock()).Scan(&taken.first, &taken.at); err != nil {
		return positions{}, fmt.Errorf("taking %d positions: %w", n, err)
	}
	return taken, nil
}

func stamp(leaves []evidence.Leaf, at time.Time) {
	for i := range leaves {
		leaves[i].RecordedAt = evidence.Ticks(at)
	}
}

func copyLeaves(ctx context.Context, tx pgx.Tx, first int64, leaves []evidence.Leaf) error {
	next := 0
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"leaf"}, []string{"position", "kind", "data"},
		pgx.CopyFromFunc(func() ([]any, error) {
			if next == len(leaves) {
				return nil, nil
			}
			leaf := &leaves[next]
			next++
			return []any{first + int64(next-1), int16(leaf.Kind), leaf.Canonical()}, nil
		}))
	if err != nil {
		return fmt.Errorf("copying leaves: %w", err)
	}
	return nil
}

// TreeSize returns how many leaves the signed tree has.
func (s *Store) TreeSize(ctx context.Context) (size int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT size FROM ledger_tree`).Scan(&size)
	return size, translate("reading tree size", err)
}

// Leaves returns the canonical leaves of [from, to). That one is missing is an
// error.
func (s *Store) Leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	leaves, err := readLeaves(ctx, s.db, from, to)
	return leaves, translate("reading leaves", err)
}
