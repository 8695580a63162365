package agentapi

import (
	"context"
	"sync"
	"time"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// session is one agent's open stream.
type session struct {
	server  *Server
	caller  *caller
	out     *outbox
	version string // of the agent, from Hello

	ctx       context.Context
	cancel    context.CancelCauseFunc // ends what waits here; end ends the stream
	transport transportStream
	// drain is closed when the server wants the stream to end in order.
	drain     chan struct{}
	drainOnce sync.Once
	// slots holds a token for each batch that is not settled: the window.
	slots chan struct{}
	// whole holds a token while someone wants all slots.
	whole chan struct{}

	// epochs bounds how often the agent may open one, cosignatures how often it may
	// send one; owned by the receiving goroutine.
	epochs, cosignatures bucket

	mu    sync.Mutex
	tails map[assay.StreamID]*tail // under mu
}

// tail is where a stream stands once all that is under way is committed.
type tail struct {
	head      assay.Head // with what is under way
	committed assay.Head // as the last receipt has it
	// round counts the times that head was thrown away; receipts of an earlier
	// round have nothing to say about this one.
	round int
	// resending: the agent was told to go back and has not yet. dropped counts
	// what it sent meanwhile.
	resending bool
	dropped   int
	// forked: until a new epoch nothing of this stream is taken.
	forked bool
}

func headMessage(h *assay.Head) *agentv1.Head {
	return &agentv1.Head{StreamId: h.Stream[:], Kind: agentv1.StreamKind(h.Kind), Epoch: h.Epoch, Number: h.Number,
		Hash: h.Hash[:], NextSequence: h.NextSequence}
}

func (s *session) setHead(head assay.Head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	round := 0
	if old := s.tails[head.Stream]; old != nil {
		round = old.round + 1
	}
	s.tails[head.Stream] = &tail{head: head, committed: head, round: round}
}

// place is what is to be done with a batch that was received.
type place uint8

const (
	drop    place = iota // nothing: it is known to be of no use
	enqueue              // it continues the stream, or the writer must judge it
	unknown              // there is no such stream
)

// judge places a batch by what is known in memory. It is a guess that keeps the
// useless away from the database; the writer decides under lock.
func (s *session) judge(header *evidence.Header, hash evidence.Hash) (p place, round int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tails[assay.StreamID(header.Stream)]
	switch {
	case t == nil:
		return unknown, 0
	case t.forked:
		s.server.metrics.refused("forked")
		return drop, 0
	case header.Epoch != t.head.Epoch:
		s.server.metrics.refused("epoch")
		s.resend(t)
		return drop, 0
	case header.Number > t.head.Number+1:
		s.server.metrics.refused("hole")
		s.resend(t)
		return drop, 0
	case t.head.Continues(header):
		t.head = t.head.After(header, hash)
	}
	// The agent is back where it was told to go on from.
	t.resending = false
	return enqueue, t.round
}

// resend tells the agent to go on from the committed head: once, and again if
// it does not heed it for a whole window. It is called under mu.
func (s *session) resend(t *tail) {
	if t.resending && t.dropped < cap(s.slots) {
		t.dropped++
		return
	}
	t.resending, t.dropped = true, 0
	s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Resend{Resend: &agentv1.Resend{Head: headMessage(&t.committed)}}})
}

// settle takes the receipt of a batch. It never blocks: the writer calls it.
func (s *session) settle(it *item, r *assay.Receipt) {
	b := it.batch
	s.server.metrics.settled(b, r.Outcome, s.server.cfg.Now().Sub(it.received))
	switch r.Outcome {
	case assay.Committed, assay.Replayed:
		s.acknowledge(b, r)
	case assay.Missing:
		s.missing(it, r)
	case assay.Forked:
		s.forked(b, r)
	case assay.Refused:
		s.server.metrics.refused("refused")
		s.end(assay.Errorf(assay.Denied, "batch %d: %s", b.Header.Number, r.Reason))
	}
}

func (s *session) acknowledge(b *assay.Batch, r *assay.Receipt) {
	s.mu.Lock()
	if t := s.tails[r.Head.Stream]; t != nil && t.committed.Epoch == r.Head.Epoch && t.committed.Number < r.Head.Number {
		t.committed = r.Head
	}
	s.mu.Unlock()
	stream := b.Header.Stream
	ack := &agentv1.Ack{StreamId: stream[:], Epoch: b.Header.Epoch, Number: b.Header.Number, Hash: b.Hash[:],
		Position: uint64(r.Position), CommittedAt: evidence.Ticks(r.CommittedAt)}
	if s.server.cfg.CommitIsSafe {
		// A commit waits for the standby: what is committed is safe.
		ack.SafeNumber = b.Header.Number
	}
	s.out.push(ackFrame(ack))
}

// missing goes back to the head that the database has: another server, or
// another stream of this agent, has moved it.
func (s *session) missing(it *item, r *assay.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tails[r.Head.Stream]
	if t == nil || t.round != it.round {
		return
	}
	t.head, t.committed = r.Head, r.Head
	t.round++
	t.resending = false
	s.resend(t)
}

func (s *session) forked(b *assay.Batch, r *assay.Receipt) {
	s.mu.Lock()
	t := s.tails[r.Head.Stream]
	first := t != nil && !t.forked
	if first {
		t.forked = true
		t.round++
	}
	s.mu.Unlock()
	if !first {
		return
	}
	s.server.cfg.Log.WarnContext(s.ctx, "stream forked", "agent_id", s.caller.agent.ID.String(), "stream_id", r.Head.Stream.String(),
		"epoch", b.Header.Epoch, "number", b.Header.Number, "reason", r.Reason)
	s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Forked{
		Forked: &agentv1.Forked{Head: headMessage(&r.Head), Number: b.Header.Number, Message: r.Reason}}})
}

// acquire takes a place in the window.
func (s *session) acquire(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *session) release() { <-s.slots }

// acquireAll takes all places: then nothing is under way. Only one may try at a
// time, for two would wait for what the other has.
func (s *session) acquireAll(ctx context.Context) error {
	select {
	case s.whole <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for range cap(s.slots) {
		if err := s.acquire(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) releaseAll() {
	for range cap(s.slots) {
		s.release()
	}
	<-s.whole
}

// authentic is nil while the certificate is valid, and for so much longer. Our clock
// may have been set since the handshake: what is recorded by a certificate that is not
// valid then would never verify.
func (s *session) authentic(d time.Duration) error {
	switch now := s.server.cfg.Now(); {
	case now.Before(s.caller.notBefore):
		return assay.Errorf(assay.Unauthentic, "by the server's clock the certificate is not valid yet: connect again when the clocks are right")
	case !now.Add(d).Before(s.caller.notAfter):
		return assay.Errorf(assay.Unauthentic, "the certificate has expired: renew it and connect again")
	}
	return nil
}

// startDrain ends the stream in order, if nothing ends it before. It is called before
// Run waits for the server's goroutines.
func (s *session) startDrain() {
	s.drainOnce.Do(func() {
		close(s.drain)
		s.goroutine(func() {
			s.finish(true)
			s.end(errDrained)
		})
	})
}

func (s *session) goroutine(f func()) { s.server.goroutines.Go(f) }

func (s *session) draining() bool {
	select {
	case <-s.drain:
		return true
	default:
		return false
	}
}
