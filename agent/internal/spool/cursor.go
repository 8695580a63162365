package spool

import (
	"errors"
	"fmt"
	"io"

	"github.com/assay-audit/assay/proto/evidence"
)

var (
	// ErrEnd: the cursor is at the head. Changed tells when to look again.
	ErrEnd = errors.New("no further batch")
	// ErrBroken: the next batch is lost. What is behind it can only be sent in a
	// new epoch (Rechain).
	ErrBroken = errors.New("the chain is broken on disk")
	// ErrSuperseded: Rechain took over; take a new cursor.
	ErrSuperseded = errors.New("the chain has gone on in a new epoch")
	// ErrGone: the batch was deleted.
	ErrGone = errors.New("batch is no longer held")
)

// Cursor reads the current generation in order. It belongs to one goroutine.
type Cursor struct {
	spool      *Spool
	generation uint32
	number     uint64 // of the last batch read

	file   File // of the segment named below, nil: not open
	name   string
	offset int64 // of the next frame in file
}

// Cursor returns one whose Next is batch number+1 of the current generation.
func (s *Spool) Cursor(number uint64) (*Cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.firstOf(s.current().ID)
	if number < first.base.Number || number > s.head().Number {
		return nil, ErrGone
	}
	clear(s.sent)
	return &Cursor{spool: s, generation: s.current().ID, number: number}, nil
}

func (s *Spool) firstOf(generation uint32) *segment {
	for _, seg := range s.segments {
		if seg.generation == generation {
			return seg
		}
	}
	return nil
}

// Close gives the file back.
func (c *Cursor) Close() error {
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file = nil
	return err
}

// holding is the segment that holds the cursor's next batch.
func (s *Spool) holding(generation uint32, number uint64) *segment {
	for i := len(s.segments) - 1; i >= 0; i-- {
		seg := s.segments[i]
		if seg.generation == generation && number > seg.base.Number {
			if number > seg.last.Number {
				return nil
			}
			return seg
		}
	}
	return nil
}

// Next returns the next durable batch: ErrEnd at the head, ErrBroken before a
// lost one, ErrSuperseded after a Rechain. Its bytes are the caller's.
func (c *Cursor) Next() (Batch, error) {
	s := c.spool
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return Batch{}, ErrClosed
	}
	if s.current().ID != c.generation {
		s.mu.Unlock()
		return Batch{}, ErrSuperseded
	}
	if c.number >= s.head().Number {
		s.mu.Unlock()
		return Batch{}, ErrEnd
	}
	seg := s.holding(c.generation, c.number+1)
	if seg == nil {
		s.mu.Unlock()
		return Batch{}, ErrBroken
	}
	g, base, name, end := s.current(), seg.base, seg.name(), seg.size
	s.mu.Unlock()

	if err := c.seek(g, base, name, end); err != nil {
		return Batch{}, c.damaged(seg, err)
	}
	batch, next, err := readFrame(c.file, c.offset, end)
	if err == nil && (!batch.of(g) || batch.Header.Number != c.number+1) {
		err = errBadFrame
	}
	if err != nil {
		return Batch{}, c.damaged(seg, err)
	}
	c.offset, c.number = next, batch.Header.Number
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current().ID != c.generation {
		return Batch{}, ErrSuperseded
	}
	s.sent[c.number] = batch.Hash
	return batch, nil
}

// seek opens the named segment where it is not yet open, and finds the frame
// of number+1 in it.
func (c *Cursor) seek(g *generation, base chainPoint, name string, end int64) error {
	if c.file != nil && c.name == name {
		return nil
	}
	_ = c.Close()
	f, err := c.spool.files.Open(c.spool.path(name), false)
	if err != nil {
		return fmt.Errorf("opening segment: %w", err)
	}
	c.file, c.name, c.offset = f, name, segmentHeader
	if c.number == base.Number {
		return nil
	}
	found := false
	_, _, _, err = scan(f, g, base, end, func(b Batch, at int64) error {
		if b.Header.Number <= c.number {
			return nil
		}
		found = b.Header.Number == c.number+1
		c.offset = at
		return errStop
	})
	if found {
		return nil
	}
	if err == nil || errors.Is(err, errStop) {
		err = errBadFrame
	}
	return err
}

// damaged turns a frame that was good when it was written into a Loss.
func (c *Cursor) damaged(seg *segment, err error) error {
	_ = c.Close()
	if !errors.Is(err, errBadFrame) {
		return err
	}
	s := c.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current().ID != c.generation || seg.broken {
		return ErrBroken
	}
	f, err := s.files.Open(s.path(seg.name()), false)
	if err != nil {
		return fmt.Errorf("opening segment: %w", err)
	}
	defer func() { _ = f.Close() }()
	last, _, holes, err := scan(f, s.current(), seg.base, seg.size, func(Batch, int64) error { return nil })
	if err != nil {
		return err
	}
	if last.Number < seg.last.Number {
		holes = append(holes, hole{
			first: last.Number + 1, last: seg.last.Number,
			firstSeq: last.Sequence, lastSeq: seg.last.Sequence - 1,
		})
	}
	for _, h := range holes {
		s.lost(s.current(), h)
	}
	seg.broken = true
	return errors.Join(ErrBroken, s.save())
}

// each calls visit for every readable batch of live frames after (generation,
// number), in chain order. It holds no lock: the caller does.
func (s *Spool) each(after mark, visit func(Batch) error) error {
	for _, g := range s.generations {
		if g.ID < after.generation {
			continue
		}
		for _, seg := range s.segments {
			if seg.generation != g.ID {
				continue
			}
			if err := s.eachOf(g, seg, after, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Spool) eachOf(g *generation, seg *segment, after mark, visit func(Batch) error) error {
	if g.ID == after.generation && seg.last.Number <= after.number {
		return nil
	}
	f, err := s.files.Open(s.path(seg.name()), false)
	if err != nil {
		return fmt.Errorf("opening segment: %w", err)
	}
	defer func() { _ = f.Close() }()
	_, _, _, err = scan(f, g, seg.base, seg.size, func(b Batch, _ int64) error {
		if b.Header.Number > seg.last.Number {
			return errStop
		}
		if g.ID == after.generation && b.Header.Number <= after.number {
			return nil
		}
		return visit(b)
	})
	if errors.Is(err, errStop) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// hashOf returns the hash of a batch that is held, or of the point before the
// first one.
func (s *Spool) hashOf(g *generation, number uint64) (evidence.Hash, bool) {
	for _, seg := range s.segments {
		if seg.generation != g.ID {
			continue
		}
		switch {
		case number == seg.base.Number:
			return seg.base.Hash, true
		case number == seg.last.Number:
			return seg.last.Hash, true
		case number < seg.base.Number || number > seg.last.Number:
			continue
		}
		var hash evidence.Hash
		found := false
		err := s.eachOf(g, seg, mark{generation: g.ID, number: number - 1}, func(b Batch) error {
			hash, found = b.Hash, b.Header.Number == number
			return errStop
		})
		return hash, found && err == nil
	}
	return evidence.Hash{}, false
}
