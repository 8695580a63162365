package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// flat writes names and values one after the other.
func flat(list []assay.NamedText) []string {
	texts := make([]string, 0, 2*len(list))
	for _, n := range list {
		texts = append(texts, n.Name, n.Value)
	}
	return texts
}

func unflat(texts []string) []assay.NamedText {
	list := make([]assay.NamedText, 0, len(texts)/2)
	for i := 0; i+1 < len(texts); i += 2 {
		list = append(list, assay.NamedText{Name: texts[i], Value: texts[i+1]})
	}
	return list
}

// queueDetection writes a detection once: finding it again changes nothing.
func queueDetection(batch *pgx.Batch, d *assay.Detection) {
	matched := make([]string, 0, 3*len(d.Matched))
	for _, m := range d.Matched {
		matched = append(matched, m.Selection, m.Field, m.Value)
	}
	batch.Queue(`INSERT INTO detection (host_id, pack, rule_id, position, ordinal, version, set_position, level, observed_at, received_at, booked_at,
			clock_fault, grade, source, channel, event_id, process_uid, matched, key, grouping, members, member_count)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) ON CONFLICT DO NOTHING`,
		[16]byte(d.Host), d.Rule.Pack, d.Rule.ID, int64(d.Ref.Position), int32(d.Ref.Ordinal), d.Version, int64(d.SetPosition), int16(d.Level),
		d.ObservedAt, d.ReceivedAt, d.BookedAt, d.ClockFault, int16(d.Grade), d.Source, d.Channel, int64(d.EventID), d.ProcessUID,
		matched, flat(d.Key), flat(d.Group), refs(d.Members), d.MemberCount)
}

const detectionColumns = `d.host_id, d.pack, d.rule_id, d.position, d.ordinal, d.version, d.set_position, d.level, d.observed_at, d.received_at, d.booked_at,
	d.clock_fault, d.grade, d.source, d.channel, d.event_id, d.process_uid, d.matched, d.key, d.grouping, d.members, d.member_count`

// detectionRow is where a row of detectionColumns goes.
type detectionRow struct {
	d                        assay.Detection
	position, set, eventID   int64
	ordinal                  int32
	level, grade             int16
	matched, key, group      []string
	members                  []int64
	observed, received, book time.Time
}

func (r *detectionRow) into() []any {
	return []any{(*[16]byte)(&r.d.Host), &r.d.Rule.Pack, &r.d.Rule.ID, &r.position, &r.ordinal, &r.d.Version, &r.set, &r.level,
		&r.observed, &r.received, &r.book, &r.d.ClockFault, &r.grade, &r.d.Source, &r.d.Channel, &r.eventID, &r.d.ProcessUID,
		&r.matched, &r.key, &r.group, &r.members, &r.d.MemberCount}
}

func (r *detectionRow) finish() assay.Detection {
	d := r.d
	d.Ref = assay.EventRef{Position: uint64(r.position), Ordinal: uint32(r.ordinal)}
	d.SetPosition, d.Level, d.Grade, d.EventID = uint64(r.set), assay.Level(r.level), assay.Grade(r.grade), uint32(r.eventID)
	d.ObservedAt, d.ReceivedAt, d.BookedAt = r.observed.UTC(), r.received.UTC(), r.book.UTC()
	d.Matched = nil
	for i := 0; i+2 < len(r.matched); i += 3 {
		d.Matched = append(d.Matched, assay.MatchedValue{Selection: r.matched[i], Field: r.matched[i+1], Value: r.matched[i+2]})
	}
	d.Key, d.Group, d.Members = unflat(r.key), unflat(r.group), unrefs(r.members)
	return d
}

func scanDetection(row pgx.CollectableRow) (assay.Detection, error) {
	var r detectionRow
	err := row.Scan(r.into()...)
	return r.finish(), err
}

// DetectionsIn returns the detections at positions in [from, to), in ledger
// order, at most limit and a few more: those of one event are never parted.
func (s *Store) DetectionsIn(ctx context.Context, from, to uint64, limit int) ([]assay.Detection, error) {
	rows, err := s.db.Query(ctx, `SELECT `+detectionColumns+` FROM detection d
		WHERE position >= $1 AND position < $2 AND position <= coalesce(
			(SELECT position FROM detection WHERE position >= $1 AND position < $2 ORDER BY position OFFSET $3 LIMIT 1), $2)
		ORDER BY d.position, d.ordinal, d.pack, d.rule_id`, int64(from), int64(to), limit-1)
	if err != nil {
		return nil, translate("reading detections", err)
	}
	list, err := pgx.CollectRows(rows, scanDetection)
	return list, translate("reading detections", err)
}

// CorrelationInput is a match on its way to be counted.
type CorrelationInput struct {
	// Detection is all but what the match itself said.
	Detection assay.Detection
	Provider  string
	Fields    []assay.NamedText
}

func queueInput(batch *pgx.Batch, in *CorrelationInput) {
	d := &in.Detection
	batch.Queue(`INSERT INTO correlation_input (position, ordinal, pack, rule_id, host_id, observed_at, received_at, booked_at, clock_fault,
			grade, source, channel, provider, event_id, process_uid, fields)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
		int64(d.Ref.Position), int32(d.Ref.Ordinal), d.Rule.Pack, d.Rule.ID, [16]byte(d.Host), d.ObservedAt, d.ReceivedAt, d.BookedAt, d.ClockFault,
		int16(d.Grade), d.Source, d.Channel, in.Provider, int64(d.EventID), d.ProcessUID, flat(in.Fields))
}

// CorrelationInputs returns the matches to be counted at positions in [from,
// to), in ledger order; at most limit and those of the last one's position.
func (s *Store) CorrelationInputs(ctx context.Context, from, to uint64, limit int) ([]CorrelationInput, error) {
	rows, err := s.db.Query(ctx, `SELECT position, ordinal, pack, rule_id, host_id, observed_at, received_at, booked_at, clock_fault,
			grade, source, channel, provider, event_id, process_uid, fields FROM correlation_input
		WHERE position >= $1 AND position < $2 AND position <= coalesce(
			(SELECT position FROM correlation_input WHERE position >= $1 AND position < $2 ORDER BY position OFFSET $3 LIMIT 1), $2)
		ORDER BY position, ordinal, pack, rule_id`, int64(from), int64(to), limit-1)
	if err != nil {
		return nil, translate("reading matches to correlate", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (CorrelationInput, error) {
		var in CorrelationInput
		d := &in.Detection
		var position, eventID int64
		var ordinal int32
		var grade int16
		var fields []string
		err := row.Scan(&position, &ordinal, &d.Rule.Pack, &d.Rule.ID, (*[16]byte)(&d.Host), &d.ObservedAt, &d.ReceivedAt, &d.BookedAt, &d.ClockFault,
			&grade, &d.Source, &d.Channel, &in.Provider, &eventID, &d.ProcessUID, &fields)
		d.Ref = assay.EventRef{Position: uint64(position), Ordinal: uint32(ordinal)}
		d.Grade, d.EventID, in.Fields = assay.Grade(grade), uint32(eventID), unflat(fields)
		d.ObservedAt, d.ReceivedAt, d.BookedAt = d.ObservedAt.UTC(), d.ReceivedAt.UTC(), d.BookedAt.UTC()
		return in, err
	})
	return list, translate("reading matches to correlate", err)
}

// CorrelationWindow is what a correlation remembers of one group.
type CorrelationWindow struct {
	Rule    assay.RuleID
	Key     [32]byte
	Touched uint64
	State   []byte
}

// CorrelationWindows returns all that an owner remembers.
func (s *Store) CorrelationWindows(ctx context.Context, owner string) ([]CorrelationWindow, error) {
	rows, err := s.db.Query(ctx, `SELECT pack, rule_id, key_hash, touched, state FROM correlation_window WHERE owner = $1 ORDER BY pack, touched, rule_id, key_hash`, owner)
	if err != nil {
		return nil, translate("reading correlations", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (CorrelationWindow, error) {
		var w CorrelationWindow
		var key []byte
		var touched int64
		err := row.Scan(&w.Rule.Pack, &w.Rule.ID, &key, &touched, &w.State)
		copy(w.Key[:], key)
		w.Touched = uint64(touched)
		return w, err
	})
	return list, translate("reading correlations", err)
}

// CorrelationStep is what one step of counting writes.
type CorrelationStep struct {
	Owner      string
	Detections []assay.Detection
	Touched    []CorrelationWindow
	Gone       []CorrelationWindow
}

func (c *CorrelationStep) queue(batch *pgx.Batch) {
	for i := range c.Detections {
		queueDetection(batch, &c.Detections[i])
	}
	if n := len(c.Touched); n > 0 {
		packs, rules, keys, touched, states := make([]string, n), make([]string, n), make([][]byte, n), make([]int64, n), make([][]byte, n)
		for i := range c.Touched {
			w := &c.Touched[i]
			packs[i], rules[i], keys[i], touched[i], states[i] = w.Rule.Pack, w.Rule.ID, w.Key[:], int64(w.Touched), w.State
		}
		batch.Queue(`INSERT INTO correlation_window (owner, pack, rule_id, key_hash, touched, state)
			SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::bytea[])
			ON CONFLICT (owner, pack, rule_id, key_hash) DO UPDATE SET touched = excluded.touched, state = excluded.state`,
			c.Owner, packs, rules, keys, touched, states)
	}
	if n := len(c.Gone); n > 0 {
		packs, rules, keys := make([]string, n), make([]string, n), make([][]byte, n)
		for i := range c.Gone {
			w := &c.Gone[i]
			packs[i], rules[i], keys[i] = w.Rule.Pack, w.Rule.ID, w.Key[:]
		}
		batch.Queue(`DELETE FROM correlation_window w USING unnest($2::text[], $3::text[], $4::bytea[]) g(pack, rule_id, key_hash)
			WHERE w.owner = $1 AND w.pack = g.pack AND w.rule_id = g.rule_id AND w.key_hash = g.key_hash`, c.Owner, packs, rules, keys)
	}
}

// ApplyCorrelations writes a step of counting and moves its cursor, comparing
// (ErrCursorMoved). The matches that were counted go with their part (DropCountedInputs).
func (s *Store) ApplyCorrelations(ctx context.Context, cursor Cursor, to uint64, watermark time.Time, step *CorrelationStep) error {
	if err := readyForMatches(ctx, s, step.Detections, nil); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := moveCursor(ctx, tx, cursor, to, watermark); err != nil {
			return err
		}
		if err := notBehind(ctx, tx, "rules", to); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		step.queue(batch)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("writing correlations: %w", err)
		}
		return nil
	})
	if errors.Is(err, ErrCursorMoved) {
		return err
	}
	return translate("applying correlations", err)
}

// readyForMatches makes the parts that detections and matches to be counted go to.
func readyForMatches(ctx context.Context, s *Store, detections []assay.Detection, inputs []CorrelationInput) error {
	found, counted := make([]uint64, len(detections)), make([]uint64, len(inputs))
	for i := range detections {
		found[i] = detections[i].Ref.Position
	}
	for i := range inputs {
		counted[i] = inputs[i].Detection.Ref.Position
	}
	if err := detectionTable.ready(ctx, s, found...); err != nil {
		return err
	}
	return inputTable.ready(ctx, s, counted...)
}

// DropCountedInputs drops the parts of matches that have all been counted, one
// transaction each, and returns how many.
func (s *Store) DropCountedInputs(ctx context.Context) (dropped int, err error) {
	parts, err := inputTable.parts(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, part := range parts {
		counted := false
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			// Shared until the part is gone: whoever lets the counting start over, and
			// needs the part again, waits and then makes it.
			err := tx.QueryRow(ctx, `SELECT position >= $1 FROM projection_cursor WHERE pass = 'correlations' FOR SHARE`, part.To).Scan(&counted)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil || !counted {
				return err
			}
			return dropPart(ctx, tx, inputTable.name, part.Name)
		})
		if err != nil || !counted {
			return dropped, translate("dropping "+part.Name, err)
		}
		dropped++
	}
	return dropped, nil
}

// notBehind is ErrCursorMoved where a pass that the caller follows no longer
// stands at or past a position: it was reset since the caller read what it left.
func notBehind(ctx context.Context, tx pgx.Tx, pass string, to uint64) error {
	var behind bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM projection_cursor WHERE pass = $1 AND position < $2)`, pass, int64(to)).Scan(&behind)
	if err != nil {
		return fmt.Errorf("reading cursors of %s: %w", pass, err)
	}
	if behind {
		return ErrCursorMoved
	}
	return nil
}

// moveCursor moves a cursor from where it is known to be.
func moveCursor(ctx context.Context, tx pgx.Tx, c Cursor, to uint64, watermark time.Time) error {
	tag, err := tx.Exec(ctx, `UPDATE projection_cursor SET position = $4, watermark = greatest(watermark, $5)
		WHERE pass = $1 AND lane = $2 AND position = $3`, c.Pass, c.Lane, int64(c.Position), int64(to), watermark)
	if err != nil {
		return fmt.Errorf("moving cursor: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return ErrCursorMoved
	}
	return nil
}
