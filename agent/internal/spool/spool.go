package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// Config says where a spool is and how large it may get.
type Config struct {
	// Dir is the stream's own directory. It must exist.
	Dir  string
	Kind evidence.StreamKind
	// Limit bounds the segments' bytes; beyond it Append is ErrFull. At least
	// MinLimit.
	Limit int64
	// SegmentSize is where a new segment begins, in bytes. 0: an eighth of
	// Limit, at most 8 MiB.
	SegmentSize int64
	// Sign signs a header hash by the device key (ASN.1 ECDSA).
	Sign func(evidence.Hash) ([]byte, error)
	Log  *slog.Logger
	// Files is the file system; nil: Disk.
	Files Files
}

// MinLimit is the least Config.Limit in bytes.
const MinLimit = 1 << 20

// maxSegment is the default upper bound of a segment in bytes.
const maxSegment = 8 << 20

var (
	// ErrFull: the limit is reached. Nothing was written; the same Append
	// succeeds once Reclaim has freed enough.
	ErrFull = errors.New("spool is full")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
)

// DiskError is a failed write. The frames of the failed Append are not stored
// and all earlier ones are; the same Append may be tried again later.
type DiskError struct{ Err error }

func (e *DiskError) Error() string { return "writing spool: " + e.Err.Error() }

// Unwrap returns the operating system's error.
func (e *DiskError) Unwrap() error { return e.Err }

// Draft is a batch before it has a place in a chain.
type Draft struct {
	Payload       []byte
	PayloadSHA256 evidence.Hash
	RawSize       uint32
	EventCount    uint32
	ObservedFrom  int64 // ticks
	ObservedTo    int64
	Commitments   evidence.Hash
	// Sign asks for a head signature.
	Sign bool
	// Progress says, per source key, where the source stands after this batch.
	// Positions of one key increase in the order of bytes.Compare.
	Progress map[string][]byte
}

// Spool is the queue of one stream.
type Spool struct {
	cfg   Config
	files Files

	// changed and space wake one waiter each; see Changed and Space.
	changed chan struct{}
	space   chan struct{}

	// mu guards everything below. It is held across the fsync of an Append:
	// there is one writer, and readers of durable frames only take it briefly.
	mu          sync.Mutex
	generations []*generation // the last one is current
	segments    []*segment    // in chain order, the last one is active
	active      File          // of the last segment; nil: the next Append starts a new segment
	progress    map[string][]byte
	losses      []Loss
	observed    int64                    // ticks: when the last event of the last batch that was read when opening was; 0: none
	sent        map[uint64]evidence.Hash // of batches that a cursor gave out, until committed
	notes       []string
	bytes       int64
	closed      bool
}

// Open opens or creates the spool of a stream and repairs what a crash left: a
// torn tail is cut with a note, frames lost in the middle become Losses.
func Open(cfg Config) (*Spool, error) {
	if cfg.Limit < MinLimit {
		return nil, fmt.Errorf("opening %s spool: the limit is %d bytes, the least is %d", cfg.Kind, cfg.Limit, MinLimit)
	}
	if cfg.SegmentSize <= 0 {
		cfg.SegmentSize = min(cfg.Limit/8, maxSegment)
	}
	if cfg.Files == nil {
		cfg.Files = Disk{}
	}
	s := &Spool{
		cfg: cfg, files: cfg.Files,
		changed: make(chan struct{}, 1), space: make(chan struct{}, 1),
		progress: map[string][]byte{}, sent: map[uint64]evidence.Hash{},
	}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("opening %s spool: %w", cfg.Kind, err)
	}
	for _, note := range s.notes {
		cfg.Log.Warn("spool repaired", "stream", cfg.Kind.String(), "note", note)
	}
	return s, nil
}

func (s *Spool) current() *generation { return s.generations[len(s.generations)-1] }

// head is the newest batch of the current generation.
func (s *Spool) head() chainPoint { return s.segments[len(s.segments)-1].last }

func (s *Spool) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// newGeneration returns a provisional one, whose stream nobody has granted.
func newProvisional(id uint32) (*generation, error) {
	g := &generation{ID: id, Epoch: 1}
	if _, err := rand.Read(g.stream[:]); err != nil {
		return nil, fmt.Errorf("naming provisional stream: %w", err)
	}
	g.setTexts()
	return g, nil
}

// Append stores drafts in order, all or none. When it returns nil they are
// durable, with their progress. ErrFull and *DiskError may be tried again with
// the same drafts; other errors are for ever.
func (s *Spool) Append(drafts ...Draft) error {
	if len(drafts) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	g, point := s.current(), s.head()
	var buf []byte
	for i := range drafts {
		var err error
		if buf, point, err = s.frame(buf, g, point, &drafts[i]); err != nil {
			return err
		}
	}
	if s.bytes+int64(len(buf)) > s.cfg.Limit {
		return ErrFull
	}
	if err := s.write(buf, point); err != nil {
		return err
	}
	for i := range drafts {
		maps.Copy(s.progress, drafts[i].Progress)
	}
	wake(s.changed)
	return nil
}

// frame appends the frame of a draft that follows point.
func (s *Spool) frame(buf []byte, g *generation, point chainPoint, d *Draft) ([]byte, chainPoint, error) {
	header := evidence.Header{
		Kind: s.cfg.Kind, Stream: g.stream, Epoch: g.Epoch,
		Number: point.Number + 1, FirstSequence: point.Sequence, EventCount: d.EventCount,
		ObservedFrom: d.ObservedFrom, ObservedTo: d.ObservedTo,
		Previous: point.Hash, PayloadSHA256: d.PayloadSHA256,
		PayloadSize: uint32(len(d.Payload)), RawSize: d.RawSize, Commitments: d.Commitments,
	}
	return s.sealed(buf, &header, d.Sign, d.Payload, sortedEntries(d.Progress))
}

// sealed hashes, signs where asked, and frames a header.
func (s *Spool) sealed(buf []byte, h *evidence.Header, sign bool, payload []byte, progress []entry) ([]byte, chainPoint, error) {
	canonical := h.Canonical()
	if _, err := evidence.ParseHeader(canonical); err != nil {
		return nil, chainPoint{}, fmt.Errorf("framing batch: %w", err)
	}
	hash := evidence.HashHeader(canonical)
	var signature []byte
	if sign {
		var err error
		if signature, err = s.cfg.Sign(hash); err != nil {
			return nil, chainPoint{}, fmt.Errorf("signing batch head: %w", err)
		}
	}
	buf, err := appendFrame(buf, canonical, signature, payload, progress)
	if err != nil {
		return nil, chainPoint{}, fmt.Errorf("framing batch: %w", err)
	}
	return buf, chainPoint{Number: h.Number, Hash: hash, Sequence: h.FirstSequence + uint64(h.EventCount)}, nil
}

// write makes buf durable behind the active segment's frames. On failure the
// segment is cut back to its last good frame, and given up where even that
// fails; a tail left in a segment that is not the last is cut by the next Open,
// because the segment after it says where the chain went on.
func (s *Spool) write(buf []byte, point chainPoint) error {
	seg := s.segments[len(s.segments)-1]
	full := seg.last.Number > seg.base.Number && seg.size+int64(len(buf)) > s.cfg.SegmentSize
	if s.active == nil || full {
		if err := s.rotate(); err != nil {
			return &DiskError{Err: err}
		}
		seg = s.segments[len(s.segments)-1]
	}
	_, err := s.active.WriteAt(buf, seg.size)
	if err == nil {
		if err = s.active.Sync(); err == nil {
			seg.size += int64(len(buf))
			seg.last = point
			s.bytes += int64(len(buf))
			return nil
		}
		// After a failed fsync the kernel may have dropped the dirty pages and
		// say so only once: this file's tail can no longer be trusted.
		_ = s.active.Truncate(seg.size)
		s.abandon()
		return &DiskError{Err: err}
	}
	if cut := s.active.Truncate(seg.size); cut != nil {
		s.abandon()
	}
	return &DiskError{Err: err}
}

// abandon makes the next write start a new segment.
func (s *Spool) abandon() {
	_ = s.active.Close()
	s.active = nil
}

// rotate starts a new segment after the head.
func (s *Spool) rotate() error {
	seg, f, err := s.createSegment(s.current(), s.head())
	if err != nil {
		return err
	}
	last := s.segments[len(s.segments)-1]
	if s.active != nil {
		s.abandon()
	}
	if last.generation == seg.generation && last.base.Number == seg.base.Number {
		// The segment given up held no frame and had the same name.
		s.segments = s.segments[:len(s.segments)-1]
		s.bytes -= last.size
	}
	s.segments = append(s.segments, seg)
	s.active = f
	s.bytes += seg.size
	return nil
}

// createSegment makes a durable, empty segment. A file of that name can only
// be what a failed creation or an abandoned empty segment left.
func (s *Spool) createSegment(g *generation, base chainPoint) (*segment, File, error) {
	seg := &segment{generation: g.ID, base: base, last: base, size: segmentHeader}
	name := s.path(seg.name())
	if err := removeIfThere(s.files, name); err != nil {
		return nil, nil, fmt.Errorf("creating segment: %w", err)
	}
	f, err := s.files.Create(name)
	if err != nil {
		return nil, nil, fmt.Errorf("creating segment: %w", err)
	}
	if _, err = f.WriteAt(g.segmentHeader(s.cfg.Kind, base), 0); err == nil {
		if err = f.Sync(); err == nil {
			err = s.files.SyncDir(s.cfg.Dir)
		}
	}
	if err != nil {
		_ = f.Close()
		_ = s.files.Remove(name)
		return nil, nil, fmt.Errorf("creating segment: %w", err)
	}
	return seg, f, nil
}

// save writes the state file.
func (s *Spool) save() error {
	st := state{
		Version: stateVersion, Kind: uint8(s.cfg.Kind),
		Head: s.head().Number, HeadHash: hexOf(s.head().Hash), Sequence: s.head().Sequence,
		Progress: s.progress, Losses: s.losses, Sealed: map[string]int64{},
	}
	for _, g := range s.generations {
		st.Generations = append(st.Generations, *g)
	}
	for _, seg := range s.segments {
		if seg.committedAt != 0 {
			st.Sealed[seg.name()] = seg.committedAt
		}
	}
	return saveState(s.files, s.cfg.Dir, &st)
}

// Flush writes what is known of acks and progress to the state file. It is not
// needed for durability of batches; without it the server is asked again.
func (s *Spool) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.save()
}

// Close writes the state and closes the files.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.save()
	if s.active != nil {
		err = errors.Join(err, s.active.Close())
	}
	return err
}

// Position returns how far the source of this key was read, nil for never.
func (s *Spool) Position(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress[key]
}

// Changed receives after an Append or a new generation. One receiver.
func (s *Spool) Changed() <-chan struct{} { return s.changed }

// Space receives after Reclaim or Rechain freed bytes. One receiver.
func (s *Spool) Space() <-chan struct{} { return s.space }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// commitTime is a server's time in ticks as a time.
func commitTime(ticks int64) time.Time {
	if ticks == 0 {
		return time.Time{}
	}
	return evidence.Time(ticks)
}
