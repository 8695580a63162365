package uplink_test

import (
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/uplink"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// Only what is committed, safe and in a verified checkpoint is deleted.
func TestDeletesWhatACheckpointCovers(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 60)
	before := h.spools[evidence.Bulk].Stats().Segments
	h.start()
	h.drained()
	h.until("segments deleted", func() bool { return h.spools[evidence.Bulk].Stats().Segments == 1 })
	if before < 5 {
		t.Fatalf("only %d segments", before)
	}
	h.stop()
	state, err := uplink.ReadState(filepath.Join(h.dir, "uplink.json"))
	if err != nil || state.Size == 0 || state.Fork != "" {
		t.Fatalf("state %+v, %v", state, err)
	}
}

func TestNothingIsDeletedBeforeItIsSafe(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	s.SafeAfter = 3600
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 60)
	before := h.spools[evidence.Bulk].Stats().Segments
	h.start()
	h.drained()
	h.until("a checkpoint", func() bool { return h.spools[evidence.Bulk].Stats().Covered > 0 })
	h.stop()
	if after := h.spools[evidence.Bulk].Stats().Segments; after < before {
		t.Fatalf("%d of %d segments left", after, before)
	}
	h.change = func(c *uplink.Config) { c.Now = func() time.Time { return time.Now().Add(2 * time.Hour) } }
	h.start()
	h.append(evidence.Bulk, 61, 61)
	h.drained()
	if h.spools[evidence.Bulk].Stats().Segments < before {
		t.Fatal("a wrong clock of the host's made batches safe")
	}
}

// Each way in which a checkpoint can contradict is a ledger fork: told once,
// kept, and the end of deletion. Batches go on being sent.
func TestLedgerFork(t *testing.T) {
	t.Parallel()
	flip := func(b []byte) { b[len(b)-1] ^= 1 }
	tampers := map[string]func(*agentv1.Checkpoint){
		"signature": func(c *agentv1.Checkpoint) {
			c.Note = []byte(strings.Replace(string(c.Note), "test.example", "evil.example", 1))
		},
		"root":     func(c *agentv1.Checkpoint) { c.Note[strings.Index(string(c.Note), "\n")+4] ^= 1 },
		"leaf":     func(c *agentv1.Checkpoint) { flip(c.Inclusions[0].Leaf) },
		"proof":    func(c *agentv1.Checkpoint) { flip(c.Inclusions[0].Proof[0]) },
		"position": func(c *agentv1.Checkpoint) { c.Inclusions[0].Position = 0 },
		"short":    func(c *agentv1.Checkpoint) { c.Inclusions[0].Proof[0] = []byte{1} },
	}
	for name, tamper := range tampers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.New(t, time.Now)
			var once sync.Once
			s.Sending = func(r *agentv1.ConnectResponse) error {
				if c := r.GetCheckpoint(); c != nil {
					once.Do(func() { tamper(c) })
				}
				return nil
			}
			h := newHost(t, s)
			h.append(evidence.Bulk, 1, 60)
			h.start()
			h.until("the fork is told", func() bool { return h.forks.Load() == 1 })
			h.append(evidence.Bulk, 61, 70)
			h.drained()
			h.stop()
			h.start()
			h.append(evidence.Bulk, 71, 80)
			h.drained()
			h.stop()
			h.check(evidence.Bulk, sequence(1, 80))
			state, err := uplink.ReadState(filepath.Join(h.dir, "uplink.json"))
			if err != nil || state.Fork == "" || h.forks.Load() != 1 {
				t.Fatalf("state %+v, told %d times, %v", state, h.forks.Load(), err)
			}
			if st := h.spools[evidence.Bulk].Stats(); st.Segments < 5 {
				t.Fatalf("only %d segments left: a forked ledger let batches be deleted", st.Segments)
			}
		})
	}
}

// A ledger that was rewritten, or has shrunk, is a fork too.
func TestRewrittenLedger(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 4)
	h.start()
	h.drained()
	backup := s.Backup()
	h.append(evidence.Bulk, 5, 30)
	h.drained()
	h.until("a checkpoint", func() bool { return h.spools[evidence.Bulk].Stats().Covered > 4 })
	h.stop()
	s.Restore(backup)
	h.start()
	h.until("the fork is told", func() bool { return h.forks.Load() == 1 })
}

// TestClockIsSetWhileConnected sets the host's clock days ahead, and days back, in
// mid-session: nothing becomes safe by that, all arrives in order, and what the
// server's clock has made safe is deleted.
func TestClockIsSetWhileConnected(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	s.SafeAfter = 3600
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 60)
	before := h.spools[evidence.Bulk].Stats().Segments
	var ahead, up, looks atomic.Int64
	begun := time.Now()
	h.change = func(c *uplink.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		c.Uptime = func() time.Duration { looks.Add(1); return time.Since(begun) + time.Duration(up.Load()) }
	}
	looked := func() {
		t.Helper()
		from := looks.Load()
		h.until("upkeep", func() bool { return looks.Load() > from+5 })
	}
	h.start()
	h.drained()
	h.until("a checkpoint", func() bool { return h.spools[evidence.Bulk].Stats().Covered > 0 })
	for i, set := range []time.Duration{48 * time.Hour, -72 * time.Hour, 0} {
		ahead.Store(int64(set))
		looked()
		if left := h.spools[evidence.Bulk].Stats().Segments; left < before {
			t.Fatalf("the clock was set by %s, and %d of %d segments are left", set, left, before)
		}
		h.append(evidence.Bulk, 61+i, 61+i)
		h.drained()
	}
	h.check(evidence.Bulk, sequence(1, 63))
	up.Store(int64(2 * time.Hour))
	h.until("what is safe to be deleted", func() bool { return h.spools[evidence.Bulk].Stats().Segments < before })
}
