package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// retentionLock is the advisory lock under which holds are placed and whatever
// they stand against is done, so that one is always before the other.
const retentionLock = 0x6173736179_0005

const segmentColumns = `segment, object, bytes, sha256, batches, first_received, last_received, archived_at, position, dropped_at, deleted_at`

func scanSegment(row pgx.CollectableRow) (assay.Segment, error) {
	var g assay.Segment
	var digest []byte
	var position int64
	var dropped, deleted *time.Time
	err := row.Scan(&g.Number, &g.Object, &g.Bytes, &digest, &g.Batches, &g.FirstReceived, &g.LastReceived, &g.ArchivedAt, &position, &dropped, &deleted)
	copy(g.SHA256[:], digest)
	g.FirstReceived, g.LastReceived, g.ArchivedAt = g.FirstReceived.UTC(), g.LastReceived.UTC(), g.ArchivedAt.UTC()
	g.Position, g.DroppedAt, g.DeletedAt = uint64(position), orZero(dropped), orZero(deleted)
	return g, err
}

// ArchivedSegments returns all segments that were archived, oldest first.
func (s *Store) ArchivedSegments(ctx context.Context) ([]assay.Segment, error) {
	rows, err := s.db.Query(ctx, `SELECT `+segmentColumns+` FROM archived_segment ORDER BY segment`)
	if err != nil {
		return nil, translate("reading archived segments", err)
	}
	segments, err := pgx.CollectRows(rows, scanSegment)
	return segments, translate("reading archived segments", err)
}

// ArchivedSegment returns one, or NotFound.
func (s *Store) ArchivedSegment(ctx context.Context, number int64) (assay.Segment, error) {
	rows, err := s.db.Query(ctx, `SELECT `+segmentColumns+` FROM archived_segment WHERE segment = $1`, number)
	if err != nil {
		return assay.Segment{}, translate("reading archived segment", err)
	}
	segment, err := pgx.CollectExactlyOneRow(rows, scanSegment)
	return segment, translate("reading archived segment", err)
}

// SealedSegments returns the segments that no batch can be added to any more,
// that every projection and the signed tree have passed, whose batches were all
// received before that moment, and that are not archived yet; oldest first. The
// newest of them need not be the last: a clock that was set back puts it before.
func (s *Store) SealedSegments(ctx context.Context, before time.Time) ([]int64, error) {
	var end int64
	err := s.db.QueryRow(ctx, `SELECT least((SELECT size FROM ledger_tree), (SELECT coalesce(min(position), 0) FROM projection_cursor)) / $1`, int64(SegmentSize)).Scan(&end)
	if err != nil {
		return nil, translate("looking for sealed segments", err)
	}
	rows, err := s.db.Query(ctx, `SELECT segment FROM generate_series(0, $1::bigint - 1) AS segment
		WHERE NOT EXISTS (SELECT FROM archived_segment a WHERE a.segment = segment.segment)
		AND (SELECT true FROM batch b WHERE b.position >= segment * $2::bigint AND b.position < (segment + 1) * $2::bigint LIMIT 1)
		AND (SELECT true FROM batch b WHERE b.position >= segment * $2::bigint AND b.position < (segment + 1) * $2::bigint AND b.received_at >= $3 LIMIT 1) IS NULL
		ORDER BY 1`, end, int64(SegmentSize), before)
	if err != nil {
		return nil, translate("looking for sealed segments", err)
	}
	sealed, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return sealed, translate("looking for sealed segments", err)
}

// SegmentPage reads up to limit batches of a segment after a position, as they
// are stored: payloads stay sealed.
func (s *Store) SegmentPage(ctx context.Context, segment, after int64, limit int) ([]BatchRow, error) {
	rows, err := s.db.Query(ctx, `SELECT position, stream_id, lane, epoch, number, certificate_serial, received_at, header, head_signature, payload
		FROM batch WHERE position > $1 AND position >= $2 AND position < $3 ORDER BY position LIMIT $4`,
		after, segment*SegmentSize, (segment+1)*SegmentSize, limit)
	if err != nil {
		return nil, translate("reading segment", err)
	}
	batches, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (BatchRow, error) {
		var r BatchRow
		err := row.Scan(&r.Position, (*[16]byte)(&r.Stream), &r.Lane, &r.Epoch, &r.Number, &r.Serial, &r.ReceivedAt, &r.Header, &r.HeadSignature, &r.Payload)
		return r, err
	})
	return batches, translate("reading segment", err)
}

// RecordArchived notes that a segment is in the archive, with its leaf. It is
// Conflict where another server was first.
func (s *Store) RecordArchived(ctx context.Context, g assay.Segment) error {
	body, err := evidence.Encode(evidence.ArchiveRecord{Segment: g.Number, From: g.Number * SegmentSize, To: (g.Number + 1) * SegmentSize,
		Object: g.Object, Bytes: g.Bytes, SHA256: g.SHA256, Batches: g.Batches})
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO archived_segment (segment, object, bytes, sha256, batches, first_received, last_received, archived_at, position)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, -1)`, g.Number, g.Object, g.Bytes, g.SHA256[:], g.Batches, g.FirstReceived, g.LastReceived, s.clock())
		if err != nil {
			return fmt.Errorf("inserting archived segment: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO archived_host (segment, host_id, batches)
			SELECT $1, a.host_id, count(*) FROM batch b JOIN stream s ON s.id = b.stream_id JOIN agent a ON a.id = s.agent_id
			WHERE b.position >= $2 AND b.position < $3 GROUP BY a.host_id`, g.Number, g.Number*SegmentSize, (g.Number+1)*SegmentSize)
		if err != nil {
			return fmt.Errorf("noting hosts of segment: %w", err)
		}
		position, err := s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafArchive, Body: body}})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE archived_segment SET position = $2 WHERE segment = $1`, g.Number, position)
		if err != nil {
			return fmt.Errorf("noting leaf of segment: %w", err)
		}
		return nil
	})
	return translate("recording archived segment", err)
}

// patience bounds the wait for a lock that readers and writers must not be kept
// out by for long; whoever gives up tries again at the next turn.
const patience = `SET LOCAL lock_timeout = '2s'`

// DropPayloads takes the payloads of an archived segment out of Postgres. Its
// rows are copied without them into a part that takes the old one's place, so
// that headers, chains and positions stay as they are, nothing is updated row by
// row, and the space is free at once.
func (s *Store) DropPayloads(ctx context.Context, segment int64) error {
	part := batchTable.part(segment)
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var archived bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM archived_segment WHERE segment = $1 AND dropped_at IS NULL FOR UPDATE)`, segment).Scan(&archived)
		if err != nil {
			return fmt.Errorf("locking archived segment: %w", err)
		}
		if !archived {
			return assay.Errorf(assay.Conflict, "segment %d is not archived, or was dropped already", segment)
		}
		for _, sql := range []string{
			patience,
			fmt.Sprintf(`CREATE TABLE %s_new (LIKE batch INCLUDING ALL)`, part.Name),
			fmt.Sprintf(`INSERT INTO %s_new (position, stream_id, lane, epoch, number, certificate_serial, received_at, header, head_signature)
				SELECT position, stream_id, lane, epoch, number, certificate_serial, received_at, header, head_signature FROM %s`, part.Name, part.Name),
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("dropping payloads: %w", err)
			}
		}
		if err := batchTable.swap(ctx, tx, part); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE archived_segment SET dropped_at = $2 WHERE segment = $1`, segment, s.clock())
		if err != nil {
			return fmt.Errorf("noting dropped payloads: %w", err)
		}
		return nil
	})
	return translate("dropping payloads of segment", err)
}

// SegmentsToDelete returns the dropped segments whose batches were all received
// before that moment and that no hold keeps; oldest first.
func (s *Store) SegmentsToDelete(ctx context.Context, before time.Time) ([]assay.Segment, error) {
	rows, err := s.db.Query(ctx, `SELECT `+segmentColumns+` FROM archived_segment g
		WHERE dropped_at IS NOT NULL AND deleted_at IS NULL AND last_received < $1 AND NOT `+segmentHeld+` ORDER BY segment`, before)
	if err != nil {
		return nil, translate("looking for segments to delete", err)
	}
	segments, err := pgx.CollectRows(rows, scanSegment)
	return segments, translate("looking for segments to delete", err)
}

// segmentHeld: a hold that is placed on a host of the segment g.
const segmentHeld = `EXISTS (SELECT FROM hold h WHERE h.released_at IS NULL
	AND (h.host_id IS NULL OR EXISTS (SELECT FROM archived_host ah WHERE ah.segment = g.segment AND ah.host_id = h.host_id)))`

// RecordDeleted notes, with its leaf, that a segment's object is to be deleted
// now that its retention has ended. It is Conflict where a hold keeps it. Only
// then may the object be deleted: none is ever missing without a leaf.
func (s *Store) RecordDeleted(ctx context.Context, segment int64, reason string) error {
	body, err := evidence.Encode(evidence.ErasureRecord{Action: evidence.SegmentDeleted, Segment: segment, Reason: reason, By: "retention"})
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(retentionLock)); err != nil {
			return fmt.Errorf("locking retention: %w", err)
		}
		tag, err := tx.Exec(ctx, `UPDATE archived_segment g SET deleted_at = $2
			WHERE segment = $1 AND dropped_at IS NOT NULL AND deleted_at IS NULL AND NOT `+segmentHeld, segment, s.clock())
		if err != nil {
			return fmt.Errorf("noting deleted segment: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return assay.Errorf(assay.Conflict, "segment %d is held, or was deleted already", segment)
		}
		position, err := s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafErasure, Body: body}})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE archived_segment SET deleted_position = $2 WHERE segment = $1`, segment, position)
		if err != nil {
			return fmt.Errorf("noting leaf of deletion: %w", err)
		}
		return nil
	})
	return translate("recording deleted segment", err)
}

// SegmentsToRemove returns the segments that are recorded as deleted and whose
// object may still be there; oldest first.
func (s *Store) SegmentsToRemove(ctx context.Context) ([]assay.Segment, error) {
	rows, err := s.db.Query(ctx, `SELECT `+segmentColumns+` FROM archived_segment WHERE deleted_at IS NOT NULL AND gone_at IS NULL ORDER BY segment`)
	if err != nil {
		return nil, translate("looking for segments to remove", err)
	}
	segments, err := pgx.CollectRows(rows, scanSegment)
	return segments, translate("looking for segments to remove", err)
}

// RecordGone notes that the object of a deleted segment is gone.
func (s *Store) RecordGone(ctx context.Context, segment int64) error {
	_, err := s.db.Exec(ctx, `UPDATE archived_segment SET gone_at = $2 WHERE segment = $1 AND deleted_at IS NOT NULL`, segment, s.clock())
	return translate("noting that a segment is gone", err)
}
