package uplink_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/uplink"
	"github.com/assay-audit/assay/proto/evidence"
)

// restored is a host whose server was restored from an older backup.
type restored struct {
	*host
	server *servertest.Server
	held   evidence.TreeHead // of before
	first  string            // the ledger key of the enrolment

	mu   sync.Mutex
	told []string // under mu
}

func newRestored(t *testing.T) *restored {
	t.Helper()
	s := servertest.New(t, time.Now)
	r := &restored{host: newHost(t, s), server: s, first: s.LedgerKey}
	h := r.host
	cosigning(h)
	h.change = func(change func(*uplink.Config)) func(*uplink.Config) {
		return func(c *uplink.Config) {
			change(c)
			c.LedgerKey = r.first
			c.LedgerSucceeded = func(what string) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.told = append(r.told, what)
			}
		}
	}(h.change)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	h.until("a checkpoint", func() bool { return h.state().Size == 6 })
	backup := s.Backup()
	h.append(evidence.Bulk, 6, 9)
	h.drained()
	h.until("a checkpoint of after the backup", func() bool { return h.state().Size == 10 })
	h.stop()
	r.held = evidence.TreeHead{Size: 10, Root: s.Root(t, 10)}
	s.Restore(backup)
	return r
}

func (r *restored) succeededTold() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

// A ledger that was restored and says so is followed, the loss is told once, and
// what is still held here is sent again. It stays so over a restart.
func TestFollowsSuccession(t *testing.T) {
	t.Parallel()
	r := newRestored(t)
	r.server.Succeed(t, r.held, 6)
	r.start()
	r.drained()
	r.until("a checkpoint of the new ledger", func() bool { return r.state().Size == 10 && strings.Contains(r.state().Note, "/next\n") })
	r.check(evidence.Bulk, sequence(1, 9))
	r.stop()
	r.start()
	r.append(evidence.Bulk, 10, 12)
	r.drained()
	r.until("a newer one after a restart", func() bool { return r.state().Size == 13 })
	r.stop()
	told := r.succeededTold()
	if state := r.state(); state.Fork != "" || len(told) != 1 || !strings.Contains(told[0], "of 10 leaves it kept 6") || r.forks.Load() != 0 {
		t.Errorf("fork %q, told %q", state.Fork, told)
	}
}

// A fork that a restored server made is over once the server says what it lost.
func TestSuccessionEndsAFork(t *testing.T) {
	t.Parallel()
	r := newRestored(t)
	r.start()
	r.until("the fork is told", func() bool { return r.state().Fork != "" })
	r.server.Succeed(t, r.held, 6)
	r.until("the new ledger", func() bool { return r.state().Fork == "" && strings.Contains(r.state().Note, "/next\n") })
	r.drained()
	r.check(evidence.Bulk, sequence(1, 9))
	r.stop()
}

// A successor that denies what this host holds is a fork, not a successor.
func TestSuccessionMustCoverWhatIsKnown(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]func(*restored) evidence.TreeHead{
		"fewer leaves": func(r *restored) evidence.TreeHead { return evidence.TreeHead{Size: 9, Root: r.held.Root} },
		"another root": func(r *restored) evidence.TreeHead { return evidence.TreeHead{Size: 10, Root: evidence.Hash{1}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRestored(t)
			r.server.Succeed(t, held(r), 6)
			r.start()
			r.until("the fork is told", func() bool { return r.state().Fork != "" })
			r.append(evidence.Bulk, 10, 30)
			r.drained()
			r.stop()
			if state := r.state(); state.Size != 10 || len(state.KeyChanges) != 0 || len(r.succeededTold()) != 0 || r.forks.Load() != 1 {
				t.Errorf("%+v, told %q, %d forks", state, r.succeededTold(), r.forks.Load())
			}
		})
	}
}

// What a restored server lacks and nobody holds any more is said when the stream
// goes on.
func TestSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	cosigning(h)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	backup := s.Backup()
	h.append(evidence.Bulk, 6, 60)
	h.drained()
	h.until("acknowledged batches to be deleted", func() bool { return h.spools[evidence.Bulk].Stats().Segments == 1 })
	h.stop()
	s.Restore(backup)
	h.start()
	h.append(evidence.Bulk, 61, 62)
	h.drained()
	h.stop()
	committed := h.committed(evidence.Bulk)
	lost := s.Lost()
	if len(lost) != 1 || lost[0][0] != 6 || lost[0][1] < 6 {
		t.Fatalf("said to be lost: %v", lost)
	}
	want := append(sequence(1, 5), sequence(int(lost[0][1])+1, 62)...)
	if !slices.Equal(committed, want) {
		t.Errorf("committed are %v, want %v", committed, want)
	}
}
