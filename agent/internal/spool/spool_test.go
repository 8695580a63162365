package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
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
