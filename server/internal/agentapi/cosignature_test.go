package agentapi_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc/codes"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
)

// cosign signs what a note says as an agent does.
func cosign(t *testing.T, agent *evidencetest.Agent, c evidence.Checkpoint, at int64) *agentv1.ConnectRequest {
	t.Helper()
	hash := evidence.CosignatureHash(c, at)
	signature, err := ecdsa.SignASN1(rand.Reader, agent.Key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Cosignature{Cosignature: &agentv1.Cosignature{
		Size: uint64(c.Size), Root: c.Root[:], SignedAt: at, Signature: signature}}}
}

func (h *harness) verifier(t *testing.T) note.Verifier {
	t.Helper()
	verifier, err := note.NewVerifier(h.authority.LedgerKey())
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

func (h *harness) open(t *testing.T, signed []byte) evidence.Checkpoint {
	t.Helper()
	c, err := evidence.OpenCheckpoint(signed, h.verifier(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) askToCosign(t *testing.T, known uint64, key string) *agentv1.Checkpoint {
	t.Helper()
	c.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_CheckpointRequest{
		CheckpointRequest: &agentv1.CheckpointRequest{KnownSize: known, Cosign: true, KnownKey: key}}})
	answer := c.recv(t).GetCheckpoint()
	if answer == nil || !answer.GetCosign() {
		t.Fatalf("the answer to one who would cosign is %v", answer)
	}
	return answer
}

// What agents cosign is kept and counted; of several that come within a while
// all are shown the same, and one who knows more is not shown less.
func TestCosignatures(t *testing.T) {
	t.Parallel()
	h := start(t)
	first, second, silent := h.connect(t, h.enrol(t)), h.connect(t, h.enrol(t)), h.connect(t, h.enrol(t))
	_ = silent
	h.grow(t)
	shown := h.open(t, first.askToCosign(t, 0, "").GetNote())
	first.send(t, cosign(t, first.agent, shown, 1000))
	chain := first.open(t, evidence.Bulk, assay.ReasonFirst)
	first.sendBatches(t, chain.Next(t, 1))
	first.acked(t, 1)
	h.grow(t)
	if again := h.open(t, second.askToCosign(t, 0, "").GetNote()); again != shown {
		t.Errorf("within the minute another is shown %d leaves, the first %d", again.Size, shown.Size)
	}
	second.send(t, cosign(t, second.agent, shown, 1001))
	second.send(t, cosign(t, second.agent, shown, 1002)) // the newer of one agent's takes its place
	h.until(t, func() bool {
		return h.count(t, `SELECT count(*) FROM cosignature WHERE signed_at <> to_timestamp(1001)`) == 2
	})
	newest, err := h.store.LatestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if more := h.open(t, second.askToCosign(t, uint64(newest.Size), "").GetNote()); more.Size != newest.Size {
		t.Errorf("one who knows %d leaves is shown %d", newest.Size, more.Size)
	}
	kept, keys, err := h.store.Cosignatures(t.Context(), shown.Size)
	if err != nil || len(kept) != 2 || len(keys) != 2 {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	vouching, err := h.store.Vouching(t.Context(), h.clock.now().Add(-time.Hour))
	if err != nil || vouching.Hosts != 3 || vouching.Cosigned != 2 || vouching.Size != shown.Size {
		t.Errorf("vouching %+v, %v", vouching, err)
	}
}

// A cosignature by another key ends the stream; one of another ledger is not
// kept, and is told.
func TestWrongCosignatures(t *testing.T) {
	t.Parallel()
	h := start(t)
	good, bad := h.connect(t, h.enrol(t)), h.connect(t, h.enrol(t))
	h.grow(t)
	shown := h.open(t, good.askToCosign(t, 0, "").GetNote())
	bad.send(t, cosign(t, good.agent, shown, 1000))
	bad.ends(t, codes.InvalidArgument)
	other := shown
	other.Root[0] ^= 1
	good.send(t, cosign(t, good.agent, other, 1000))
	unknown := shown
	unknown.Size += 5
	good.send(t, cosign(t, good.agent, unknown, 1000))
	_ = good.askToCosign(t, 0, "") // what came before is settled by now
	if n := h.count(t, `SELECT count(*) FROM cosignature`); n != 0 {
		t.Errorf("%d cosignatures kept", n)
	}
}

// A cosignature by a certificate that runs out before it is kept ends the stream:
// no verification would believe it.
func TestExpiredCosignatureIsNotKept(t *testing.T) {
	t.Parallel()
	h := start(t, func(cfg *agentapi.Config) { cfg.RevocationPoll = time.Hour })
	c := h.connect(t, h.enrol(t))
	h.grow(t)
	shown := h.open(t, c.askToCosign(t, 0, "").GetNote())
	h.clock.advance(7*24*time.Hour - 10*time.Second)
	c.send(t, cosign(t, c.agent, shown, 1000))
	c.ends(t, codes.Unauthenticated)
	if n := h.count(t, `SELECT count(*) FROM cosignature`); n != 0 {
		t.Errorf("%d cosignatures by a certificate that would have run out", n)
	}
}

// An agent that knows an older key is led to the newest by the words of all
// between, once that one signs.
func TestKeyChanges(t *testing.T) {
	t.Parallel()
	h := start(t)
	first := h.authority.LedgerKey()
	if err := h.store.EnsureLedgerKey(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	h.grow(t)
	c := h.connect(t, h.enrol(t))
	if answer := c.askToCosign(t, 0, first); len(answer.GetKeyChanges()) != 0 {
		t.Error("key changes before there is one")
	}
	for range 2 {
		record, previous, err := h.authority.NextLedgerKey()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.RotateLedgerKey(t.Context(), record, previous, "ann"); err != nil {
			t.Fatal(err)
		}
		if err := h.authority.TakeNextLedgerKey(false); err != nil {
			t.Fatal(err)
		}
	}
	if answer := c.askToCosign(t, 0, first); len(answer.GetKeyChanges()) != 0 {
		t.Error("key changes with a checkpoint that the newest key has not signed")
	}
	h.grow(t)
	h.clock.advance(2 * time.Minute)
	known, err := h.store.LatestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := c.askToCosign(t, uint64(known.Size), first)
	key := first
	for _, change := range answer.GetKeyChanges() {
		rotation, _, err := evidence.OpenRotation(change, key)
		if err != nil {
			t.Fatal(err)
		}
		key = rotation.Key
	}
	if len(answer.GetKeyChanges()) != 2 || key != h.authority.LedgerKey() {
		t.Errorf("%d changes lead to %s", len(answer.GetKeyChanges()), key)
	}
	if stranger := c.askToCosign(t, 0, "assay/other+00000000+x"); len(stranger.GetKeyChanges()) != 0 {
		t.Error("one who knows a key that is none of ours is led on")
	}
}
