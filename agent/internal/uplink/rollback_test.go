package uplink_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/proto/evidence"
)

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"agent.key", "identity.json"} {
		if err := os.Chmod(filepath.Join(to, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A virtual machine goes back to a snapshot: a new epoch for what is new, no
// word lost, and no incident.
func TestRollback(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	h.stop()
	h.closeSpools()
	snapshot := filepath.Join(t.TempDir(), "snapshot")
	copyDir(t, h.dir, snapshot)
	h.open()
	h.append(evidence.Bulk, 6, 9)
	h.start()
	h.drained()
	h.stop()
	h.closeSpools()
	copyDir(t, snapshot, h.dir)
	h.open()
	h.append(evidence.Bulk, 20, 22)
	h.start()
	h.drained()
	h.check(evidence.Bulk, append(sequence(1, 9), 20, 21, 22))
	if reasons, _ := s.Reasons(); !slices.Equal(reasons, []string{"first", "rollback"}) || h.forks.Load() != 0 {
		t.Fatalf("epochs %v, ledger forks %d", reasons, h.forks.Load())
	}
}

// A copy of the machine runs at the same time: whoever comes second opens an
// epoch, and both keep theirs.
func TestForkWhileConnected(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	h.stop()
	h.closeSpools()
	clone := &host{t: t, server: s, dir: filepath.Join(t.TempDir(), "clone"), id: h.id, acked: make(chan struct{}, 1)}
	copyDir(t, h.dir, clone.dir)
	h.open()
	clone.open()
	h.start()
	clone.start()
	t.Cleanup(clone.stop)
	// Both know the same head: only so do they contradict each other later.
	h.until("both are connected", func() bool { return h.uplink.Status().Connected && clone.uplink.Status().Connected })
	h.append(evidence.Bulk, 6, 9)
	h.drained()
	clone.append(evidence.Bulk, 206, 208)
	clone.drained()
	h.append(evidence.Bulk, 10, 12)
	h.drained()
	got := h.committed(evidence.Bulk)
	slices.Sort(got)
	if !slices.Equal(got, append(sequence(1, 12), 206, 207, 208)) {
		t.Fatalf("the server has %v", got)
	}
	if _, forks := s.Reasons(); forks == 0 {
		t.Fatal("the fork was not noticed")
	}
	if h.forks.Load()+clone.forks.Load() != 0 {
		t.Fatal("a copied host was taken for a forked ledger")
	}
}

func TestSpoolLost(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	h.stop()
	h.closeSpools()
	if err := os.RemoveAll(filepath.Join(h.dir, "bulk")); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.append(evidence.Bulk, 6, 8)
	h.start()
	h.drained()
	h.check(evidence.Bulk, sequence(1, 8))
	if reasons, _ := s.Reasons(); !slices.Equal(reasons, []string{"first", "spool_lost"}) {
		t.Fatalf("epochs %v", reasons)
	}
}

// A batch that rots on disk is lost and said to be; the rest arrives.
func TestDamagedSpool(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 3)
	h.start()
	h.drained()
	h.stop()
	h.append(evidence.Bulk, 4, 12)
	h.closeSpools()
	names, err := filepath.Glob(filepath.Join(h.dir, "bulk", "*.seg"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	slices.Sort(names)
	b, err := os.ReadFile(names[len(names)-2])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(names[len(names)-2], b, 0o600); err != nil {
		t.Fatal(err)
	}
	h.open()
	losses := h.spools[evidence.Bulk].Losses()
	if len(losses) != 1 {
		t.Fatalf("losses %+v", losses)
	}
	var want []int
	for i := 1; i <= 12; i++ {
		// Batch n of the epoch holds value n.
		if uint64(i) < losses[0].First || uint64(i) > losses[0].Last {
			want = append(want, i)
		}
	}
	h.start()
	h.drained()
	h.check(evidence.Bulk, want)
	if reasons, _ := s.Reasons(); !slices.Equal(reasons, []string{"first", "spool_lost"}) {
		t.Fatalf("epochs %v", reasons)
	}
}

// A database restored from a backup, or empty, gets back all that was not safe.
func TestServerRestored(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"backup", "other epoch", "empty"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := servertest.New(t, time.Now)
			s.SafeAfter = 3600
			h := newHost(t, s)
			h.append(evidence.Bulk, 1, 6)
			h.start()
			h.drained()
			backup := s.Backup()
			h.append(evidence.Bulk, 7, 12)
			h.drained()
			h.stop()
			if how == "other epoch" {
				// The present epoch is one that the backup does not know.
				if err := os.RemoveAll(filepath.Join(h.dir, "control")); err != nil {
					t.Fatal(err)
				}
				head := h.spools[evidence.Bulk].Head()
				err := h.spools[evidence.Bulk].Rechain(spool.Grant{Stream: head.Stream, Epoch: 2, NextSequence: head.NextSequence},
					spool.From{Stream: head.Stream, Epoch: 1, Number: head.Number, Hash: head.Hash})
				if err != nil {
					t.Fatal(err)
				}
			}
			h.append(evidence.Bulk, 13, 15)
			if how == "empty" {
				s.Forget()
			} else {
				s.Restore(backup)
			}
			// The ledger did go back: that is another test's matter.
			if err := os.Remove(filepath.Join(h.dir, "uplink.json")); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			h.start()
			h.drained()
			h.check(evidence.Bulk, sequence(1, 15))
		})
	}
}
