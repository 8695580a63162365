package uplink

import (
	"errors"
	"fmt"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// lane is one stream within a session.
type lane struct {
	kind  evidence.StreamKind
	spool *spool.Spool

	cursor   *spool.Cursor   // nil: nothing may be sent now
	next     *spool.Batch    // read and not yet sent
	paced    bool            // Pace was asked about next
	permit   <-chan struct{} // what Pace said; nil: next may be sent
	inflight []sent
	bytes    int // of inflight
	// stale is how many Resends may still come for batches sent before the last one.
	stale int
	// opening is set from OpenEpoch to EpochOpened; from says what moves.
	opening bool
	from    spool.From
	// lostFrom to lostTo are batches that the server, which was restored, lacks and
	// that are not held here any more; 0: none.
	lostFrom, lostTo uint64
	// idle: the server knows no stream and there is nothing to send yet.
	idle bool
}

type sent struct {
	number uint64
	hash   evidence.Hash
	size   int
	events uint32
	at     time.Time
}

// reset forgets what was sent and not acknowledged.
func (l *lane) reset() {
	if l.cursor != nil {
		_ = l.cursor.Close()
	}
	l.cursor, l.next, l.inflight, l.bytes = nil, nil, nil, 0
	l.paced, l.permit = false, nil
}

// seek makes number+1 the next batch to be sent.
func (l *lane) seek(number uint64) error {
	l.reset()
	cursor, err := l.spool.Cursor(number)
	if err != nil {
		return fmt.Errorf("reading %s spool from batch %d: %w", l.kind, number+1, err)
	}
	l.cursor = cursor
	return nil
}

// permitted asks Pace about the next batch, once, and reports whether it may be
// sent now.
func (l *lane) permitted(pace func(events uint32, bytes int) <-chan struct{}) bool {
	if pace != nil && !l.paced {
		l.paced, l.permit = true, pace(l.next.Header.EventCount, l.next.Size())
	}
	if l.permit == nil {
		return true
	}
	select {
	case <-l.permit:
		l.permit = nil
	default:
	}
	return l.permit == nil
}

// head is a Head frame, checked.
type head struct {
	stream   evidence.StreamID
	epoch    uint32
	number   uint64
	hash     evidence.Hash
	sequence uint64
}

func parseHead(h *agentv1.Head) (head, error) {
	out := head{epoch: h.GetEpoch(), number: h.GetNumber(), sequence: h.GetNextSequence()}
	if len(h.GetStreamId()) != len(out.stream) || len(h.GetHash()) != len(out.hash) || out.epoch == 0 {
		return head{}, errors.New("the server sent a head without stream, epoch or hash")
	}
	copy(out.stream[:], h.GetStreamId())
	copy(out.hash[:], h.GetHash())
	return out, nil
}

// reconcile compares what the server has of a stream with what is held here,
// and decides how it goes on: from the next batch, or in a new epoch.
func (s *session) reconcile(l *lane, stated *agentv1.Head) error {
	l.reset()
	l.idle, l.opening, l.lostFrom, l.lostTo = false, false, 0, 0
	mine := l.spool.Head()
	if stated == nil {
		if !mine.Granted && mine.Number == 0 {
			l.idle = true
			return nil
		}
		return s.open(l, "first", spool.From{Everything: true})
	}
	h, err := parseHead(stated)
	if err != nil {
		return err
	}
	found, current := l.spool.Locate(h.stream, h.epoch, h.number, h.hash)
	from := spool.From{Stream: h.stream, Epoch: h.epoch, Number: h.number, Hash: h.hash}
	switch {
	case current:
		return s.proceed(l, h, mine, from)
	case found:
		// The server is back in an epoch that was over: it was restored.
		return s.open(l, "rollback", from)
	}
	from = spool.From{Everything: s.behind(h, mine)}
	if from.Everything && h.stream == mine.Stream {
		l.lostFrom, l.lostTo = l.spool.Lost(h.stream, h.epoch, h.number)
	}
	switch {
	case h.number == 0 && (!mine.Granted || h.stream != mine.Stream || h.epoch > mine.Epoch):
		// An epoch was granted and the answer got lost. It is still empty: take it.
		return s.adopt(l, h, nil, from)
	case !mine.Granted:
		reason := "first"
		if s.u.State().Opened {
			reason = "spool_lost"
		}
		return s.open(l, reason, from)
	}
	return s.open(l, "rollback", from)
}

// behind reports whether a server with head h lacks batches of ours that it
// once had, so that all that is still held must be sent again.
func (s *session) behind(h head, mine spool.Head) bool {
	switch {
	case !mine.Granted || h.stream != mine.Stream:
		return true
	case h.epoch != mine.Epoch:
		return h.epoch < mine.Epoch
	}
	return h.number < mine.Committed
}

// proceed goes on behind a head that this spool holds.
func (s *session) proceed(l *lane, h head, mine spool.Head, from spool.From) error {
	if h.number < mine.Committed {
		s.u.cfg.Log.Warn("the server has gone back: batches are sent again",
			"stream", l.kind.String(), "committed", mine.Committed, "server_has", h.number)
		l.spool.Restored(h.number)
	} else if h.number > 0 {
		now := evidence.Ticks(s.serverNow())
		if err := l.spool.Committed(h.stream, h.epoch, h.number, h.hash, 0, now); err != nil {
			return err
		}
		s.acked(l)
	}
	if l.spool.Broken() {
		return s.open(l, "spool_lost", from)
	}
	return l.seek(h.number)
}

// open asks for a new epoch. What the acks said is saved first: should the
// answer get lost, the next session goes by it.
func (s *session) open(l *lane, reason string, from spool.From) error {
	l.reset()
	if err := l.spool.Flush(); err != nil {
		return err
	}
	l.opening, l.from, l.idle = true, from, false
	s.u.cfg.Log.Info("asking for a new epoch", "stream", l.kind.String(), "reason", reason)
	return s.send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_OpenEpoch{OpenEpoch: &agentv1.OpenEpoch{
		Kind: agentv1.StreamKind(l.kind), Reason: reason, BootId: s.u.cfg.BootID, LostFrom: l.lostFrom, LostTo: l.lostTo,
	}}})
}

// adopt moves the spool into a granted, empty epoch.
func (s *session) adopt(l *lane, h head, opening []byte, from spool.From) error {
	err := l.spool.Rechain(spool.Grant{
		Stream: h.stream, Epoch: h.epoch, OpeningHash: h.hash, Opening: opening, NextSequence: h.sequence,
	}, from)
	if err != nil {
		return err
	}
	l.opening, l.stale = false, 0
	if !s.u.State().Opened {
		if err := s.u.saveState(func(st *State) { st.Opened = true }); err != nil {
			return err
		}
	}
	s.u.cfg.Log.Info("epoch begins", "stream", l.kind.String(), "epoch", h.epoch)
	return l.seek(0)
}

// opened takes a granted epoch after checking that its record is what its hash
// is of.
func (s *session) opened(o *agentv1.EpochOpened) error {
	h, err := parseHead(o.GetHead())
	if err != nil {
		return err
	}
	l := s.laneOf(evidence.StreamKind(o.GetHead().GetKind()))
	if l == nil || !l.opening {
		return nil // not asked for, or asked for by a session before
	}
	opening, err := evidence.ParseOpening(o.GetOpening())
	if err != nil {
		return fmt.Errorf("reading epoch opening: %w", err)
	}
	if evidence.HashOpening(o.GetOpening()) != h.hash || opening.Stream != h.stream || opening.Epoch != h.epoch || h.number != 0 {
		return errors.New("the server's epoch opening is not the one that its head names")
	}
	return s.adopt(l, h, o.GetOpening(), l.from)
}

func (s *session) laneOf(kind evidence.StreamKind) *lane {
	for _, l := range s.lanes {
		if l.kind == kind {
			return l
		}
	}
	return nil
}
