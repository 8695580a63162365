package pipeline

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/proto/evidence"
)

const (
	// queueBlocks is how many closed blocks may wait for the packer, and
	// queueDrafts how many packed ones for the writer, which takes all at once.
	queueBlocks = 4
	queueDrafts = 8

	minRatio = 1.5
)

// stream packs the events of one stream.
type stream struct {
	p     *Pipeline
	kind  evidence.StreamKind
	store Store

	queue  chan *block   // filled under mu, drained by packer
	packed chan packed   // packer to writer
	done   chan struct{} // the writer has ended

	mu      sync.Mutex
	pending *block
	timer   *time.Timer // closes pending; nil while pending is nil
	quiet   bool        // pending holds nothing but health
	due     bool        // pending should close as soon as the queue has room
	closed  bool
	// moved is closed and made anew whenever room or durability changed.
	moved chan struct{}
	// added and durable count events; outstanding counts per key.
	added, durable uint64
	outstanding    map[string]int
	taken          map[string][]byte // newest position by key
	loose          map[string][]byte
	signedMinute   int64
	signedAll      bool // nothing was closed since the last signed block
	ratio          float64
}

type packed struct {
	drafts []spool.Draft
	block  *block
}

func newStream(p *Pipeline, kind evidence.StreamKind, store Store) *stream {
	return &stream{
		p: p, kind: kind, store: store,
		queue: make(chan *block, queueBlocks), packed: make(chan packed, queueDrafts), done: make(chan struct{}),
		moved: make(chan struct{}), outstanding: map[string]int{}, taken: map[string][]byte{},
		loose: map[string][]byte{}, signedAll: true, ratio: 6,
	}
}

// broadcast wakes everybody who waits for room or durability. Under mu.
func (s *stream) broadcast() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// add gives e a place. It is false where there is none and wait is not set.
func (s *stream) add(ctx context.Context, e encoded, quiet, wait bool) (bool, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return false, ErrClosed
		}
		if s.known(e.key, e.position) {
			s.mu.Unlock()
			return true, nil
		}
		if s.fits(len(e.bytes)) || s.seal(false) {
			s.put(e, quiet)
			s.mu.Unlock()
			return true, nil
		}
		moved := s.moved
		s.mu.Unlock()
		if !wait {
			return false, nil
		}
		select {
		case <-moved:
		case <-s.p.failed:
			return false, s.p.err
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// known reports whether the event of this position was taken before, in this
// run or an earlier one. Under mu.
func (s *stream) known(key string, position []byte) bool {
	if key == "" || position == nil {
		return false
	}
	past, ok := s.taken[key]
	if !ok {
		past = s.p.durable(s.kind, key)
		s.taken[key] = past
	}
	return past != nil && bytes.Compare(position, past) <= 0
}

// fits reports whether pending takes an event of n bytes. Under mu.
func (s *stream) fits(n int) bool {
	b := s.pending
	if b == nil {
		return true
	}
	raw := b.raw + rawSize(n)
	return len(b.events) < s.p.maxEvents() && raw <= maxRawBlock && float64(raw) <= s.ratio*targetPayload
}

// put appends e to pending. Under mu.
func (s *stream) put(e encoded, quiet bool) {
	if s.pending == nil {
		s.pending = &block{raw: seedSize}
		s.quiet = quiet
		linger := s.p.cfg.Linger
		if quiet {
			linger = s.p.cfg.QuietLinger
		}
		s.arm(linger)
	} else if s.quiet && !quiet {
		s.quiet = false
		s.timer.Stop()
		s.arm(s.p.cfg.Linger)
	}
	s.pending.events = append(s.pending.events, e)
	s.pending.raw += rawSize(len(e.bytes))
	s.added++
	if e.key == "" {
		return
	}
	s.outstanding[e.key]++
	if e.position != nil {
		s.taken[e.key] = e.position
	}
}

func (s *stream) arm(linger time.Duration) {
	b := s.pending
	s.timer = time.AfterFunc(linger, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pending == b && !s.closed {
			s.due = !s.seal(false)
		}
	})
}

// move records a position that has no event of its own.
func (s *stream) move(key string, position []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known(key, position) {
		s.loose[key] = position
	}
}

// seal closes pending and queues it, unless the queue is full. Under mu.
func (s *stream) seal(stop bool) bool {
	b := s.pending
	if b == nil {
		return true
	}
	if len(s.queue) == cap(s.queue) {
		return false
	}
	minute := s.p.cfg.Now().Unix() / 60
	b.sign = stop || minute != s.signedMinute
	s.signedAll = b.sign
	if b.sign {
		s.signedMinute = minute
	}
	if len(s.loose) > 0 {
		b.loose, s.loose = s.loose, map[string][]byte{}
	}
	s.timer.Stop()
	s.pending, s.timer, s.due = nil, nil, false
	s.queue <- b
	return true
}

// pack runs until the queue is closed.
func (s *stream) pack() {
	defer close(s.packed)
	for b := range s.queue {
		s.mu.Lock()
		if s.due {
			s.due = !s.seal(false)
		}
		s.broadcast()
		s.mu.Unlock()
		drafts, err := pack(s.p.encoder, b, evidence.Ticks(s.p.cfg.Now()))
		if err != nil {
			s.p.fail(err)
			continue
		}
		s.learn(drafts)
		s.cross(b, &drafts[len(drafts)-1])
		select {
		case s.packed <- packed{drafts, b}:
		case <-s.p.failed:
		}
	}
}

// learn follows the ratio of raw to compressed bytes: quickly down, so that
// few blocks must be split, slowly up.
func (s *stream) learn(drafts []spool.Draft) {
	raw, compressed := 0, 0
	for i := range drafts {
		raw, compressed = raw+int(drafts[i].RawSize), compressed+len(drafts[i].Payload)
	}
	if raw < 16<<10 {
		return // too small to tell
	}
	seen := 0.93 * float64(raw) / float64(compressed)
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen < s.ratio {
		s.ratio = max(seen, minRatio)
	} else {
		s.ratio += (seen - s.ratio) / 4
	}
}

// cross adds what this block's positions say of the other streams that the
// same sources use: where nothing of a key waits there, all that the key had for
// that stream up to this position is durable. Without it, a source whose
// events all take one stream would be read from its start for the other's sake.
func (s *stream) cross(b *block, last *spool.Draft) {
	newest := map[string][]byte{}
	for i := range b.events {
		if e := &b.events[i]; e.auto && e.key != "" {
			newest[e.key] = e.position
		}
	}
	for _, other := range s.p.streams {
		if other == s || other.kind == evidence.Import || len(newest) == 0 {
			continue
		}
		other.mu.Lock()
		for key, position := range newest {
			if other.outstanding[key] == 0 {
				last.Progress[crossKey(other.kind, key)] = position
			}
		}
		other.mu.Unlock()
	}
}

func crossKey(kind evidence.StreamKind, key string) string { return key + "\x00" + kind.String() }

// write runs until the packer has ended.
func (s *stream) write() {
	defer close(s.done)
	for first := range s.packed {
		group, blocks := first.drafts, []*block{first.block}
	more:
		for len(blocks) < queueDrafts {
			select {
			case next, ok := <-s.packed:
				if !ok {
					break more
				}
				group, blocks = append(group, next.drafts...), append(blocks, next.block)
			default:
				break more
			}
		}
		if err := s.keep(group); err != nil {
			s.p.fail(err)
			for range s.packed { //nolint:revive // drained so that the packer ends
			}
			return
		}
		s.settled(blocks)
		s.p.wake()
	}
}

// waiting reports whether an event of key is not durable yet.
func (s *stream) waiting(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outstanding[key] > 0
}

// newest is the newest position of key that was taken.
func (s *stream) newest(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[key]
}

// settled counts blocks that are durable now.
func (s *stream) settled(blocks []*block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range blocks {
		s.durable += uint64(len(b.events))
		for i := range b.events {
			key := b.events[i].key
			if key == "" {
				continue
			}
			if s.outstanding[key]--; s.outstanding[key] == 0 {
				delete(s.outstanding, key)
			}
		}
	}
	s.broadcast()
}

// keep appends the drafts, in several calls where the spool has no room for
// all, and waits as long as it takes: what is emitted is never dropped.
func (s *stream) keep(drafts []spool.Draft) error {
	wait := s.p.cfg.RetryMin
	said := ""
	for n := len(drafts); len(drafts) > 0; {
		err := s.store.Append(drafts[:n]...)
		var disk *spool.DiskError
		switch {
		case err == nil:
			drafts = drafts[n:]
			n = len(drafts)
			if said != "" {
				s.p.cfg.Log.Info("spool takes events again", "stream", s.kind.String())
				said = ""
			}
			wait = s.p.cfg.RetryMin
			continue
		case errors.Is(err, spool.ErrFull):
			if n > 1 {
				n /= 2
				continue
			}
		case !errors.As(err, &disk):
			return err
		}
		if said != err.Error() {
			said = err.Error()
			s.p.cfg.Log.Warn("spool takes no events, sources wait", "stream", s.kind.String(), "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.store.Space():
		case <-timer.C:
		case <-s.p.stop:
			timer.Stop()
			return err
		}
		timer.Stop()
		wait = min(2*wait, s.p.cfg.RetryMax)
	}
	return nil
}

// flush closes pending with a signature and waits until all that was added is
// durable.
func (s *stream) flush(ctx context.Context) error {
	s.mu.Lock()
	target := s.added
	for {
		if s.pending != nil {
			s.seal(true)
		}
		if s.durable >= target {
			s.mu.Unlock()
			return nil
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-s.p.failed:
			return s.p.err
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
}

// end lets packer and writer finish what is queued. What is pending and not
// flushed is dropped: its source's position was not stored either.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	close(s.queue)
	s.broadcast()
}
