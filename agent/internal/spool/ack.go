package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// mark is a batch in one of the generations.
type mark struct {
	generation uint32
	number     uint64
}

// Head is where the spool's chain stands.
type Head struct {
	Kind         evidence.StreamKind
	Stream       evidence.StreamID
	Epoch        uint32
	Number       uint64 // 0: no batch in this epoch yet
	Hash         evidence.Hash
	NextSequence uint64
	// Granted is false while the stream is provisional: nothing of it may be sent.
	Granted bool
	// Committed is the newest batch of this epoch that the server has acknowledged.
	Committed uint64
}

// Head returns the current generation's head.
func (s *Spool) Head() Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, head := s.current(), s.head()
	return Head{
		Kind: s.cfg.Kind, Stream: g.stream, Epoch: g.Epoch, Number: head.Number, Hash: head.Hash,
		NextSequence: head.Sequence, Granted: g.Granted, Committed: g.Committed,
	}
}

// Broken reports whether unacknowledged batches were lost, so that the rest can
// only go on in a new epoch.
func (s *Spool) Broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.brokenNow()
}

func (s *Spool) brokenNow() bool {
	g := s.current()
	for _, l := range s.losses {
		if l.Generation == g.ID && l.Last > g.Committed {
			return true
		}
	}
	return false
}

// ErrMismatch: what the server names is not what this chain holds.
var ErrMismatch = errors.New("the server names another batch")

// Committed records that the server holds all batches of the current epoch up
// to number, whose hash must be hash (ErrMismatch). position and at (server's
// clock, ticks) are those of the ledger. It is written to disk lazily: after a
// crash the server says it again.
func (s *Spool) Committed(stream evidence.StreamID, epoch uint32, number uint64, hash evidence.Hash, position uint64, at int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.current()
	if g.stream != stream || g.Epoch != epoch || number > s.head().Number {
		return ErrMismatch
	}
	if number <= g.Committed {
		return nil
	}
	held, ok := s.sent[number]
	if !ok {
		held, ok = s.hashOf(g, number)
	}
	if !ok || held != hash {
		return ErrMismatch
	}
	g.Committed, g.Position, g.CommittedAt = number, max(g.Position, position), at
	maps.DeleteFunc(s.sent, func(n uint64, _ evidence.Hash) bool { return n <= number })
	s.losses = slices.DeleteFunc(s.losses, func(l Loss) bool { return l.Generation == g.ID && l.Last <= number })
	// The last segment still grows; the others' times are those of their ends.
	for _, seg := range s.segments[:len(s.segments)-1] {
		if seg.committedAt == 0 && seg.generation == g.ID && seg.last.Number <= number {
			seg.committedAt = at
		}
	}
	return nil
}

// Restored records that the server, of whose current epoch number is the head,
// has gone back: what came after is neither committed nor safe nor covered.
func (s *Spool) Restored(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.current()
	g.Committed, g.Safe, g.Covered = min(g.Committed, number), min(g.Safe, number), min(g.Covered, number)
	for _, seg := range s.segments {
		if seg.generation == g.ID && seg.last.Number > number {
			seg.committedAt = 0
		}
	}
}

// Safe records that batches of the current epoch up to number survive a
// restored database. Those of earlier epochs were committed before, so they do too.
func (s *Spool) Safe(stream evidence.StreamID, epoch uint32, number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.current(); g.stream == stream && g.Epoch == epoch && number > g.Safe && number <= g.Committed {
		g.Safe = number
	}
}

// Covered records that a verified checkpoint includes the leaf of batch number.
// ErrMismatch: it was acknowledged as ours and the leaf names another header.
// ErrGone: nothing is held of that batch, or it is not acknowledged, so nothing
// can be said.
func (s *Spool) Covered(stream evidence.StreamID, epoch uint32, number uint64, header evidence.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.generations {
		if g.stream != stream || g.Epoch != epoch || !g.Granted {
			continue
		}
		held, ok := s.hashOf(g, number)
		if !ok {
			return ErrGone
		}
		if number > g.Committed {
			return ErrGone // not acknowledged to this chain: perhaps a copy of it sent that
		}
		if held != header {
			return ErrMismatch
		}
		g.Covered = max(g.Covered, number)
		return nil
	}
	return ErrGone
}

// Locate says where the server's head stands in this spool: found where the
// batch (or opening) of that hash is held here, current where it is of the
// current epoch.
func (s *Spool) Locate(stream evidence.StreamID, epoch uint32, number uint64, hash evidence.Hash) (found, current bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.locate(stream, epoch, number, hash)
	return ok, ok && m.generation == s.current().ID
}

// Lost returns which batches that follow one of an epoch are no longer held, for
// they were acknowledged and safe: from to to, where to is 0 if their end is not
// known here any more; 0, 0 if none is missing.
func (s *Spool) Lost(stream evidence.StreamID, epoch uint32, after uint64) (from, to uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.generations {
		if g.stream != stream || g.Epoch != epoch || !g.Granted {
			continue
		}
		end := g.Committed // of a generation whose segments are gone: the rest has moved on
		if first := s.firstOf(g.ID); first != nil {
			end = first.base.Number
		}
		if end > after {
			return after + 1, end
		}
		return 0, 0
	}
	if current := s.current(); current.stream == stream && epoch < current.Epoch {
		return after + 1, 0
	}
	return 0, 0
}

func (s *Spool) locate(stream evidence.StreamID, epoch uint32, number uint64, hash evidence.Hash) (mark, bool) {
	for _, g := range s.generations {
		if g.stream == stream && g.Epoch == epoch && g.Granted {
			held, ok := s.hashOf(g, number)
			return mark{g.ID, number}, ok && held == hash
		}
	}
	return mark{}, false
}

// Reclaim deletes the oldest segments whose every batch is committed, safe and
// covered by a verified checkpoint. A batch is safe by the server's word or,
// where safeAfter is not zero, that long after its commit; now is the server's
// clock. It returns the bytes freed.
func (s *Spool) Reclaim(now time.Time, safeAfter time.Duration) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrClosed
	}
	n := 0
	for n < len(s.segments)-1 && s.deletable(s.segments[n], now, safeAfter) {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	// The state takes over what only these frames said, before they go.
	if err := s.save(); err != nil {
		return 0, err
	}
	return s.removeFirst(n)
}

func (s *Spool) deletable(seg *segment, now time.Time, safeAfter time.Duration) bool {
	current := s.current()
	for _, g := range s.generations {
		if g.ID != seg.generation {
			continue
		}
		number, at := seg.last.Number, seg.committedAt
		if at == 0 {
			at = g.CommittedAt // not before the segment's own
		}
		later := g != current // another epoch follows, bound to this one by its opening
		committed := later || number <= g.Committed
		safe := number <= g.Safe || later && current.Safe > 0 ||
			safeAfter > 0 && at != 0 && !now.Before(commitTime(at).Add(safeAfter))
		covered := number <= g.Covered || later && current.Covered > 0
		return committed && safe && covered
	}
	return true
}

// removeFirst deletes the first n segments, and then generations without any.
func (s *Spool) removeFirst(n int) (int64, error) {
	var freed int64
	for range n {
		seg := s.segments[0]
		if err := removeIfThere(s.files, s.path(seg.name())); err != nil {
			// Where a reader still has it open, a later call succeeds.
			return freed, fmt.Errorf("deleting segment: %w", err)
		}
		s.segments, s.bytes, freed = s.segments[1:], s.bytes-seg.size, freed+seg.size
	}
	s.generations = slices.DeleteFunc(s.generations, func(g *generation) bool {
		return g != s.current() && s.firstOf(g.ID) == nil
	})
	wake(s.space)
	return freed, nil
}

// Stats is what a spool holds.
type Stats struct {
	Head
	Bytes    int64 `json:"bytes"`
	Limit    int64 `json:"limit"`
	Segments int   `json:"segments"`
	// Unsent is the number of batches that the server has not acknowledged.
	Unsent uint64
	Safe   uint64
	// Covered is the newest batch in a verified checkpoint.
	Covered     uint64
	Position    uint64    // ledger position of the newest acknowledged batch
	CommittedAt time.Time // zero: never
	Losses      int
}

// Stats returns what the spool holds now.
func (s *Spool) Stats() Stats {
	head := s.Head()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats(head)
}

func (s *Spool) stats(head Head) Stats {
	g := s.current()
	return Stats{
		Head: head, Bytes: s.bytes, Limit: s.cfg.Limit, Segments: len(s.segments),
		Unsent: head.Number - g.Committed, Safe: g.Safe, Covered: g.Covered,
		Position: g.Position, CommittedAt: commitTime(g.CommittedAt), Losses: len(s.losses),
	}
}

// LossReported forgets a loss that has become an event.
func (s *Spool) LossReported(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.brokenNow() {
		return nil // Rechain still needs to know; Losses is asked again after it
	}
	s.losses = slices.DeleteFunc(s.losses, func(l Loss) bool { return l.Key() == key })
	return s.save()
}

// Losses returns what the disk lost and nobody was told of yet.
func (s *Spool) Losses() []Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Loss(nil), s.losses...)
}

// Inspect reads a spool's state file without opening the spool, so it may be
// called while an agent runs; what it says is as old as the last Flush. A
// directory without a state is fs.ErrNotExist.
func Inspect(files Files, dir string, kind evidence.StreamKind) (Stats, error) {
	st, err := loadState(files, dir)
	if err != nil {
		return Stats{}, fmt.Errorf("reading %s spool: %w", kind, err)
	}
	g := st.Generations[len(st.Generations)-1]
	stats := Stats{
		Head: Head{
			Kind: kind, Stream: g.stream, Epoch: g.Epoch, Number: st.Head,
			NextSequence: st.Sequence, Granted: g.Granted, Committed: g.Committed,
		},
		Unsent: st.Head - min(st.Head, g.Committed), Safe: g.Safe, Covered: g.Covered,
		Position: g.Position, CommittedAt: commitTime(g.CommittedAt), Losses: len(st.Losses),
	}
	if err := unhex(stats.Hash[:], st.HeadHash); err != nil {
		return Stats{}, errBadState
	}
	return stats, stats.countSegments(files, dir)
}

func (s *Stats) countSegments(files Files, dir string) error {
	names, err := files.List(dir)
	if err != nil {
		return fmt.Errorf("listing segments: %w", err)
	}
	for _, name := range names {
		if _, _, ok := parseName(name); !ok {
			continue
		}
		f, err := files.Open(filepath.Join(dir, name), false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading segment: %w", err)
		}
		size, err := f.Size()
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("reading segment: %w", err)
		}
		s.Segments, s.Bytes = s.Segments+1, s.Bytes+size
	}
	return nil
}
