package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// normalErasure is what the rows can say of an erasure's leaf: they keep
// microseconds, and not the words with which a segment was deleted.
func normalErasure(r evidence.ErasureRecord) evidence.ErasureRecord {
	if r.Action == evidence.SegmentDeleted {
		r.Reason, r.By = "", ""
	}
	if r.Due != 0 {
		r.Due = evidence.Ticks(coarse(evidence.Time(r.Due)))
	}
	return r
}

// normalKeeping is NormalRecord of what is kept, archived and erased.
func normalKeeping(kind evidence.LeafKind, body []byte) (record []byte, err error) {
	var normal any
	switch kind {
	case evidence.LeafHold:
		var r evidence.HoldRecord
		err = evidence.Decode(body, &r)
		normal = r
	case evidence.LeafArchive:
		var r evidence.ArchiveRecord
		err = evidence.Decode(body, &r)
		normal = r
	default:
		var r evidence.ErasureRecord
		err = evidence.Decode(body, &r)
		normal = normalErasure(r)
	}
	if err != nil {
		return nil, err
	}
	if record, err = json.Marshal(normal); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", kind, err)
	}
	return record, nil
}

// queueKeeping reads the rows of holds, archived segments and erasures. One row
// stands beside two leaves: the second is of its release, or of what was done.
func (p *LedgerPage) queueKeeping(each func(sql string, scan func(rows pgx.Rows) error)) {
	var position int64
	for _, hold := range []struct{ action, columns, position string }{
		{evidence.HoldPlaced, `reason, placed_by`, `position`},
		{evidence.HoldReleased, `coalesce(release_reason, ''), coalesce(released_by, '')`, `release_position`},
	} {
		each(fmt.Sprintf(`SELECT %s, id, host_id, %s FROM hold WHERE %[1]s >= $1 AND %[1]s < $2`, hold.position, hold.columns), func(rows pgx.Rows) error {
			r := evidence.HoldRecord{Action: hold.action}
			var host *[16]byte
			if err := rows.Scan(&position, (*[16]byte)(&r.Hold), &host, &r.Reason, &r.By); err != nil {
				return err
			}
			if host != nil {
				r.Host = *host
			}
			return p.addRecord(position, evidence.LeafHold, r)
		})
	}
	for _, erasure := range []struct{ action, position string }{{evidence.ErasureRequested, `position`}, {evidence.ErasureDone, `done_position`}} {
		each(fmt.Sprintf(`SELECT %s, host_id, month::timestamp, reason, requested_by, due_at FROM erasure WHERE %[1]s >= $1 AND %[1]s < $2`, erasure.position), func(rows pgx.Rows) error {
			r := evidence.ErasureRecord{Action: erasure.action, Segment: -1}
			var month, due time.Time
			if err := rows.Scan(&position, (*[16]byte)(&r.Host), &month, &r.Reason, &r.By, &due); err != nil {
				return err
			}
			r.Month = month.Format("2006-01")
			if r.Action == evidence.ErasureRequested {
				r.Due = evidence.Ticks(coarse(due))
			}
			return p.addRecord(position, evidence.LeafErasure, r)
		})
	}
	each(`SELECT deleted_position, segment FROM archived_segment WHERE deleted_position >= $1 AND deleted_position < $2`, func(rows pgx.Rows) error {
		r := evidence.ErasureRecord{Action: evidence.SegmentDeleted}
		if err := rows.Scan(&position, &r.Segment); err != nil {
			return err
		}
		return p.addRecord(position, evidence.LeafErasure, r)
	})
	each(`SELECT position, segment, object, bytes, sha256, batches FROM archived_segment WHERE position >= $1 AND position < $2`, func(rows pgx.Rows) error {
		var r evidence.ArchiveRecord
		var digest []byte
		if err := rows.Scan(&position, &r.Segment, &r.Object, &r.Bytes, &digest, &r.Batches); err != nil {
			return err
		}
		copy(r.SHA256[:], digest)
		r.From, r.To = r.Segment*SegmentSize, (r.Segment+1)*SegmentSize
		return p.addRecord(position, evidence.LeafArchive, r)
	})
}

// StrayRow is a row that says of itself what no leaf below the snapshot's size
// can say, or another than its own history.
type StrayRow struct {
	Kind evidence.LeafKind
	Name string // of the row: an id, a segment's number
}

// readStrayRows returns the holds, erasures and archived segments that are
// released, done or deleted by no leaf: what is read by position meets none.
func readStrayRows(ctx context.Context, tx pgx.Tx, size int64) ([]StrayRow, error) {
	rows, err := tx.Query(ctx, `SELECT $2::smallint, id::text FROM hold
			WHERE position NOT BETWEEN 0 AND $1 - 1 OR release_position NOT BETWEEN 0 AND $1 - 1 OR (released_at IS NULL) <> (release_position IS NULL)
		UNION ALL SELECT $3::smallint, id::text FROM erasure
			WHERE position NOT BETWEEN 0 AND $1 - 1 OR done_position NOT BETWEEN 0 AND $1 - 1 OR (done_at IS NULL) <> (done_position IS NULL) OR key_deleted_at IS NOT NULL AND done_at IS NULL
		UNION ALL SELECT $4::smallint, segment::text FROM archived_segment
			WHERE position NOT BETWEEN 0 AND $1 - 1 OR deleted_position NOT BETWEEN 0 AND $1 - 1 OR (deleted_at IS NULL) <> (deleted_position IS NULL)`,
		size, int16(evidence.LeafHold), int16(evidence.LeafErasure), int16(evidence.LeafArchive))
	if err != nil {
		return nil, fmt.Errorf("looking for stray rows of retention: %w", err)
	}
	stray, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r StrayRow, err error) {
		var kind int16
		err = row.Scan(&kind, &r.Name)
		r.Kind = evidence.LeafKind(kind)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for stray rows of retention: %w", err)
	}
	return stray, nil
}

// HasBatches reports whether a host's agents have batches in a segment. It asks
// the batches, which leaves are of, and no index that retention keeps of them.
func (s *Store) HasBatches(ctx context.Context, segment int64, host assay.HostID) (has bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM batch b JOIN stream s ON s.id = b.stream_id JOIN agent a ON a.id = s.agent_id
		WHERE b.position >= $1 AND b.position < $2 AND a.host_id = $3)`, segment*SegmentSize, (segment+1)*SegmentSize, [16]byte(host)).Scan(&has)
	return has, translate("looking for batches of a host", err)
}
