package uplink_test

import (
	"crypto"
	"crypto/ecdsa"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/uplink"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

func (h *host) state() uplink.State {
	h.t.Helper()
	state, err := uplink.ReadState(filepath.Join(h.dir, "uplink.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	return state
}

func (h *host) publicKey() *ecdsa.PublicKey {
	h.t.Helper()
	mine, err := h.id.TLS().GetClientCertificate(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return mine.PrivateKey.(crypto.Signer).Public().(*ecdsa.PublicKey)
}

// cosigning makes the host sign what it is shown, often.
func cosigning(h *host) {
	h.change = func(c *uplink.Config) {
		c.Sign, c.CheckpointMin, c.CheckpointMax = h.id.Sign, 20*time.Millisecond, 30*time.Millisecond
	}
}

// An agent signs each checkpoint that it verified, by its device key, and says
// at its next connection which was the newest.
func TestCosigns(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	told := make(chan string, 8)
	s.Received = func(r *agentv1.ConnectRequest) error {
		if hello := r.GetHello(); hello != nil {
			told <- string(hello.GetCheckpoint())
		}
		return nil
	}
	h := newHost(t, s)
	cosigning(h)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	h.until("a cosignature of all", func() bool {
		signed := s.Cosigned()
		return len(signed) > 0 && signed[len(signed)-1].GetSize() == 6
	})
	h.stop()
	for _, c := range s.Cosigned() {
		checkpoint := evidence.Checkpoint{Origin: "test.example/ledger", Size: int64(c.GetSize()), Root: s.Root(t, int64(c.GetSize()))}
		cosignature := evidence.Cosignature{At: c.GetSignedAt(), Signature: c.GetSignature()}
		if err := cosignature.Check(checkpoint, h.publicKey()); err != nil || evidence.Hash(c.GetRoot()) != checkpoint.Root {
			t.Errorf("cosignature of %d: %v", c.GetSize(), err)
		}
	}
	note := h.state().Note
	h.start()
	h.append(evidence.Bulk, 6, 6)
	h.drained()
	h.stop()
	if first, second := <-told, <-told; first != "" || second != note || note == "" {
		t.Errorf("told %q, then %q; known is %q", first, second, note)
	}
}

// What was not verified is not signed.
func TestDoesNotCosignAFork(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	s.Sending = func(r *agentv1.ConnectResponse) error {
		if c := r.GetCheckpoint(); c != nil && len(c.GetInclusions()) > 0 {
			c.Inclusions[0].Position++
		}
		return nil
	}
	h := newHost(t, s)
	cosigning(h)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	h.until("the fork is told", func() bool { return h.forks.Load() == 1 })
	before := len(s.Cosigned())
	h.append(evidence.Bulk, 6, 20)
	h.drained()
	h.stop()
	if after := len(s.Cosigned()); after != before {
		t.Errorf("%d cosignatures, then %d after a fork", before, after)
	}
}

// A rotation by the trusted key is followed, once or many at a time and over a
// restart; by another key it is not, and what only that one signed is a fork.
func TestFollowsRotation(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	first := s.LedgerKey
	h := newHost(t, s)
	cosigning(h)
	h.append(evidence.Bulk, 1, 5)
	h.start()
	h.drained()
	h.until("a checkpoint", func() bool { return len(s.Cosigned()) > 0 })
	s.Rotate(t, true)
	h.until("the first rotation", func() bool { return len(h.state().KeyChanges) == 1 })
	h.stop()
	s.Rotate(t, false)
	s.Rotate(t, false)
	h.change = func(change func(*uplink.Config)) func(*uplink.Config) {
		return func(c *uplink.Config) { change(c); c.LedgerKey = first }
	}(h.change)
	h.start()
	h.until("the next two", func() bool { return len(h.state().KeyChanges) == 3 })
	h.append(evidence.Bulk, 6, 9)
	h.drained()
	h.until("a cosignature by then", func() bool {
		signed := s.Cosigned()
		return signed[len(signed)-1].GetSize() == 10
	})
	h.stop()
	if state := h.state(); state.Fork != "" {
		t.Fatalf("a rotation is taken for a fork: %s", state.Fork)
	}
	thief := servertest.New(t, time.Now)
	thief.Rotate(t, false)
	s.Steal(thief)
	h.start()
	h.until("the fork is told", func() bool { return h.forks.Load() == 1 })
	h.stop()
	if state := h.state(); len(state.KeyChanges) != 3 {
		t.Errorf("a key change by another key was taken over: %d changes", len(state.KeyChanges))
	}
}
