package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// SegmentSize is the number of positions in one partition of batch and leaf.
const SegmentSize = 262_144

// segmentsAhead is how many whole segments are kept beyond the head's own.
const segmentsAhead = 2

// segmentLock is the advisory lock under which segments are made.
const segmentLock = 0x6173736179_0001

// EnsureSegments makes the partitions that the next positions will need, well
// before they do. Partitions are attached, not created in place: that lock
// lets writers go on.
func (s *Store) EnsureSegments(ctx context.Context) error {
	var size int64
	if err := s.db.QueryRow(ctx, `SELECT size FROM ledger_head`).Scan(&size); err != nil {
		return translate("reading ledger size", err)
	}
	if size/SegmentSize+1+segmentsAhead <= s.segments.Load() {
		return nil
	}
	var segments int64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(segmentLock)); err != nil {
			return err
		}
		var size int64
		if err := tx.QueryRow(ctx, `SELECT size FROM ledger_head`).Scan(&size); err != nil {
			return err
		}
		current := size / SegmentSize
		segments = current + 1 + segmentsAhead
		for segment := current; segment < segments; segment++ {
			for _, table := range []positionTable{batchTable, leafTable} {
				if err := table.ensure(ctx, tx, table.part(segment)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return translate("making ledger segments", err)
	}
	s.segments.Store(segments)
	return nil
}

// readySegments makes segments when the next n positions after the last known
// size come within a segment of the end of those known.
func (s *Store) readySegments(ctx context.Context, size, n int64) error {
	if (size+n)/SegmentSize+1 < s.segments.Load() {
		return nil
	}
	return s.EnsureSegments(ctx)
}
