package spool

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/assay-audit/assay/proto/evidence"
)

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
		// It says when: since the last event of the batch before, where there is one.
		if loss := r.Losses()[0]; loss.From != int64(loss.First) && (loss.First != 1 || loss.From != 0) {
			t.Errorf("segment %d removed: batches since %d are lost from %d", i, loss.First, loss.From)
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
