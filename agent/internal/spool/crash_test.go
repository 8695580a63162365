package spool

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
