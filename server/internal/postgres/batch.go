package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// AppendBatches appends batches of any streams in one transaction and returns a
// receipt for each, in their order. A batch that cannot be appended says so in
// its receipt and does not hinder the others. After an error nothing is known:
// all, or none, were committed, and the caller must forget every head it holds.
func (s *Store) AppendBatches(ctx context.Context, batches []*assay.Batch) ([]assay.Receipt, error) {
	if len(batches) == 0 {
		return nil, nil
	}
	if err := s.readySegments(ctx, s.size.Load(), int64(len(batches))); err != nil {
		return nil, err
	}
	plan := newPlan(batches)
	var err error
	if plan.sealed, err = s.seal(ctx, batches); err != nil {
		return nil, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := plan.lock(ctx, tx); err != nil {
			return err
		}
		if err := plan.readPast(ctx, tx); err != nil {
			return err
		}
		plan.judge()
		return s.write(ctx, tx, plan)
	})
	if err != nil {
		// What is known of the segments may be what is wrong: look again next time.
		s.segments.Store(0)
		return nil, translate("appending batches", err)
	}
	if n := len(plan.leaves); n > 0 {
		s.size.Store(plan.taken.first + int64(n))
	}
	return plan.receipts, nil
}

// write does what the plan decided. Nothing before the positions are taken can
// fail for want of them, and nothing after waits for a lock.
func (s *Store) write(ctx context.Context, tx pgx.Tx, plan *plan) error {
	if len(plan.leaves) == 0 {
		return nil
	}
	var err error
	if plan.taken, err = s.advance(ctx, tx, plan); err != nil {
		return err
	}
	// The clock may have been set since the batches were let in: leaves of such a time
	// would be held against their certificates for ever.
	if err := plan.authentic(); err != nil {
		return err
	}
	plan.place()
	if len(plan.committed) > 0 {
		if err := copyBatches(ctx, tx, "batch", plan, plan.committed); err != nil {
			return err
		}
	}
	if len(plan.forked) > 0 {
		if err := copyBatches(ctx, tx, "fork", plan, plan.forked); err != nil {
			return err
		}
	}
	stamp(plan.leaves, plan.taken.at)
	return copyLeaves(ctx, tx, plan.taken.first, plan.leaves)
}

// advance moves the streams' heads and takes positions in one statement. The
// rows are locked already, so the condition on the old head always holds; it is
// there so that no mistake of ours can ever break a chain.
func (s *Store) advance(ctx context.Context, tx pgx.Tx, plan *plan) (positions, error) {
	moved := plan.moved()
	n := len(moved)
	ids := make([]assay.StreamID, n)
	epochs, numbers, hashes := make([]int32, n), make([]int64, n), make([][]byte, n)
	newNumbers, newHashes := make([]int64, n), make([][]byte, n)
	sequences, offsets := make([]int64, n), make([]int64, n)
	for i, m := range moved {
		ids[i], epochs[i], numbers[i], hashes[i] = m.old.Stream, int32(m.old.Epoch), int64(m.old.Number), m.old.Hash[:]
		newNumbers[i], newHashes[i], sequences[i], offsets[i] = int64(m.head.Number), m.head.Hash[:], int64(m.head.NextSequence), m.offset
	}
	var taken positions
	var count int
	err := tx.QueryRow(ctx, `WITH taken AS (`+advanceHead+`), moved AS (
		UPDATE stream s SET number = m.new_number, hash = m.new_hash, next_sequence = m.next_sequence,
			position = taken.first + m.leaf, committed_at = taken.recorded_at
		FROM taken, unnest($3::uuid[], $4::int[], $5::bigint[], $6::bytea[], $7::bigint[], $8::bytea[], $9::bigint[], $10::bigint[])
			AS m (id, epoch, number, hash, new_number, new_hash, next_sequence, leaf)
		WHERE s.id = m.id AND s.epoch = m.epoch AND s.number = m.number AND s.hash = m.hash
		RETURNING s.id)
		SELECT first, recorded_at, (SELECT count(*) FROM moved) FROM taken`,
		len(plan.leaves), s.clock(), uuids(ids), epochs, numbers, hashes, newNumbers, newHashes, sequences, offsets).
		Scan(&taken.first, &taken.at, &count)
	if err != nil {
		return positions{}, fmt.Errorf("advancing streams: %w", err)
	}
	if count != n {
		return positions{}, &assay.Error{Kind: assay.Internal, Err: fmt.Errorf("advancing streams: %d of %d moved under lock", count, n)}
	}
	taken.at = taken.at.UTC()
	return taken, nil
}

// copyBatches copies the batches at the given indexes of the plan.
func copyBatches(ctx context.Context, tx pgx.Tx, table string, plan *plan, indexes []int) error {
	columns := []string{"position", "stream_id", "epoch", "number", "certificate_serial", "received_at", "header", "head_signature", "payload"}
	withLane := table == "batch"
	if withLane {
		columns = append(columns, "lane")
	}
	next := 0
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if next == len(indexes) {
			return nil, nil
		}
		at := indexes[next]
		next++
		b := plan.batches[at]
		row := []any{plan.receipts[at].Position, [16]byte(b.Header.Stream), int32(b.Header.Epoch), int64(b.Header.Number),
			b.CertificateSerial, plan.taken.at, b.HeaderBytes, b.HeadSignature, plan.sealed[at]}
		if withLane {
			row = append(row, plan.streams[assay.StreamID(b.Header.Stream)].lane)
		}
		return row, nil
	}))
	if err != nil {
		return fmt.Errorf("copying into %s: %w", table, err)
	}
	return nil
}

// pastKey names a batch that its stream's head has passed.
type pastKey struct {
	stream assay.StreamID
	epoch  uint32
	number uint64
}

// pastBatch is what is known of one.
type pastBatch struct {
	hash        evidence.Hash
	position    int64
	committedAt time.Time
}

// readPast looks up the batches whose numbers are not above their stream's
// locked head: replays, or forks.
func (p *plan) readPast(ctx context.Context, tx pgx.Tx) error {
	var ids []assay.StreamID
	var epochs []int32
	var numbers []int64
	for _, b := range p.batches {
		stream := p.streams[assay.StreamID(b.Header.Stream)]
		if stream == nil || b.Header.Epoch != stream.head.Epoch || b.Header.Number > stream.head.Number {
			continue
		}
		ids, epochs, numbers = append(ids, stream.head.Stream), append(epochs, int32(b.Header.Epoch)), append(numbers, int64(b.Header.Number))
	}
	if len(ids) > 0 {
		rows, err := tx.Query(ctx, `SELECT b.stream_id, b.epoch, b.number, b.position, b.received_at, b.header
			FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS q (stream_id, epoch, number)
			JOIN batch b USING (stream_id, epoch, number)`, uuids(ids), epochs, numbers)
		if err := p.collectPast(rows, err); err != nil {
			return err
		}
	}
	return p.readForks(ctx, tx)
}

func (p *plan) collectPast(rows pgx.Rows, err error) error {
	if err != nil {
		return fmt.Errorf("reading past batches: %w", err)
	}
	var stream [16]byte
	var epoch int32
	var number, position int64
	var receivedAt time.Time
	var header []byte
	_, err = pgx.ForEachRow(rows, []any{&stream, &epoch, &number, &position, &receivedAt, &header}, func() error {
		p.past[pastKey{stream, uint32(epoch), uint64(number)}] = pastBatch{evidence.HashHeader(header), position, receivedAt.UTC()}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading past batches: %w", err)
	}
	return nil
}

// readForks looks up which of the batches are kept as forks already. All are
// asked for that do not plainly continue their stream, which is rare.
func (p *plan) readForks(ctx context.Context, tx pgx.Tx) error {
	var ids []assay.StreamID
	var epochs []int32
	var numbers []int64
	var headers [][]byte
	heads := map[assay.StreamID]assay.Head{}
	for _, b := range p.batches {
		id := assay.StreamID(b.Header.Stream)
		stream := p.streams[id]
		if stream == nil {
			continue
		}
		head, ok := heads[id]
		if !ok {
			head = stream.head
		}
		if head.Continues(&b.Header) {
			heads[id] = head.After(&b.Header, b.Hash)
			continue
		}
		ids, epochs, numbers, headers = append(ids, id), append(epochs, int32(b.Header.Epoch)), append(numbers, int64(b.Header.Number)), append(headers, b.HeaderBytes)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT f.header FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bytea[]) AS q (stream_id, epoch, number, header)
		JOIN fork f USING (stream_id, epoch, number, header)`, uuids(ids), epochs, numbers, headers)
	if err != nil {
		return fmt.Errorf("reading forks: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return fmt.Errorf("reading forks: %w", err)
	}
	for _, header := range known {
		p.knownForks[evidence.HashHeader(header)] = true
	}
	return nil
}
