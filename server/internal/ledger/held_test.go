package ledger_test

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// gone signs a tree that the ledger's database does not have any more.
func (b *bundle) gone(t *testing.T, size int64) (evidence.TreeHead, []byte) {
	t.Helper()
	head := evidence.TreeHead{Size: size, Root: evidence.HashLeaf([]byte("gone"))}
	signed, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: b.authority.Origin(), Size: head.Size, Root: head.Root}, b.authority.LedgerSigners()...)
	if err != nil {
		t.Fatal(err)
	}
	return head, signed
}

func (b *bundle) stands(t *testing.T, h *ledger.Held, what string, signed []byte, want ledger.Standing) {
	t.Helper()
	if _, got, err := h.Examine(t.Context(), signed); err != nil || got != want {
		t.Errorf("%s stands as %d, want %d; %v", what, got, want, err)
	}
}

func (b *bundle) latest(t *testing.T) postgres.Checkpoint {
	t.Helper()
	c, err := b.prover.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// restored is a ledger of some leaves of which an agent holds more.
func restored(t *testing.T) (b *bundle, kept postgres.Checkpoint, held evidence.TreeHead, signed []byte) {
	t.Helper()
	b = setup(t)
	if err := b.store.EnsureLedgerKey(t.Context(), b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
	b.leaves(t, 3)
	b.grow(t)
	held, signed = b.gone(t, 9)
	return b, b.latest(t), held, signed
}

// While somebody holds a tree that the ledger does not have, nothing is signed;
// once a ledger follows it that says so, it goes on, and the whole verifies.
func TestSuccession(t *testing.T) {
	t.Parallel()
	b, kept, held, signed := restored(t)
	h := &ledger.Held{Store: b.store, Keys: b.authority}
	b.stands(t, h, "the newest checkpoint", kept.Note, ledger.Ours)
	b.stands(t, h, "it, asked again", kept.Note, ledger.Ours)
	b.stands(t, h, "a larger one", signed, ledger.Missing)
	b.stands(t, h, "no note at all", []byte("no note"), ledger.Foreign)
	_, other := b.gone(t, 2)
	b.stands(t, h, "another tree of two leaves", other, ledger.Missing)

	keep := &postgres.HeldCheckpoint{Tree: postgres.Tree(held), Note: signed, Holder: "agent x"}
	for i, want := range []bool{true, false} {
		if first, err := b.store.KeepHeld(t.Context(), keep); err != nil || first != want {
			t.Fatalf("kept %d times: %t, %v", i+1, first, err)
		}
	}
	b.leaves(t, 2)
	if err := b.growing.RunOnce(t.Context()); err == nil || !strings.Contains(assay.Cause(err).Error(), "assay-server recover") {
		t.Fatalf("growing: %v", err)
	}
	if now := b.latest(t); now.Size != kept.Size {
		t.Fatalf("%d leaves were signed over the %d", now.Size, kept.Size)
	}

	first := b.authority.LedgerKey()
	less := held
	less.Size--
	b.succeed(t, less, evidence.TreeHead{Size: kept.Size, Root: kept.Root}, assay.Conflict)
	b.succeed(t, held, evidence.TreeHead{Size: kept.Size, Root: kept.Root}, 0)
	b.grow(t)
	b.leaves(t, 2)
	b.grow(t)
	if report := b.verify(t); !report.Good() || report.Tree != report.Size {
		t.Errorf("%d of %d leaves are signed, problems %v", report.Tree, report.Size, report.Problems)
	}
	if now := b.latest(t); !strings.HasPrefix(string(now.Note), "assay/test/2\n") {
		t.Errorf("the newest checkpoint is %s", now.Note)
	}
	if left, err := b.store.Held(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("not settled: %+v, %v", left, err)
	}
	// What an agent that has slept shows of the ledger that ended holds nothing up.
	b.stands(t, h, "a checkpoint of the ledger before", signed, ledger.Foreign)
	b.stands(t, h, "the newest of the successor", b.latest(t).Note, ledger.Ours)
	keys, err := b.store.LedgerKeys(t.Context())
	if err != nil || len(keys) != 2 || keys[1].Action != evidence.KeySucceeded || keys[1].Change() != keys[1].Succession {
		t.Fatalf("keys %+v, %v", keys, err)
	}
	if _, _, err := evidence.OpenSuccession([]byte(keys[1].Succession), first); err != nil {
		t.Error(err)
	}
}

// succeed begins the successor as the command does.
func (b *bundle) succeed(t *testing.T, held, kept evidence.TreeHead, want assay.Kind) {
	t.Helper()
	record, previous, err := b.authority.SuccessorKey("assay/test/2", held, kept)
	if err != nil {
		t.Fatal(err)
	}
	s := &postgres.Succession{Record: record, Previous: previous, Held: postgres.Tree(held), By: "ann"}
	position, err := b.store.SucceedLedger(t.Context(), s)
	if want != 0 {
		if assay.KindOf(err) != want {
			t.Fatalf("beginning a successor: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(assay.Cause(err))
	}
	// Cut short here, it is done once more to no other end.
	if unfinished, err := b.authority.UnfinishedLedgerKey(); err != nil || unfinished != record.Key {
		t.Fatalf("unfinished is %q, %v", unfinished, err)
	}
	if again, err := b.store.SucceedLedger(t.Context(), s); err != nil || again != position {
		t.Fatalf("once more it is at %d, was at %d, %v", again, position, err)
	}
	if err := b.authority.TakeNextLedgerKey(false); err != nil {
		t.Fatal(err)
	}
	if b.verifier, err = note.NewVerifier(b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
}

// A succession that says that another tree was kept than there is, or of which a
// bit was changed, is named.
func TestSuccessionAltered(t *testing.T) {
	t.Parallel()
	b, kept, held, _ := restored(t)
	b.succeed(t, held, evidence.TreeHead{Size: kept.Size, Root: held.Root}, 0)
	b.grow(t)
	if report := b.verify(t); !names(report, "key") {
		t.Errorf("another tree is said to be kept: %v", report.Problems)
	}

	b, kept, held, _ = restored(t)
	b.succeed(t, held, evidence.TreeHead{Size: kept.Size, Root: kept.Root}, 0)
	b.grow(t)
	b.exec(t, `UPDATE leaf_record SET body = replace(encode(body, 'escape'), 'held 9', 'held 8')::bytea WHERE encode(body, 'escape') LIKE '%held 9%'`)
	if report := b.verify(t); report.Good() {
		t.Error("a succession that was altered verifies")
	}
}
