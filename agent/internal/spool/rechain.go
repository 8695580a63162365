package spool

import (
	"errors"
	"fmt"
	"slices"

	"github.com/assay-audit/assay/proto/evidence"
)

// Grant is an epoch that the server opened for this stream.
type Grant struct {
	Stream evidence.StreamID
	Epoch  uint32
	// OpeningHash is the Previous of the first header; Opening its canonical
	// record, nil where only the hash is known.
	OpeningHash  evidence.Hash
	Opening      []byte
	NextSequence uint64
}

// From says what of the old chain is to be sent again in the new epoch.
type From struct {
	// After the batch that the server holds, where Locate found it.
	Stream evidence.StreamID
	Epoch  uint32
	Number uint64
	Hash   evidence.Hash
	// Everything still held, because the server holds nothing of this chain.
	Everything bool
	// Otherwise, where After is not found: everything never acknowledged.
}

// Rechain makes the granted epoch the current one and moves into it every batch
// that the server does not hold: new headers, same events, sequences that go on
// from the grant without a hole. Batches that the server holds stay, as what
// they were, until Reclaim may delete them.
//
// The new segments are complete and durable before the state that names them is
// renamed into place; a crash before that leaves the old chain, a crash after
// it the new one. It needs as much free disk as the moved batches take, and
// fails without effect where there is less.
func (s *Spool) Rechain(grant Grant, from From) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	after := s.moveAfter(from)
	old := s.current()
	g := &generation{
		ID: old.ID + 1, Granted: true, Epoch: grant.Epoch, Opening: grant.Opening,
		stream: grant.Stream, opening: grant.OpeningHash,
	}
	g.setTexts()
	moved, err := s.move(g, after, chainPoint{Hash: grant.OpeningHash, Sequence: grant.NextSequence})
	if err != nil {
		return fmt.Errorf("moving batches into epoch %d: %w", grant.Epoch, err)
	}
	return s.take(g, moved, after)
}

func (s *Spool) moveAfter(from From) mark {
	if !from.Everything {
		if m, ok := s.locate(from.Stream, from.Epoch, from.Number, from.Hash); ok {
			return m
		}
		return mark{generation: s.current().ID, number: s.current().Committed}
	}
	return mark{generation: s.generations[0].ID, number: s.segments[0].base.Number}
}

// move writes the segments of a new generation. On failure none is left.
func (s *Spool) move(g *generation, after mark, point chainPoint) ([]*segment, error) {
	w := mover{spool: s, g: g, point: point}
	err := w.next()
	if err == nil {
		err = s.each(after, w.batch)
	}
	if err == nil {
		err = w.finish()
	} else if w.file != nil {
		err = errors.Join(err, w.file.Close())
	}
	if err != nil {
		for _, seg := range w.segments {
			_ = s.files.Remove(s.path(seg.name()))
		}
		return nil, err
	}
	return w.segments, nil
}

// mover writes re-chained batches into segments of their new generation.
type mover struct {
	spool    *Spool
	g        *generation
	point    chainPoint
	segments []*segment
	file     File
}

func (w *mover) next() error {
	if err := w.finish(); err != nil {
		return err
	}
	seg, f, err := w.spool.createSegment(w.g, w.point)
	if err != nil {
		return err
	}
	w.segments, w.file = append(w.segments, seg), f
	return nil
}

func (w *mover) finish() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Sync(), w.file.Close())
	w.file = nil
	return err
}

func (w *mover) batch(b Batch) error {
	h := b.Header
	h.Stream, h.Epoch = w.g.stream, w.g.Epoch
	h.Number, h.Previous, h.FirstSequence = w.point.Number+1, w.point.Hash, w.point.Sequence
	frame, point, err := w.spool.sealed(nil, &h, b.HeadSignature != nil, b.Payload, b.progress)
	if err != nil {
		return err
	}
	seg := w.segments[len(w.segments)-1]
	if seg.last.Number > seg.base.Number && seg.size+int64(len(frame)) > w.spool.cfg.SegmentSize {
		if err := w.next(); err != nil {
			return err
		}
		seg = w.segments[len(w.segments)-1]
	}
	if _, err := w.file.WriteAt(frame, seg.size); err != nil {
		return err
	}
	seg.size += int64(len(frame))
	seg.last, w.point = point, point
	return nil
}

// take switches to the new generation. The rename in save is the moment.
func (s *Spool) take(g *generation, moved []*segment, after mark) error {
	file, err := s.files.Open(s.path(moved[len(moved)-1].name()), true)
	if err != nil {
		return fmt.Errorf("opening segment: %w", err)
	}
	generations, segments := s.generations, s.segments
	kept, gone := s.split(after)
	s.generations = append(s.generationsEndingAt(after, kept), g)
	s.segments = append(slices.Clone(kept), moved...)
	if err := s.save(); err != nil {
		s.generations, s.segments = generations, segments
		if errors.Is(err, errUncertain) {
			// A crash may bring either chain back. Going on with one would lose
			// what is appended to it if the other returns, so nothing goes on here:
			// the next Open reads which one it is.
			s.closed = true
			if s.active != nil {
				s.abandon()
			}
		}
		return errors.Join(err, file.Close())
	}
	if s.active != nil {
		s.abandon()
	}
	s.active = file
	clear(s.sent)
	s.bytes = 0
	for _, seg := range s.segments {
		s.bytes += seg.size
	}
	for _, seg := range gone {
		// A file that stays is ignored from now on, and removed by the next Open.
		if err := removeIfThere(s.files, s.path(seg.name())); err != nil {
			s.cfg.Log.Warn("deleting superseded segment failed", "segment", seg.name(), "error", err)
		}
	}
	wake(s.space)
	wake(s.changed)
	return nil
}

// split tells the segments that keep a live batch from those that do not. A
// segment that is cut by after is kept, as a copy that ends there.
func (s *Spool) split(after mark) (kept, gone []*segment) {
	for _, seg := range s.segments {
		switch {
		case seg.generation > after.generation || seg.generation == after.generation && seg.base.Number >= after.number:
			gone = append(gone, seg)
		case seg.generation == after.generation && seg.last.Number > after.number:
			short := *seg
			hash, _ := s.hashOf(s.generation(seg.generation), after.number)
			short.last, short.committedAt = chainPoint{Number: after.number, Hash: hash}, 0
			kept = append(kept, &short)
		default:
			kept = append(kept, seg)
		}
	}
	return kept, gone
}

// generationsEndingAt returns copies of those that keep a segment.
func (s *Spool) generationsEndingAt(after mark, kept []*segment) []*generation {
	var generations []*generation
	for _, old := range s.generations {
		if !slices.ContainsFunc(kept, func(seg *segment) bool { return seg.generation == old.ID }) {
			continue
		}
		g := *old
		switch {
		case g.ID == after.generation:
			g.End = after.number
		case g.ID == s.current().ID:
			g.End = s.head().Number
		}
		generations = append(generations, &g)
	}
	return generations
}

func (s *Spool) generation(id uint32) *generation {
	for _, g := range s.generations {
		if g.ID == id {
			return g
		}
	}
	return nil
}
