package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// ErrCursorMoved says that another projector moved the cursor: whoever meets
// it has lost the lane and must throw away what it remembers of it.
var ErrCursorMoved = errors.New("another projector moved the cursor")

// Cursor is how far a lane of a projection pass has read.
type Cursor struct {
	Pass     string
	Lane     int16
	Position uint64 // next to read
	// Watermark: all that was received before it is projected by this lane.
	Watermark time.Time
}

// StoredBatch is a batch row with the host of the agent that sent it.
type StoredBatch struct {
	Position   uint64
	Stream     assay.StreamID
	Host       assay.HostID
	ReceivedAt time.Time
	Header     []byte
	Payload    []byte // nil where Absence says why
	Absence    Absence
}

// Cursor returns the lane's cursor, made at position 0 where there is none. A
// cursor of another version is Conflict: its rows must be rebuilt first.
func (s *Store) Cursor(ctx context.Context, pass string, lane int16, version int) (Cursor, error) {
	c := Cursor{Pass: pass, Lane: lane}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO projection_cursor (pass, lane, version, position, watermark)
			VALUES ($1, $2, $3, 0, 'epoch') ON CONFLICT DO NOTHING`, pass, lane, version)
		if err != nil {
			return fmt.Errorf("creating cursor: %w", err)
		}
		var stored int
		err = tx.QueryRow(ctx, `SELECT version, position, watermark FROM projection_cursor WHERE pass = $1 AND lane = $2`,
			pass, lane).Scan(&stored, &c.Position, &c.Watermark)
		if err != nil {
			return fmt.Errorf("reading cursor: %w", err)
		}
		if stored != version {
			return assay.Errorf(assay.Conflict, "projection %s is version %d in the database and %d in this program: run `assay-server project rebuild`", pass, stored, version)
		}
		return nil
	})
	return c, translate("reading projection cursor", err)
}

// LedgerSize is the number of leaves committed.
func (s *Store) LedgerSize(ctx context.Context) (uint64, error) {
	var size uint64
	err := s.db.QueryRow(ctx, `SELECT size FROM ledger_head`).Scan(&size)
	return size, translate("reading ledger size", err)
}

// LaneBatches reads up to limit batches of a lane in [from, to), in ledger
// order. A lane holds the streams whose lane value is lane modulo lanes.
func (s *Store) LaneBatches(ctx context.Context, lane, lanes int16, from, to uint64, limit int) ([]StoredBatch, error) {
	rows, err := s.db.Query(ctx, `SELECT b.position, b.stream_id, a.host_id, b.received_at, b.header, b.payload
		FROM batch b JOIN stream s ON s.id = b.stream_id JOIN agent a ON a.id = s.agent_id
		WHERE b.position >= $1 AND b.position < $2 AND b.lane % $3 = $4 ORDER BY b.position LIMIT $5`,
		int64(from), int64(to), lanes, lane, limit)
	if err != nil {
		return nil, translate("reading batches", err)
	}
	batches, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (StoredBatch, error) {
		var b StoredBatch
		err := row.Scan(&b.Position, (*[16]byte)(&b.Stream), (*[16]byte)(&b.Host), &b.ReceivedAt, &b.Header, &b.Payload)
		return b, err
	})
	if err != nil {
		return nil, translate("reading batches", err)
	}
	return batches, s.openAll(ctx, batches)
}

// Delta is what one step of a lane writes, in one transaction with its cursor.
// What has a key here (a name of a host's posture, a metric) is there once.
type Delta struct {
	Pass     string
	Lane     int16
	From, To uint64
	// Watermark is what the cursor may claim once this is committed.
	Watermark time.Time

	Hosts      []ImportedHost
	Events     *EventRows // nil: none
	Coverage   []assay.CoverageRange
	Memories   map[assay.HostID][]byte // coverage memory, JSON
	Posture    []PostureRow
	Activity   map[assay.HostID]Activity
	Metrics    []assay.Metric
	Hits       []assay.Hit
	Detections []assay.Detection
	Inputs     []CorrelationInput
	Correlated *CorrelationStep // nil: none
	Backfill   *BackfillStep    // nil: of no backfill
	Clocks     map[assay.StreamID]time.Time
	Imports    []ImportMark
	// Repeats are events that were left out as projected before.
	Repeats     []assay.EventRef
	Quarantined []Quarantined
}

// ImportedHost is a host that a stream's events speak of.
type ImportedHost struct {
	ID     assay.HostID
	Name   string
	Stream assay.StreamID
}

// PostureRow is the newest value of something a host says of itself.
type PostureRow struct {
	Host       assay.HostID
	Name       string
	Value      string
	ObservedAt time.Time
	Ref        assay.EventRef
}

// Activity is what a step saw of a host; it is added to what is stored.
type Activity struct {
	Events                      int64
	FirstObserved, LastObserved time.Time
	LastReceived                time.Time
	LastHealth                  time.Time // zero where there was none
}

// ImportMark is the last projected record of an imported file.
type ImportMark struct {
	Stream         assay.StreamID
	SHA256         [32]byte
	Chunk, Ordinal uint32
}

// Quarantined is a batch that cannot be projected.
type Quarantined struct {
	Position uint64
	Reason   string
}

// ApplyDelta writes a step. The cursor is moved first, by comparing: a
// projector that lost its lane blocks on the winner's row, then finds it moved
// and writes nothing (ErrCursorMoved).
func (s *Store) ApplyDelta(ctx context.Context, d *Delta) error {
	now := s.clock()
	found := d.Detections
	if d.Correlated != nil {
		found = slices.Concat(found, d.Correlated.Detections)
	}
	if err := readyForMatches(ctx, s, found, d.Inputs); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		cursor := Cursor{Pass: d.Pass, Lane: d.Lane, Position: d.From}
		if err := moveCursor(ctx, tx, cursor, d.To, d.Watermark); err != nil {
			return err
		}
		if d.Backfill != nil {
			if err := d.Backfill.renew(ctx, tx, now); err != nil {
				return err
			}
		}
		return d.write(ctx, tx, now)
	})
	if errors.Is(err, ErrCursorMoved) {
		return err
	}
	return translate("applying projection", err)
}

func (d *Delta) write(ctx context.Context, tx pgx.Tx, now time.Time) error {
	batch := &pgx.Batch{}
	d.queueHosts(batch, now)
	d.queueCoverage(batch)
	d.queuePosture(batch)
	d.queueHits(batch)
	d.queueDetections(batch)
	d.queueMarks(batch, now)
	if batch.Len() > 0 {
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("writing facts: %w", err)
		}
	}
	if d.Events == nil {
		return nil
	}
	return d.Events.CopyTo(ctx, tx)
}

func (d *Delta) queueHosts(batch *pgx.Batch, now time.Time) {
	for i := range d.Hosts {
		h := &d.Hosts[i]
		batch.Queue(`INSERT INTO host (id, kind, name, import_stream, created_at) VALUES ($1, 'imported', $2, $3, $4)
			ON CONFLICT (id) DO NOTHING`, [16]byte(h.ID), h.Name, [16]byte(h.Stream), now)
	}
	if len(d.Activity) == 0 {
		return
	}
	var hosts [][16]byte
	var events []int64
	var first, last, received []time.Time
	var health []*time.Time
	for host, a := range d.Activity {
		hosts, events = append(hosts, host), append(events, a.Events)
		first, last, received = append(first, a.FirstObserved), append(last, a.LastObserved), append(received, a.LastReceived)
		health = append(health, orNull(a.LastHealth))
	}
	batch.Queue(`INSERT INTO host_activity AS h (host_id, events, first_observed, last_observed, last_received, last_health)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
		ON CONFLICT (host_id) DO UPDATE SET events = h.events + excluded.events,
			first_observed = least(h.first_observed, excluded.first_observed),
			last_observed = greatest(h.last_observed, excluded.last_observed),
			last_received = greatest(h.last_received, excluded.last_received),
			last_health = greatest(h.last_health, excluded.last_health)`, hosts, events, first, last, received, health)
}

func (d *Delta) queueCoverage(batch *pgx.Batch) {
	for i := range d.Coverage {
		r := &d.Coverage[i]
		batch.Queue(`INSERT INTO coverage_range (host_id, source, channel, capability, starts_at, ends_at, state, mode, grade, reason,
				since_position, since_ordinal, until_position, until_ordinal)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
			ON CONFLICT (host_id, source, channel, capability, starts_at) DO UPDATE SET ends_at = excluded.ends_at,
				state = excluded.state, mode = excluded.mode, reason = excluded.reason,
				until_position = excluded.until_position, until_ordinal = excluded.until_ordinal`,
			[16]byte(r.Host), r.Source, r.Channel, r.Capability, r.From, r.To, string(r.State), string(r.Mode), int16(r.Grade), r.Reason,
			int64(r.Since.Position), int32(r.Since.Ordinal), int64(r.Until.Position), int32(r.Until.Ordinal))
	}
	for host, memory := range d.Memories {
		batch.Queue(`INSERT INTO coverage_memory (host_id, memory) VALUES ($1, $2)
			ON CONFLICT (host_id) DO UPDATE SET memory = excluded.memory`, [16]byte(host), memory)
	}
}

func (d *Delta) queuePosture(batch *pgx.Batch) {
	if n := len(d.Posture); n > 0 {
		hosts, names, values, observed := make([][16]byte, n), make([]string, n), make([]string, n), make([]time.Time, n)
		positions, ordinals := make([]int64, n), make([]int32, n)
		for i := range d.Posture {
			p := &d.Posture[i]
			hosts[i], names[i], values[i], observed[i] = p.Host, p.Name, p.Value, p.ObservedAt
			positions[i], ordinals[i] = int64(p.Ref.Position), int32(p.Ref.Ordinal)
		}
		batch.Queue(`INSERT INTO posture AS p (host_id, name, value, observed_at, position, ordinal)
			SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::int[])
			ON CONFLICT (host_id, name) DO UPDATE SET value = excluded.value, observed_at = excluded.observed_at,
				position = excluded.position, ordinal = excluded.ordinal WHERE excluded.observed_at >= p.observed_at`,
			hosts, names, values, observed, positions, ordinals)
	}
	if n := len(d.Metrics); n > 0 {
		hosts, names, keys, days := make([][16]byte, n), make([]string, n), make([]string, n), make([]time.Time, n)
		good, total := make([]int64, n), make([]int64, n)
		for i := range d.Metrics {
			m := &d.Metrics[i]
			hosts[i], names[i], keys[i], days[i], good[i], total[i] = m.Host, m.Name, m.Key, m.Day, int64(m.Good), int64(m.Total)
		}
		batch.Queue(`INSERT INTO metric AS m (host_id, name, key, day, good, total)
			SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::date[], $5::bigint[], $6::bigint[])
			ON CONFLICT (host_id, name, key, day) DO UPDATE SET good = m.good + excluded.good, total = m.total + excluded.total`,
			hosts, names, keys, days, good, total)
	}
}

func (d *Delta) queueHits(batch *pgx.Batch) {
	for i := range d.Hits {
		h := &d.Hits[i]
		fields := h.Fields
		if fields == nil {
			fields = map[string]string{}
		}
		batch.Queue(`INSERT INTO hit (host_id, check_id, selector, position, ordinal, observed_at, received_at, booked_at, clock_fault,
				mode, grade, source, channel, provider, event_id, record_id, fields)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
			[16]byte(h.Host), h.Check, h.Selector, int64(h.Ref.Position), int32(h.Ref.Ordinal), h.ObservedAt, h.ReceivedAt, h.BookedAt, h.ClockFault,
			string(h.Mode), int16(h.Grade), h.Source, h.Channel, h.Provider, int64(h.EventID), bigint(h.RecordID), fields)
	}
}

func (d *Delta) queueDetections(batch *pgx.Batch) {
	for i := range d.Detections {
		queueDetection(batch, &d.Detections[i])
	}
	for i := range d.Inputs {
		queueInput(batch, &d.Inputs[i])
	}
	if d.Correlated != nil {
		d.Correlated.queue(batch)
	}
}

func (d *Delta) queueMarks(batch *pgx.Batch, now time.Time) {
	if len(d.Clocks) > 0 {
		var streams [][16]byte
		var untils []time.Time
		for stream, until := range d.Clocks {
			streams, untils = append(streams, stream), append(untils, until)
		}
		batch.Queue(`INSERT INTO stream_clock (pass, stream_id, live_until) SELECT $1, * FROM unnest($2::uuid[], $3::timestamptz[])
			ON CONFLICT (pass, stream_id) DO UPDATE SET live_until = excluded.live_until`, d.Pass, streams, untils)
	}
	for i := range d.Imports {
		m := &d.Imports[i]
		batch.Queue(`INSERT INTO import_progress (pass, stream_id, file_sha256, chunk, ordinal) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (pass, stream_id, file_sha256) DO UPDATE SET chunk = excluded.chunk, ordinal = excluded.ordinal`,
			d.Pass, [16]byte(m.Stream), m.SHA256[:], int64(m.Chunk), int64(m.Ordinal))
	}
	if n := len(d.Repeats); n > 0 && d.Pass == factsPass {
		positions, ordinals := make([]int64, n), make([]int32, n)
		for i, ref := range d.Repeats {
			positions[i], ordinals[i] = int64(ref.Position), int32(ref.Ordinal)
		}
		batch.Queue(`INSERT INTO import_repeat (position, ordinal) SELECT * FROM unnest($1::bigint[], $2::int[]) ON CONFLICT DO NOTHING`, positions, ordinals)
	}
	for _, q := range d.Quarantined {
		batch.Queue(`INSERT INTO quarantine (pass, position, reason, quarantined_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, d.Pass, int64(q.Position), q.Reason, now)
	}
}

// Touch moves an idle lane's watermark: at that time all below position was
// projected and there was no more. A cursor that is elsewhere, as after a reset, is
// ErrCursorMoved: the lane is not idle then, whatever it remembers.
func (s *Store) Touch(ctx context.Context, c Cursor, watermark time.Time) error {
	tag, err := s.db.Exec(ctx, `UPDATE projection_cursor SET watermark = greatest(watermark, $4)
		WHERE pass = $1 AND lane = $2 AND position = $3`, c.Pass, c.Lane, int64(c.Position), watermark)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrCursorMoved
	}
	return translate("moving watermark", err)
}

// bigint keeps what exceeds a bigint at its greatest value.
func bigint(v uint64) int64 { return int64(min(v, math.MaxInt64)) }
