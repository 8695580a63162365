package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-audit/assay/proto/evidence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig(dir string) Config {
	return Config{
		Dir: dir, Kind: evidence.Bulk, Limit: MinLimit, SegmentSize: 1500,
		Sign: func(h evidence.Hash) ([]byte, error) { return append([]byte("signed"), h[:]...), nil },
		Log:  slog.New(slog.DiscardHandler),
	}
}

func mustOpen(t *testing.T, cfg Config) *Spool {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// draft is batch i of a source "log" whose position after it is i.
func draft(i int) Draft {
	payload := bytes.Repeat([]byte{byte(i)}, 200+i%50)
	return Draft{
		Payload: payload, PayloadSHA256: sha256.Sum256(payload), RawSize: 1000, EventCount: 10,
		ObservedFrom: int64(i), ObservedTo: int64(i) + 1, Sign: i%3 == 0,
		Progress: map[string][]byte{"log": position(i)},
	}
}

func position(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

func at(p []byte) int {
	if p == nil {
		return 0
	}
	return int(binary.BigEndian.Uint64(p))
}

func mustAppend(t *testing.T, s *Spool, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := s.Append(draft(i)); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
}

// readAll reads the current generation from number and checks the chain.
func readAll(t *testing.T, s *Spool, number uint64) []Batch {
	t.Helper()
	c, err := s.Cursor(number)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var batches []Batch
	for {
		b, err := c.Next()
		if errors.Is(err, ErrEnd) {
			return batches
		}
		if err != nil {
			t.Fatalf("after %d batches: %v", len(batches), err)
		}
		if n := len(batches); n > 0 {
			last := batches[n-1]
			if b.Header.Previous != last.Hash || b.Header.Number != last.Header.Number+1 ||
				b.Header.FirstSequence != last.Header.FirstSequence+uint64(last.Header.EventCount) {
				t.Fatalf("batch %d does not follow %d", b.Header.Number, last.Header.Number)
			}
		}
		if sha256.Sum256(b.Payload) != b.Header.PayloadSHA256 {
			t.Fatal("payload differs from its hash")
		}
		if b.HeadSignature != nil && !bytes.Equal(b.HeadSignature[6:], b.Hash[:]) {
			t.Fatal("the head signature is over another hash")
		}
		batches = append(batches, b)
	}
}

// values are the batches' own numbers as draft made them.
func values(batches []Batch) []int {
	var v []int
	for _, b := range batches {
		v = append(v, int(b.Header.ObservedFrom))
	}
	return v
}

func sequence(from, to int) []int {
	var v []int
	for i := from; i <= to; i++ {
		v = append(v, i)
	}
	return v
}

func grant(epoch uint32, next uint64) Grant {
	return Grant{Stream: evidence.StreamID{7}, Epoch: epoch, OpeningHash: evidence.Hash{byte(epoch), 9}, NextSequence: next}
}

func TestReopenKeepsBatchesAndProgress(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	mustAppend(t, s, 1, 20)
	if s.Stats().Segments < 3 {
		t.Fatalf("only %d segments: the test must cross them", s.Stats().Segments)
	}
	head := s.Head()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	if s.Head() != head {
		t.Fatalf("head %+v, want %+v", s.Head(), head)
	}
	mustAppend(t, s, 21, 25)
	if got := values(readAll(t, s, 0)); !slices.Equal(got, sequence(1, 25)) {
		t.Fatalf("read %v", got)
	}
	if got := at(s.Position("log")); got != 25 {
		t.Fatalf("position %d, want 25", got)
	}
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func lastSegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(names) == 0 {
		t.Fatal("no segments", err)
	}
	return slices.Max(names)
}

// A crash leaves the last frames short at any byte. What is whole stays, the
// progress is that of what is whole, and appending goes on.
func TestTornTailAtEveryByte(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	mustAppend(t, s, 1, 6)
	size := func() int64 { return s.segments[len(s.segments)-1].size }
	cfg.SegmentSize = 1 << 20
	s.cfg.SegmentSize = 1 << 20
	ends := []int64{size()}
	for i := 7; i <= 9; i++ {
		mustAppend(t, s, i, i)
		ends = append(ends, size())
	}
	for cut := ends[0]; cut < ends[3]; cut++ {
		dir := copyDir(t, cfg.Dir)
		if err := os.Truncate(lastSegment(t, dir), cut); err != nil {
			t.Fatal(err)
		}
		whole := 6
		for _, end := range ends[1:] {
			if cut >= end {
				whole++
			}
		}
		c := cfg
		c.Dir = dir
		r, err := Open(c)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if got := at(r.Position("log")); got != whole || r.Head().Number != uint64(whole) || len(r.Losses()) > 0 {
			t.Fatalf("cut at %d: head %d, position %d, losses %v; want %d", cut, r.Head().Number, got, r.Losses(), whole)
		}
		mustAppend(t, r, whole+1, 12)
		if got := values(readAll(t, r, 0)); !slices.Equal(got, sequence(1, 12)) {
			t.Fatalf("cut at %d: read %v", cut, got)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A flipped bit in the middle is a named loss; the batches behind it live on in
// a new epoch.
func TestFlippedBitIsALoss(t *testing.T) {
	t.Parallel()
	base := testConfig(t.TempDir())
	base.SegmentSize = 1 << 20
	s := mustOpen(t, base)
	mustAppend(t, s, 1, 3)
	begin := s.segments[0].size
	mustAppend(t, s, 4, 4)
	end := s.segments[0].size
	mustAppend(t, s, 5, 7)
	for offset := begin; offset < end; offset += 7 {
		cfg := base
		cfg.Dir = copyDir(t, base.Dir)
		flip(t, lastSegment(t, cfg.Dir), offset)
		r := mustOpen(t, cfg)
		losses := r.Losses()
		if len(losses) != 1 || losses[0].First != 4 || losses[0].Last != 4 || losses[0].FirstSequence != 30 || losses[0].LastSequence != 39 {
			t.Fatalf("flip at %d: losses %+v", offset, losses)
		}
		checkBroken(t, r, sequence(1, 3))
		if err := r.Rechain(grant(1, 0), From{}); err != nil {
			t.Fatal(err)
		}
		if got := values(readAll(t, r, 0)); !slices.Equal(got, []int{1, 2, 3, 5, 6, 7}) || r.Broken() {
			t.Fatalf("flip at %d: re-chained %v, broken %v", offset, got, r.Broken())
		}
		if err := r.LossReported(losses[0].Key()); err != nil || len(r.Losses()) != 0 {
			t.Fatalf("reporting: %v, left %v", err, r.Losses())
		}
		_ = r.Close()
	}
}

func flip(t *testing.T, name string, offset int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[offset] ^= 0x10
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkBroken(t *testing.T, s *Spool, before []int) {
	t.Helper()
	if !s.Broken() {
		t.Fatal("the chain is not reported as broken")
	}
	c, err := s.Cursor(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var got []int
	for {
		b, err := c.Next()
		if errors.Is(err, ErrBroken) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, int(b.Header.ObservedFrom))
	}
	if !slices.Equal(got, before) {
		t.Fatalf("read %v before the break, want %v", got, before)
	}
}

// Damage that appears while the agent runs is found by the reader.
func TestFlippedBitWhileRunning(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	cfg.SegmentSize = 1 << 20
	s := mustOpen(t, cfg)
	mustAppend(t, s, 1, 2)
	middle := s.segments[0].size + 100
	mustAppend(t, s, 3, 5)
	flip(t, lastSegment(t, cfg.Dir), middle)
	c, err := s.Cursor(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for range 2 {
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Next(); !errors.Is(err, ErrBroken) {
		t.Fatalf("reading the flipped batch: %v", err)
	}
	if l := s.Losses(); len(l) != 1 || l[0].First != 3 || l[0].Last != 3 {
		t.Fatalf("losses %+v", l)
	}
}

func TestMissingSegmentAndMissingStateAreNamed(t *testing.T) {
	t.Parallel()
	base := testConfig(t.TempDir())
	s := mustOpen(t, base)
	mustAppend(t, s, 1, 20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(base.Dir, "*"+segmentSuffix))
	for i, name := range names {
		cfg := base
		cfg.Dir = copyDir(t, base.Dir)
		if err := os.Remove(filepath.Join(cfg.Dir, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
		r := mustOpen(t, cfg)
		if len(r.Losses()) != 1 || !r.Broken() {
			t.Fatalf("segment %d removed: losses %+v", i, r.Losses())
		}
		mustAppend(t, r, 21, 22)
		_ = r.Close()
	}
	cfg := base
	cfg.Dir = copyDir(t, base.Dir)
	flip(t, filepath.Join(cfg.Dir, stateName), 30)
	r := mustOpen(t, cfg)
	if got := values(readAll(t, r, 0)); !slices.Equal(got, sequence(1, 20)) || at(r.Position("log")) != 20 {
		t.Fatalf("without a state: read %v", got)
	}
}

// The machine dies at every single write step. Whatever Append has promised is
// there, in order and once; the position matches it exactly.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		for budget := 0; ; budget++ {
			dir := t.TempDir()
			disk := newCrashDisk(budget, seed*1000+uint64(budget))
			w := crashWork(dir, disk)
			if !disk.crashed {
				break
			}
			checkAfterCrash(t, dir, w, fmt.Sprintf("seed %d step %d", seed, budget))
		}
	}
}

// work is what a crashed run was promised.
type work struct {
	opened    bool
	promised  int // last draft whose Append returned nil
	reclaimed uint64
}

// crashWork appends, acknowledges, reclaims and re-chains until the disk dies.
func crashWork(dir string, disk *crashDisk) (w work) {
	cfg := testConfig(dir)
	cfg.Files = disk
	s, err := Open(cfg)
	if err != nil {
		return w
	}
	w.opened = true
	defer func() { _ = s.Close() }()
	add := func(to int) bool {
		for i := w.promised + 1; i <= to; i++ {
			if s.Append(draft(i)) != nil {
				return false
			}
			w.promised = i
		}
		return true
	}
	if !add(7) || s.Rechain(grant(1, 0), From{}) != nil || !add(14) {
		return w
	}
	h := s.Head()
	c, err := s.Cursor(0)
	if err != nil {
		return w
	}
	var b Batch
	for range 9 {
		if b, err = c.Next(); err != nil {
			return w
		}
	}
	_ = c.Close()
	if s.Committed(h.Stream, h.Epoch, 9, b.Hash, 5, 1) != nil || s.Covered(h.Stream, h.Epoch, 9, b.Hash) != nil {
		return w
	}
	s.Safe(h.Stream, h.Epoch, 9)
	w.reclaimed = 9
	if _, err := s.Reclaim(time.Unix(0, 0), 0); err != nil || !add(18) {
		return w
	}
	if s.Rechain(grant(2, 100), From{Stream: h.Stream, Epoch: h.Epoch, Number: 9, Hash: b.Hash}) != nil {
		return w
	}
	add(22)
	return w
}

func checkAfterCrash(t *testing.T, dir string, w work, where string) {
	t.Helper()
	s, err := Open(testConfig(dir))
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer func() { _ = s.Close() }()
	if len(s.Losses()) > 0 {
		t.Fatalf("%s: losses %+v", where, s.Losses())
	}
	var got []int
	for _, g := range s.generations {
		for _, seg := range s.segments {
			if seg.generation == g.ID {
				err = errors.Join(err, s.eachOf(g, seg, mark{}, func(b Batch) error {
					got = append(got, int(b.Header.ObservedFrom))
					return nil
				}))
			}
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	last := at(s.Position("log"))
	if last < w.promised || last > w.promised+1 {
		t.Fatalf("%s: position %d, promised %d", where, last, w.promised)
	}
	first := 1
	if len(got) > 0 {
		first = got[0]
	}
	if uint64(first) > w.reclaimed+1 || !slices.Equal(got, sequence(first, last)) {
		t.Fatalf("%s: holds %v, want %d..%d", where, got, first, last)
	}
	if err := s.Append(draft(last + 1)); err != nil {
		t.Fatalf("%s: appending after recovery: %v", where, err)
	}
}

// A disk that fills up, writes short or cannot sync costs nothing: the same
// Append succeeds later.
func TestDiskFaultsAreRetried(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"write", "sync", "create", "syncdir", "truncate+write"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t.TempDir())
			disk := newCrashDisk(-1, 5)
			cfg.Files = disk
			s := mustOpen(t, cfg)
			bad := 0
			for i := 1; i <= 20; i++ {
				broken := i%2 == 0
				disk.fail = func(c, _ string) error {
					if broken && (c == call || strings.Contains(call, "+") && strings.Contains(call, c)) {
						return syscall.ENOSPC
					}
					return nil
				}
				err := s.Append(draft(i))
				if err != nil {
					bad++
					var diskErr *DiskError
					if !errors.As(err, &diskErr) || !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("append %d: %v", i, err)
					}
					disk.fail = nil
					err = s.Append(draft(i))
				}
				if err != nil {
					t.Fatalf("append %d again: %v", i, err)
				}
			}
			if bad == 0 {
				t.Fatal("no call failed")
			}
			disk.fail = nil
			if got := values(readAll(t, s, 0)); !slices.Equal(got, sequence(1, 20)) {
				t.Fatalf("read %v", got)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			r := mustOpen(t, testConfig(cfg.Dir))
			if got := values(readAll(t, r, 0)); !slices.Equal(got, sequence(1, 20)) || len(r.Losses()) > 0 {
				t.Fatalf("reopened: read %v, losses %v", got, r.Losses())
			}
		})
	}
}

func TestLimitAndReclaim(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	cfg.SegmentSize = 64 << 10
	s := mustOpen(t, cfg)
	if err := s.Rechain(grant(1, 0), From{}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		err := s.Append(draft(n + 1))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if s.Stats().Bytes > cfg.Limit {
		t.Fatalf("holds %d bytes, the limit is %d", s.Stats().Bytes, cfg.Limit)
	}
	h, now := s.Head(), time.Unix(1000, 0)
	reclaim := func(safeAfter time.Duration) int64 {
		freed, err := s.Reclaim(now, safeAfter)
		if err != nil {
			t.Fatal(err)
		}
		return freed
	}
	if reclaim(0) != 0 {
		t.Fatal("deleted what is not committed")
	}
	if err := s.Committed(h.Stream, h.Epoch, h.Number, evidence.Hash{1}, 1, evidence.Ticks(now)); !errors.Is(err, ErrMismatch) {
		t.Fatalf("an ack of another batch: %v", err)
	}
	if err := s.Committed(h.Stream, h.Epoch, h.Number, h.Hash, 1, evidence.Ticks(now)); err != nil {
		t.Fatal(err)
	}
	if reclaim(0) != 0 || reclaim(time.Hour) != 0 {
		t.Fatal("deleted what is not safe")
	}
	now = now.Add(2 * time.Hour)
	if reclaim(time.Hour) != 0 {
		t.Fatal("deleted what no checkpoint covers")
	}
	if err := s.Covered(h.Stream, h.Epoch, h.Number, evidence.Hash{1}); !errors.Is(err, ErrMismatch) {
		t.Fatalf("a leaf of another batch: %v", err)
	}
	if err := s.Covered(h.Stream, h.Epoch, h.Number, h.Hash); err != nil {
		t.Fatal(err)
	}
	if reclaim(0) != 0 || reclaim(time.Hour) == 0 {
		t.Fatal("time makes safe only where the server says so")
	}
	if err := s.Append(draft(n + 1)); err != nil {
		t.Fatal(err)
	}
	if s.Position("log") == nil || at(s.Position("log")) != n+1 {
		t.Fatal("progress lost by deletion")
	}
}

// Batches of an old epoch that are committed but not yet safe survive a new
// epoch, and are sent again if the server is restored to before them.
func TestRechainAfterRestore(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	if err := s.Rechain(grant(1, 0), From{}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, 1, 10)
	first := readAll(t, s, 0)
	h := s.Head()
	if err := s.Committed(h.Stream, 1, 8, first[7].Hash, 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Rechain(grant(2, 80), From{Stream: h.Stream, Epoch: 1, Number: 8, Hash: first[7].Hash}); err != nil {
		t.Fatal(err)
	}
	second := readAll(t, s, 0)
	if got := values(second); !slices.Equal(got, []int{9, 10}) || second[0].Header.FirstSequence != 80 {
		t.Fatalf("second epoch holds %v", got)
	}
	mustAppend(t, s, 11, 12)
	_ = s.Close()
	s = mustOpen(t, cfg)
	found, current := s.Locate(h.Stream, 1, 5, first[4].Hash)
	if !found || current {
		t.Fatalf("batch 5 of epoch 1: found %v, current %v", found, current)
	}
	if err := s.Rechain(grant(3, 50), From{Stream: h.Stream, Epoch: 1, Number: 5, Hash: first[4].Hash}); err != nil {
		t.Fatal(err)
	}
	if got := values(readAll(t, s, 0)); !slices.Equal(got, sequence(6, 12)) {
		t.Fatalf("after the restore: %v", got)
	}
	if err := s.Rechain(Grant{Stream: evidence.StreamID{8}, Epoch: 1}, From{Everything: true}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s = mustOpen(t, cfg)
	if got := values(readAll(t, s, 0)); !slices.Equal(got, sequence(1, 12)) {
		t.Fatalf("after the loss of the server: %v", got)
	}
}

// A server that went back takes back what it said of later batches.
func TestRestoredTakesBackSafety(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	if err := s.Rechain(grant(1, 0), From{}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, 1, 12)
	h := s.Head()
	if err := errors.Join(s.Committed(h.Stream, 1, 12, h.Hash, 1, 1), s.Covered(h.Stream, 1, 12, h.Hash)); err != nil {
		t.Fatal(err)
	}
	s.Safe(h.Stream, 1, 12)
	s.Restored(5)
	if _, err := s.Reclaim(time.Unix(0, 0), 0); err != nil {
		t.Fatal(err)
	}
	c, err := s.Cursor(5)
	if err != nil {
		t.Fatalf("batches behind 5 were deleted although the server no longer has them: %v", err)
	}
	_ = c.Close()
	if st := s.Stats(); st.Unsent != 7 || st.Safe != 5 || st.Covered != 5 {
		t.Fatalf("stats %+v", st)
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := AcquireLock(dir, "assay-agent run")
	if err != nil {
		t.Fatal(err)
	}
	_, err = AcquireLock(dir, "assay-agent import")
	var inUse *InUseError
	if !errors.As(err, &inUse) || !strings.Contains(err.Error(), fmt.Sprintf("assay-agent run (process %d)", os.Getpid())) {
		t.Fatalf("second lock: %v", err)
	}
	if holder, err := Holder(dir); err != nil || !strings.HasPrefix(holder, "assay-agent run (process") {
		t.Fatalf("holder %q, %v", holder, err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if holder, err := Holder(dir); err != nil || holder != "" {
		t.Fatalf("after release: holder %q, %v", holder, err)
	}
	l, err = AcquireLock(dir, "again")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Release()
}

func FuzzParseBody(f *testing.F) {
	frame, err := appendFrame(nil, (&evidence.Header{
		Kind: evidence.Bulk, Epoch: 1, Number: 1, EventCount: 1,
	}).Canonical(), []byte("s"), []byte("payload"), []entry{{"k", []byte("p")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame[framePrefix:])
	f.Fuzz(func(t *testing.T, body []byte) {
		b, ok := parseBody(body)
		if !ok {
			return
		}
		again, err := appendFrame(nil, b.Canonical, b.HeadSignature, b.Payload, b.progress)
		if err == nil && !bytes.Equal(again[framePrefix:], body) {
			t.Fatal("a body that parses must be the one that is written")
		}
	})
}
