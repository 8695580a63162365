package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// plan is what is to become of the batches of one transaction. It is made under
// the locks of their streams, so that what it says is so.
type plan struct {
	batches    []*assay.Batch
	sealed     [][]byte // their payloads as they are stored
	receipts   []assay.Receipt
	streams    map[assay.StreamID]*lockedStream
	past       map[pastKey]pastBatch
	knownForks map[evidence.Hash]bool // by header hash

	// committed and forked are indexes of batches; leaves go with them, the leaf
	// of batch i at offsets[i] after the first position taken.
	committed, forked []int
	leaves            []evidence.Leaf
	offsets           map[int]int64
	taken             positions
}

// lockedStream is a stream's row, and its head as the plan moves it.
type lockedStream struct {
	old, head assay.Head
	lane      int16
	revoked   bool
	offset    int64 // of the newest batch's leaf
}

func newPlan(batches []*assay.Batch) *plan {
	return &plan{
		batches: batches, receipts: make([]assay.Receipt, len(batches)),
		streams: map[assay.StreamID]*lockedStream{}, past: map[pastKey]pastBatch{},
		knownForks: map[evidence.Hash]bool{}, offsets: map[int]int64{},
	}
}

// lock locks the streams of the batches in id order: any two transactions that
// share streams meet at the first, and cannot wait for each other crosswise.
func (p *plan) lock(ctx context.Context, tx pgx.Tx) error {
	ids := make([]assay.StreamID, 0, len(p.batches))
	for _, b := range p.batches {
		ids = append(ids, assay.StreamID(b.Header.Stream))
	}
	slices.SortFunc(ids, func(a, b assay.StreamID) int { return slices.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	rows, err := tx.Query(ctx, `SELECT lane, revoked, `+headColumns+` FROM stream WHERE id = ANY ($1) ORDER BY id FOR UPDATE`, uuids(ids))
	if err != nil {
		return fmt.Errorf("locking streams: %w", err)
	}
	var r headRow
	var lane int16
	var revoked bool
	_, err = pgx.ForEachRow(rows, append([]any{&lane, &revoked}, r.into()...), func() error {
		head := r.finish()
		p.streams[head.Stream] = &lockedStream{old: head, head: head, lane: lane, revoked: revoked}
		return nil
	})
	if err != nil {
		return fmt.Errorf("locking streams: %w", err)
	}
	return nil
}

// judge decides on each batch in order.
func (p *plan) judge() {
	for i, b := range p.batches {
		stream := p.streams[assay.StreamID(b.Header.Stream)]
		receipt := &p.receipts[i]
		switch {
		case stream == nil || stream.head.Agent != b.Agent:
			*receipt = assay.Receipt{Outcome: assay.Refused, Reason: "the stream is not this agent's"}
			continue
		case stream.revoked:
			*receipt = assay.Receipt{Outcome: assay.Refused, Reason: "the agent is revoked"}
			continue
		case stream.head.Continues(&b.Header):
			p.commit(i, stream)
		default:
			p.judgeOther(i, stream)
		}
		receipt.Head = stream.head
	}
}

func (p *plan) commit(i int, stream *lockedStream) {
	b := p.batches[i]
	leaf := batchLeaf(b)
	p.record(i, evidence.LeafBatch, leaf.Canonical())
	p.committed = append(p.committed, i)
	p.receipts[i].Outcome = assay.Committed
	stream.head = stream.head.After(&b.Header, b.Hash)
	stream.offset = p.offsets[i]
	p.past[pastKey{stream.head.Stream, b.Header.Epoch, b.Header.Number}] = pastBatch{hash: b.Hash, position: notYet - stream.offset}
}

// authentic holds the time that was taken against the certificates of what is to be
// recorded at it.
func (p *plan) authentic() error {
	for _, i := range slices.Concat(p.committed, p.forked) {
		b := p.batches[i]
		if p.taken.at.Before(b.CertificateFrom) || !b.CertificateUntil.IsZero() && p.taken.at.After(b.CertificateUntil) {
			return assay.Errorf(assay.Unauthentic, "batch %d came by a certificate that is not valid at %s, the server's time",
				b.Header.Number, p.taken.at.Format(time.RFC3339))
		}
	}
	return nil
}

// notYet - offset stands for a position that this transaction has yet to take.
const notYet = -1

// judgeOther decides on a batch that does not continue the head.
func (p *plan) judgeOther(i int, stream *lockedStream) {
	b, receipt := p.batches[i], &p.receipts[i]
	header, head := &b.Header, &stream.head
	switch {
	case header.Kind != head.Kind:
		receipt.Outcome, receipt.Reason = assay.Refused, fmt.Sprintf("the stream is %s, the header says %s", head.Kind, header.Kind)
	case header.Epoch != head.Epoch || header.Number > head.Number+1:
		// Of a past epoch there is nothing to say either: the epoch that followed
		// has settled where it ended.
		receipt.Outcome = assay.Missing
	case header.Number == head.Number+1 && header.Previous == head.Hash:
		p.fork(i, stream, fmt.Sprintf("first sequence is %d, not %d", header.FirstSequence, head.NextSequence))
	case header.Number == head.Number+1:
		p.fork(i, stream, "previous hash is not that of the acknowledged head")
	default:
		past, ok := p.past[pastKey{head.Stream, header.Epoch, header.Number}]
		switch {
		case !ok:
			receipt.Outcome = assay.Missing // its row is archived: nothing to compare with
		case past.hash == b.Hash:
			receipt.Outcome, receipt.Position, receipt.CommittedAt = assay.Replayed, past.position, past.committedAt
		default:
			p.fork(i, stream, "another batch of this number is acknowledged")
		}
	}
}

func (p *plan) fork(i int, stream *lockedStream, reason string) {
	b := p.batches[i]
	p.receipts[i].Outcome, p.receipts[i].Reason = assay.Forked, reason
	if p.knownForks[b.Hash] {
		return // kept already; saying so again is enough
	}
	p.knownForks[b.Hash] = true
	body, err := evidence.Encode(evidence.ForkRecord{
		Agent: evidence.ID(b.Agent), Stream: evidence.ID(b.Header.Stream), Epoch: b.Header.Epoch, Number: b.Header.Number,
		Header: b.Hash, HeadSignature: evidence.HashSignature(b.HeadSignature),
		Acknowledged: stream.head.Hash, AcknowledgedNumber: stream.head.Number, Reason: reason,
	})
	if err != nil {
		// A plain struct of fixed size always encodes.
		p.receipts[i] = assay.Receipt{Outcome: assay.Refused, Reason: "the fork cannot be recorded"}
		return
	}
	p.record(i, evidence.LeafFork, body)
	p.forked = append(p.forked, i)
}

func (p *plan) record(i int, kind evidence.LeafKind, body []byte) {
	p.offsets[i] = int64(len(p.leaves))
	p.leaves = append(p.leaves, evidence.Leaf{Kind: kind, Body: body})
}

// moved are the streams whose heads move, in id order.
func (p *plan) moved() []*lockedStream {
	var moved []*lockedStream
	for _, stream := range p.streams {
		if stream.head.Number != stream.old.Number {
			moved = append(moved, stream)
		}
	}
	slices.SortFunc(moved, func(a, b *lockedStream) int {
		return slices.Compare(a.head.Stream[:], b.head.Stream[:])
	})
	return moved
}

// place fills in positions and times once they are taken.
func (p *plan) place() {
	newest := map[assay.StreamID]*assay.Receipt{}
	for i := range p.receipts {
		r := &p.receipts[i]
		id := assay.StreamID(p.batches[i].Header.Stream)
		switch {
		case r.Outcome == assay.Committed || r.Outcome == assay.Forked && slices.Contains(p.forked, i):
			r.Position, r.CommittedAt = p.taken.first+p.offsets[i], p.taken.at
		case r.Outcome == assay.Replayed && r.Position <= notYet:
			// A second copy within this very transaction.
			r.Position, r.CommittedAt = p.taken.first+notYet-r.Position, p.taken.at
		}
		if r.Outcome == assay.Committed {
			newest[id] = r
		}
		if last := newest[id]; last != nil {
			r.Head.Position, r.Head.CommittedAt = last.Position, last.CommittedAt
		}
	}
}

func batchLeaf(b *assay.Batch) evidence.BatchLeaf {
	return evidence.BatchLeaf{
		Agent: b.Agent, Stream: b.Header.Stream, Epoch: b.Header.Epoch, Number: b.Header.Number,
		Header: b.Hash, HeadSignature: evidence.HashSignature(b.HeadSignature),
	}
}
