package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/assay-audit/assay/proto/evidence"
)

// maxHoles bounds the losses and notes kept of one directory.
const maxHoles = 1 << 12

func removeIfThere(files Files, name string) error {
	if err := files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Spool) note(format string, args ...any) {
	if len(s.notes) < maxHoles {
		s.notes = append(s.notes, fmt.Sprintf(format, args...))
	}
}

// onDisk is a segment file found by recovery.
type onDisk struct {
	name string
	gen  generation
	base chainPoint
}

// recover brings a directory, in whatever state a crash left it, to one that
// Append can go on from.
func (s *Spool) recover() error {
	st, err := loadState(s.files, s.cfg.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st = nil
	case errors.Is(err, errBadState):
		s.note("the state file is damaged and was set aside: acknowledgements and progress are taken from the segments, sources may be read again")
		if err := s.files.Rename(s.path(stateName), s.path(stateBad)); err != nil {
			return fmt.Errorf("setting damaged state aside: %w", err)
		}
		st = nil
	case err != nil:
		return err
	case evidence.StreamKind(st.Kind) != s.cfg.Kind:
		return fmt.Errorf("%s holds the %s stream", s.cfg.Dir, evidence.StreamKind(st.Kind))
	}
	found, err := s.findSegments(st)
	if err != nil {
		return err
	}
	if err := s.findGenerations(st, found); err != nil {
		return err
	}
	if st != nil {
		s.losses = st.Losses
		if st.Progress != nil {
			s.progress = st.Progress
		}
	}
	for _, g := range s.generations {
		if err := s.recoverGeneration(g, st, found); err != nil {
			return err
		}
	}
	if err := s.settle(st); err != nil {
		return err
	}
	return s.save()
}

// findSegments lists the readable segments in chain order, and removes what an
// interrupted rechaining or deletion left.
func (s *Spool) findSegments(st *state) ([]onDisk, error) {
	names, err := s.files.List(s.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("listing segments: %w", err)
	}
	slices.Sort(names) // fixed-width hex: the order of names is that of chains
	var found []onDisk
	for _, name := range names {
		id, _, ok := parseName(name)
		if !ok {
			continue
		}
		if st != nil && !slices.ContainsFunc(st.Generations, func(g generation) bool { return g.ID == id }) {
			if err := s.files.Remove(s.path(name)); err != nil {
				return nil, fmt.Errorf("removing left-over segment: %w", err)
			}
			continue
		}
		f, err := s.files.Open(s.path(name), false)
		if err != nil {
			return nil, fmt.Errorf("opening segment: %w", err)
		}
		g, base, err := readSegmentHeader(f, s.cfg.Kind)
		err = errors.Join(err, f.Close())
		if errors.Is(err, errBadSegment) {
			s.note("segment %s has no readable header and was set aside", name)
			if err := s.files.Rename(s.path(name), s.path(name+".bad")); err != nil {
				return nil, fmt.Errorf("setting damaged segment aside: %w", err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found = append(found, onDisk{name: name, gen: g, base: base})
	}
	return found, nil
}

// findGenerations takes them from the state, or else from the segments.
func (s *Spool) findGenerations(st *state, found []onDisk) error {
	switch {
	case st != nil:
		for i := range st.Generations {
			s.generations = append(s.generations, &st.Generations[i])
		}
	case len(found) > 0:
		for _, d := range found {
			if n := len(s.generations); n > 0 && s.generations[n-1].ID == d.gen.ID {
				continue
			}
			g := d.gen
			// What was deleted was committed.
			g.Committed = d.base.Number
			g.End = ^uint64(0)
			if d.base.Number == 0 && g.Granted {
				g.opening = d.base.Hash
			}
			g.setTexts()
			s.generations = append(s.generations, &g)
		}
	default:
		g, err := newProvisional(1)
		if err != nil {
			return err
		}
		s.generations = append(s.generations, g)
	}
	return nil
}

// recoverGeneration scans the segments of g, in order.
func (s *Spool) recoverGeneration(g *generation, st *state, found []onDisk) error {
	mine := slices.DeleteFunc(slices.Clone(found), func(d onDisk) bool { return d.gen.ID != g.ID })
	current := g == s.current()
	for i, d := range mine {
		// A segment that follows is the authority on where this one ended: frames
		// beyond that are what a failed and retried write left.
		until := ^uint64(0)
		if i+1 < len(mine) {
			until = mine[i+1].base.Number
		}
		if !current {
			until = min(until, g.End)
		}
		if i > 0 {
			if previous := s.segments[len(s.segments)-1]; previous.last.Number < d.base.Number {
				s.lost(g, hole{
					first: previous.last.Number + 1, last: d.base.Number,
					firstSeq: previous.last.Sequence, lastSeq: d.base.Sequence - 1, fromTime: s.observed,
				})
				previous.broken = true
			}
		} else if current && d.base.Number > g.Committed {
			s.lost(g, hole{first: g.Committed + 1, last: d.base.Number, lastSeq: d.base.Sequence - 1, fromTime: g.CommittedAt})
		}
		if err := s.recoverSegment(g, st, d, until, current && i == len(mine)-1); err != nil {
			return err
		}
	}
	return nil
}

var errStop = errors.New("stop")

func (s *Spool) recoverSegment(g *generation, st *state, d onDisk, until uint64, active bool) error {
	f, err := s.files.Open(s.path(d.name), active)
	if err != nil {
		return fmt.Errorf("opening segment: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(fmt.Errorf("opening segment: %w", err), f.Close())
	}
	before := s.observed
	last, valid, holes, err := scan(f, g, d.base, size, func(b Batch, _ int64) error {
		if b.Header.Number > until {
			return errStop
		}
		s.observed = b.Header.ObservedTo
		if st == nil || g == s.current() && b.Header.Number > st.Head {
			for _, e := range b.progress {
				s.progress[e.key] = e.position
			}
		}
		return nil
	})
	stopped := errors.Is(err, errStop)
	if err != nil && !stopped {
		return errors.Join(fmt.Errorf("%s: %w", d.name, err), f.Close())
	}
	seg := &segment{generation: g.ID, base: d.base, last: last, size: valid, broken: len(holes) > 0}
	if st != nil {
		seg.committedAt = st.Sealed[d.name]
	}
	for _, h := range holes {
		h.fromTime = cmp.Or(h.fromTime, before)
		s.lost(g, h)
	}
	s.segments = append(s.segments, seg)
	if !active {
		// Its tail, if torn, stays on disk: it counts against the limit.
		seg.size = size
		s.bytes += size
		return f.Close()
	}
	if size > valid {
		s.note("%s: cut a torn tail of %d bytes behind batch %d", d.name, size-valid, last.Number)
		if err := errors.Join(f.Truncate(valid), f.Sync()); err != nil {
			return errors.Join(fmt.Errorf("cutting torn tail: %w", err), f.Close())
		}
	}
	s.active = f
	s.bytes += valid
	return nil
}

// lost records a hole. What the server is known to hold is only a note.
func (s *Spool) lost(g *generation, h hole) {
	s.note("batches %d to %d of generation %d are lost", h.first, h.last, g.ID)
	if g != s.current() || h.last <= g.Committed {
		return
	}
	loss := Loss{
		Kind: s.cfg.Kind, Generation: g.ID, First: h.first, Last: h.last,
		FirstSequence: h.firstSeq, LastSequence: h.lastSeq, From: h.fromTime, To: h.toTime,
	}
	known := slices.ContainsFunc(s.losses, func(l Loss) bool { return l.Key() == loss.Key() })
	if !known && len(s.losses) < maxHoles {
		s.losses = append(s.losses, loss)
	}
}

// settle gives the current generation a segment to go on from.
func (s *Spool) settle(st *state) error {
	g := s.current()
	head := chainPoint{Hash: g.opening}
	has := len(s.segments) > 0 && s.segments[len(s.segments)-1].generation == g.ID
	if has {
		head = s.head()
	}
	if st != nil && (!has || st.Head > head.Number) {
		// The state was written after these frames were durable: they are gone.
		if st.Head > head.Number && st.Head > g.Committed {
			s.lost(g, hole{
				first: max(head.Number, g.Committed) + 1, last: st.Head,
				firstSeq: head.Sequence, lastSeq: st.Sequence - 1, fromTime: cmp.Or(s.observed, g.CommittedAt),
			})
		}
		head = chainPoint{Number: st.Head, Sequence: st.Sequence}
		if err := unhex(head.Hash[:], st.HeadHash); err != nil {
			return errBadState
		}
		if s.active != nil {
			s.abandon()
		}
		has = false
	}
	if has {
		return nil
	}
	seg, f, err := s.createSegment(g, head)
	if err != nil {
		return err
	}
	s.segments, s.active, s.bytes = append(s.segments, seg), f, s.bytes+seg.size
	return nil
}
