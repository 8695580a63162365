package ledger_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// faulty is the store of a server that has just started and meets a fault.
func (b *bundle) faulty(f *pgtest.Fault) *postgres.Store {
	return postgres.New(postgres.Config{DB: pgtest.FaultyDB(b.pool, f), Now: func() time.Time { return b.now }})
}

// Each step of recording a rotation fails, and fails after it was done. The
// operator, who is told, does it again: each rotation is recorded once, to the
// key that the folder holds, and the ledger verifies by it.
func TestRotationFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.EnsureLedgerKey(t.Context(), b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
	rotations := 0
	rotate := func(f *pgtest.Fault) error {
		record, previous, err := b.authority.NextLedgerKey()
		if err != nil {
			t.Fatal(err)
		}
		return b.faulty(f).RotateLedgerKey(t.Context(), record, previous, "ann")
	}
	take := func() {
		t.Helper()
		if err := b.authority.TakeNextLedgerKey(false); err != nil {
			t.Fatal(err)
		}
		rotations++
		b.leaves(t, 1)
		b.grow(t)
	}
	whole := &pgtest.Fault{}
	if err := rotate(whole); err != nil {
		t.Fatal(assay.Cause(err))
	}
	take()
	if len(whole.Steps) < 7 {
		t.Fatalf("a rotation takes the steps %q: too few to show anything", whole.Steps)
	}
	for _, fault := range whole.Each() {
		if err := rotate(fault); err == nil || !fault.Hit {
			t.Fatalf("%s: hit=%t, the rotation ended with %v", fault, fault.Hit, err)
		}
		// Until it is done again, whatever the ledger names, no old key signs on.
		b.leaves(t, 1)
		_ = b.growing.RunOnce(t.Context())
		if err := rotate(&pgtest.Fault{}); err != nil {
			t.Fatalf("%s: doing it again: %v", fault, assay.Cause(err))
		}
		take()
		keys, err := b.store.LedgerKeys(t.Context())
		if err != nil || len(keys) != 1+rotations || keys[rotations].Key != b.authority.LedgerKey() {
			t.Fatalf("%s: after %d rotations the ledger names %d keys, %v; the newest must be the folder's", fault, rotations, len(keys), err)
		}
	}
	var audited int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM audit_entry WHERE action = 'ledger.rotate_key'`).Scan(&audited); err != nil || audited != rotations {
		t.Errorf("%d rotations are in the audit trail, want %d, %v", audited, rotations, err)
	}
	var err error
	if b.verifier, err = note.NewVerifier(b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
	if report := b.verify(t); !report.Good() || report.Tree != report.Size {
		t.Errorf("after all failures the tree has %d of %d leaves, problems %v", report.Tree, report.Size, report.Problems)
	}
}

// Keeping a cosignature fails, and fails after it was done. The agent, which is
// not told, sends the next; each agent is kept and counted once for a size.
func TestCosignatureFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agents := []*evidencetest.Agent{evidencetest.Enrol(t, b.store, b.authority, b.now), evidencetest.Enrol(t, b.store, b.authority, b.now)}
	b.grow(t)
	shown, err := b.prover.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := int64(1000)
	keep := func(agent *evidencetest.Agent, f *pgtest.Fault) error {
		at++
		hash := evidence.CosignatureHash(evidence.Checkpoint{Origin: "assay/test", Size: shown.Size, Root: shown.Root}, at)
		signature, err := ecdsa.SignASN1(rand.Reader, agent.Key, hash[:])
		if err != nil {
			t.Fatal(err)
		}
		return b.faulty(f).KeepCosignature(t.Context(), &postgres.Cosignature{Size: shown.Size, Agent: agent.ID, Serial: agent.Certificate.Serial,
			Cosignature: evidence.Cosignature{At: at, Signature: signature}})
	}
	whole := &pgtest.Fault{}
	for _, f := range []*pgtest.Fault{{}, whole} { // the first makes the part, which the others find
		if err := keep(agents[0], f); err != nil {
			t.Fatal(assay.Cause(err))
		}
	}
	for i, fault := range whole.Each() {
		if err := keep(agents[1], fault); err == nil || !fault.Hit {
			t.Fatalf("%s: hit=%t, it ended with %v", fault, fault.Hit, err)
		}
		kept, _, err := b.store.Cosignatures(t.Context(), shown.Size)
		if want := 1 + min(i, 1); err != nil || len(kept) != want {
			t.Errorf("%s: %d cosignatures are kept, want %d, %v", fault, len(kept), want, err)
		}
		if err := keep(agents[1], &pgtest.Fault{}); err != nil {
			t.Fatal(assay.Cause(err))
		}
		if kept, _, err = b.store.Cosignatures(t.Context(), shown.Size); err != nil || len(kept) != 2 {
			t.Fatalf("%s: %d cosignatures are kept, %v", fault, len(kept), err)
		}
		vouching, err := b.store.Vouching(t.Context(), b.now.Add(-time.Hour))
		if err != nil || vouching.Hosts != 2 || vouching.Cosigned != 2 || vouching.Size != shown.Size {
			t.Errorf("%s: vouching %+v, %v", fault, vouching, err)
		}
		if newest := kept[0].At + kept[1].At; newest != 1002+at {
			t.Errorf("%s: what is kept was signed at %d and %d", fault, kept[0].At, kept[1].At)
		}
		if report := b.verify(t); !report.Good() {
			t.Errorf("%s: %v", fault, report.Problems)
		}
	}
}
