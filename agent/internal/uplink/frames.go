package uplink

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// hurryEvery bounds how often a spool that fills up asks for a checkpoint; the
// server signs one a second.
const hurryEvery = time.Second

// pump sends batches while the window has room and they are permitted, control
// before bulk before import.
func (s *session) pump() error {
	s.permit = nil
	for {
		l, err := s.ready()
		if err != nil || l == nil {
			return err
		}
		b := l.next
		count, total := 0, 0
		for _, other := range s.lanes {
			count, total = count+len(other.inflight), total+other.bytes
		}
		// A batch larger than the window goes alone.
		if count >= s.window || count > 0 && total+b.Size() > s.windowBytes {
			return nil
		}
		if !l.permitted(s.u.cfg.Pace) {
			s.permit = l.permit
			return nil
		}
		frame := &agentv1.Batch{Header: b.Canonical, Payload: b.Payload, HeadSignature: b.HeadSignature}
		if err := s.send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{Batch: frame}}); err != nil {
			return err
		}
		l.inflight = append(l.inflight, sent{number: b.Header.Number, hash: b.Hash, size: b.Size(), events: b.Header.EventCount, at: s.u.cfg.Now()})
		l.bytes += b.Size()
		l.next, l.paced = nil, false
	}
}

// ready returns the most urgent lane with a batch to send, nil for none.
func (s *session) ready() (*lane, error) {
	for _, l := range s.lanes {
		if l.idle && l.spool.Head().Number > 0 {
			if err := s.open(l, "first", spool.From{Everything: true}); err != nil {
				return nil, err
			}
		}
		if l.cursor == nil {
			continue
		}
		if l.next == nil {
			b, err := l.cursor.Next()
			switch {
			case errors.Is(err, spool.ErrEnd):
				continue
			case errors.Is(err, spool.ErrBroken):
				if err := s.broken(l); err != nil {
					return nil, err
				}
				continue
			case err != nil:
				return nil, fmt.Errorf("reading %s spool: %w", l.kind, err)
			}
			l.next = &b
		}
		return l, nil
	}
	return nil, nil
}

// broken goes on in a new epoch once everything before the break is
// acknowledged: those batches need not move.
func (s *session) broken(l *lane) error {
	if len(l.inflight) > 0 {
		return nil
	}
	s.u.cfg.Log.Error("the spool lost batches, the rest goes on in a new epoch", "stream", l.kind.String())
	return s.open(l, "spool_lost", spool.From{})
}

func (s *session) handle(frame *agentv1.ConnectResponse) error {
	switch f := frame.GetFrame().(type) {
	case *agentv1.ConnectResponse_Ack:
		return s.ack(f.Ack)
	case *agentv1.ConnectResponse_Resend:
		return s.resend(f.Resend)
	case *agentv1.ConnectResponse_Forked:
		return s.forked(f.Forked)
	case *agentv1.ConnectResponse_EpochOpened:
		return s.opened(f.EpochOpened)
	case *agentv1.ConnectResponse_Checkpoint:
		return s.checkpoint(f.Checkpoint)
	case *agentv1.ConnectResponse_Drain:
		return s.drain(f.Drain)
	}
	return nil // of a newer server
}

// ack takes an acknowledgement: its hash must be that of the batch we sent.
func (s *session) ack(a *agentv1.Ack) error {
	var l *lane
	var mine spool.Head
	for _, candidate := range s.lanes {
		h := candidate.spool.Head()
		if h.Granted && bytes.Equal(h.Stream[:], a.GetStreamId()) && h.Epoch == a.GetEpoch() {
			l, mine = candidate, h
		}
	}
	if l == nil {
		return nil // of an epoch that is over
	}
	var hash evidence.Hash
	if len(a.GetHash()) != len(hash) {
		return errors.New("the server sent an acknowledgement without a hash")
	}
	copy(hash[:], a.GetHash())
	if a.GetNumber() > mine.Committed {
		err := l.spool.Committed(mine.Stream, mine.Epoch, a.GetNumber(), hash, a.GetPosition(), a.GetCommittedAt())
		if errors.Is(err, spool.ErrMismatch) {
			// It speaks of a chain that is not ours; nothing may be deleted on it.
			return fmt.Errorf("the server acknowledged batch %d of the %s stream under another hash", a.GetNumber(), l.kind)
		}
		if err != nil {
			return err
		}
	}
	n, now := 0, s.u.cfg.Now()
	for n < len(l.inflight) && l.inflight[n].number <= a.GetNumber() {
		l.bytes -= l.inflight[n].size
		if s.u.cfg.Settled != nil {
			s.u.cfg.Settled(l.inflight[n].events, now.Sub(l.inflight[n].at))
		}
		n++
	}
	l.inflight = l.inflight[n:]
	l.spool.Safe(mine.Stream, mine.Epoch, a.GetSafeNumber())
	s.acked(l)
	return s.hurry(l)
}

// hurry asks for a checkpoint at once where a spool that fills up waits for it.
func (s *session) hurry(l *lane) error {
	st := l.spool.Stats()
	if s.asked || st.Bytes < st.Limit/2 || st.Covered == st.Committed || s.u.State().Fork != "" ||
		s.u.cfg.Now().Sub(s.askedAt) < hurryEvery {
		return nil
	}
	return s.ask(false)
}

func (s *session) acked(l *lane) {
	s.dirty = true
	if s.u.cfg.Acked != nil {
		s.u.cfg.Acked(l.kind)
	}
}

// resend goes back to what the server has. Every batch in flight behind a hole
// may cause a Resend of its own; only the first one counts.
func (s *session) resend(r *agentv1.Resend) error {
	l := s.laneOf(evidence.StreamKind(r.GetHead().GetKind()))
	if l == nil || l.opening {
		return nil
	}
	if l.stale > 0 {
		l.stale--
		return nil
	}
	stale := -1 // this one
	for _, b := range l.inflight {
		if b.number > r.GetHead().GetNumber()+1 {
			stale++
		}
	}
	if err := s.reconcile(l, r.GetHead()); err != nil {
		return err
	}
	l.stale = max(stale, 0)
	return nil
}

// forked opens a new epoch: the server keeps both chains and goes on with the
// acknowledged one.
func (s *session) forked(f *agentv1.Forked) error {
	l := s.laneOf(evidence.StreamKind(f.GetHead().GetKind()))
	if l == nil || l.opening {
		return nil
	}
	h, err := parseHead(f.GetHead())
	if err != nil {
		return err
	}
	s.u.cfg.Log.Error("the server holds another chain of this stream: this host's state was rolled back or copied",
		"stream", l.kind.String(), "batch", f.GetNumber(), "message", oneLine(f.GetMessage()))
	from := spool.From{Stream: h.stream, Epoch: h.epoch, Number: h.number, Hash: h.hash}
	if found, _ := l.spool.Locate(h.stream, h.epoch, h.number, h.hash); !found {
		from = spool.From{Everything: s.behind(h, l.spool.Head())}
	}
	return s.open(l, "rollback", from)
}

// upkeep saves what was learnt, deletes what may be deleted, and asks for a
// checkpoint where one is all that deletion waits for.
func (s *session) upkeep() error {
	s.save()
	s.reclaim()
	for _, l := range s.lanes {
		if len(l.inflight) > 0 && s.u.cfg.Now().Sub(l.inflight[0].at) > s.u.cfg.AckTimeout {
			return fmt.Errorf("no acknowledgement of the %s stream for %s", l.kind, s.u.cfg.AckTimeout)
		}
	}
	for _, l := range s.lanes {
		if err := s.hurry(l); err != nil {
			return err
		}
	}
	pause := 3 * s.u.cfg.Upkeep
	if s.asked {
		pause = time.Minute // it may have been dropped
	}
	if s.u.cfg.Now().Sub(s.askedAt) < pause {
		return nil
	}
	for _, l := range s.lanes {
		st := l.spool.Stats()
		if st.Committed > st.Covered && (st.Segments > 1 || st.Covered == 0) && s.u.State().Fork == "" {
			return s.ask(false)
		}
	}
	return nil
}

func (s *session) reclaim() {
	if s.u.State().Fork != "" {
		return // a ledger that contradicts itself has not kept what it acknowledged
	}
	now := s.serverNow()
	for _, l := range s.lanes {
		freed, err := l.spool.Reclaim(now, s.safeAfter)
		if err != nil {
			s.u.cfg.Log.Warn("deleting acknowledged batches failed", "stream", l.kind.String(), "error", err)
		} else if freed > 0 {
			s.u.cfg.Log.Debug("deleted acknowledged batches", "stream", l.kind.String(), "bytes", freed)
		}
	}
}
