package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
)

// StreamClocks returns the newest live event time of the streams that have one.
func (s *Store) StreamClocks(ctx context.Context, pass string, streams []assay.StreamID) (map[assay.StreamID]time.Time, error) {
	clocks := make(map[assay.StreamID]time.Time, len(streams))
	rows, err := s.db.Query(ctx, `SELECT stream_id, live_until FROM stream_clock WHERE pass = $1 AND stream_id = ANY ($2)`, pass, uuids(streams))
	if err != nil {
		return nil, translate("reading stream clocks", err)
	}
	var id [16]byte
	var until time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &until}, func() error {
		clocks[id] = until.UTC()
		return nil
	})
	return clocks, translate("reading stream clocks", err)
}

// ImportMarks returns how far the files of the streams were projected.
func (s *Store) ImportMarks(ctx context.Context, pass string, streams []assay.StreamID, files [][]byte) ([]ImportMark, error) {
	rows, err := s.db.Query(ctx, `SELECT stream_id, file_sha256, chunk, ordinal FROM import_progress
		WHERE pass = $1 AND stream_id = ANY ($2) AND file_sha256 = ANY ($3)`, pass, uuids(streams), files)
	if err != nil {
		return nil, translate("reading import progress", err)
	}
	marks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ImportMark, error) {
		var m ImportMark
		var sum []byte
		var chunk, ordinal int64
		err := row.Scan((*[16]byte)(&m.Stream), &sum, &chunk, &ordinal)
		copy(m.SHA256[:], sum)
		m.Chunk, m.Ordinal = uint32(chunk), uint32(ordinal)
		return m, err
	})
	return marks, translate("reading import progress", err)
}

// CoverageMemories returns what the coverage builder remembers of the hosts, as JSON.
func (s *Store) CoverageMemories(ctx context.Context, hosts []assay.HostID) (map[assay.HostID][]byte, error) {
	memories := make(map[assay.HostID][]byte, len(hosts))
	rows, err := s.db.Query(ctx, `SELECT host_id, memory FROM coverage_memory WHERE host_id = ANY ($1)`, uuids(hosts))
	if err != nil {
		return nil, translate("reading coverage memory", err)
	}
	var id [16]byte
	var memory []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &memory}, func() error {
		memories[id] = append([]byte(nil), memory...)
		return nil
	})
	return memories, translate("reading coverage memory", err)
}

// EnsureEventDay makes the partitions of the event tables for a received day.
func (s *Store) EnsureEventDay(ctx context.Context, day time.Time) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error { return EnsureEventPartitions(ctx, tx, day) })
	return translate("making event partitions", err)
}

// LowestCursor is the position that all lanes of a pass have reached; 0 while
// a lane has no cursor yet.
func (s *Store) LowestCursor(ctx context.Context, pass string, lanes int) (uint64, error) {
	var low int64
	err := s.db.QueryRow(ctx, `SELECT CASE WHEN count(*) < $2 THEN 0 ELSE min(position) END FROM projection_cursor WHERE pass = $1`,
		pass, lanes).Scan(&low)
	return uint64(low), translate("reading cursors", err)
}

// Watermark is the time up to which all that was received is projected by all
// lanes of the passes; the zero time while a lane has no cursor yet.
func (s *Store) Watermark(ctx context.Context, passes []string, lanes int) (time.Time, error) {
	var at *time.Time
	err := s.db.QueryRow(ctx, `SELECT CASE WHEN count(*) = $2 THEN min(watermark) END FROM projection_cursor WHERE pass = ANY ($1)`,
		passes, lanes*len(passes)).Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, translate("reading watermark", err)
	}
	return at.UTC(), nil
}

// factsPass is the pass that writes the event tables.
const factsPass = "facts"

// passTables are the tables that a pass alone writes.
var passTables = map[string]string{
	factsPass:    "coverage_range, coverage_memory, posture, host_activity, metric, event_days, import_repeat",
	"detections": "hit",
	// What counts correlations stands at the start again with the lanes.
	"rules": "detection, correlation_input, correlation_window",
}

// ResetPass empties what a pass has written and sets its cursors to the start
// with the given version. Projectors that run meanwhile find their cursors
// moved and start over. It is Conflict for facts while a rebuild of days is not
// finished: that reads what would be emptied, and would write rows twice.
func (s *Store) ResetPass(ctx context.Context, pass string, version int) error {
	tables, ok := passTables[pass]
	if !ok {
		return assay.Errorf(assay.NotFound, "there is no projection %q", pass)
	}
	if pass == factsPass {
		for _, table := range telemetry.Tables() {
			tables += ", " + table.Name
		}
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := noRebuild(ctx, tx, pass); err != nil {
			return err
		}
		// The cursors are locked first, in the order in which lanes lock them.
		if _, err := tx.Exec(ctx, `UPDATE projection_cursor SET position = 0, version = $2, watermark = 'epoch' WHERE pass = $1`, pass, version); err != nil {
			return fmt.Errorf("resetting cursors: %w", err)
		}
		if pass == "rules" {
			if err := restartRules(ctx, tx); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "TRUNCATE "+tables); err != nil {
			return fmt.Errorf("emptying tables: %w", err)
		}
		for _, sql := range []string{
			`DELETE FROM quarantine WHERE pass = $1`, `DELETE FROM import_progress WHERE pass = $1`, `DELETE FROM stream_clock WHERE pass = $1`,
		} {
			if _, err := tx.Exec(ctx, sql, pass); err != nil {
				return fmt.Errorf("forgetting what the pass knew: %w", err)
			}
		}
		return nil
	})
	return translate("resetting projection", err)
}

// noRebuild is Conflict where a rebuild of days rests on what the pass has
// written, and keeps any from beginning until the transaction ends.
func noRebuild(ctx context.Context, tx pgx.Tx, pass string) error {
	if pass != factsPass {
		return nil
	}
	if _, err := tx.Exec(ctx, `LOCK TABLE rebuild IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return fmt.Errorf("locking rebuilds: %w", err)
	}
	var busy bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rebuild WHERE finished_at IS NULL)`).Scan(&busy); err != nil {
		return fmt.Errorf("looking for rebuilds: %w", err)
	}
	if busy {
		return assay.Errorf(assay.Conflict, "a rebuild of past days is not finished: go on with it first (project rebuild --from --to)")
	}
	return nil
}

// restartRules lets what rests on the lanes' matches start over: the counting of
// correlations, and the backfills, whose detections go with the others.
func restartRules(ctx context.Context, tx pgx.Tx) error {
	for _, sql := range []string{
		`UPDATE projection_cursor SET position = 0, watermark = 'epoch' WHERE pass = 'correlations'`,
		`DELETE FROM projection_cursor WHERE pass LIKE 'backfill-%'`,
		`DELETE FROM import_progress WHERE pass LIKE 'backfill-%'`,
		`DELETE FROM stream_clock WHERE pass LIKE 'backfill-%'`,
		`DELETE FROM quarantine WHERE pass LIKE 'backfill-%'`,
		`UPDATE rule_backfill SET state = 'running', detections = 0, finished_at = NULL, lease_until = 'epoch' WHERE state IN ('running', 'done')`,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("restarting rules: %w", err)
		}
	}
	return nil
}

// QuarantinedBatch is a batch that no projection could read.
type QuarantinedBatch struct {
	Position      uint64
	Host          assay.HostID // of the agent that sent it
	Reason        string
	QuarantinedAt time.Time
}

// Quarantine lists the batches in quarantine, by position.
func (s *Store) Quarantine(ctx context.Context) ([]QuarantinedBatch, error) {
	rows, err := s.db.Query(ctx, `SELECT DISTINCT ON (q.position) q.position, a.host_id, q.reason, q.quarantined_at
		FROM quarantine q JOIN batch b ON b.position = q.position JOIN stream s ON s.id = b.stream_id JOIN agent a ON a.id = s.agent_id
		ORDER BY q.position, q.pass`)
	if err != nil {
		return nil, translate("reading quarantine", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (QuarantinedBatch, error) {
		var q QuarantinedBatch
		err := row.Scan(&q.Position, (*[16]byte)(&q.Host), &q.Reason, &q.QuarantinedAt)
		q.QuarantinedAt = q.QuarantinedAt.UTC()
		return q, err
	})
	return list, translate("reading quarantine", err)
}
