package ledger_test

import (
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Each step of beginning a successor fails, and fails after it was done. The
// operator does it again: the ledger is succeeded once, and verifies.
func TestSuccessionFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	begin := func(f *pgtest.Fault) (b *bundle, again func() error, err error) {
		b, kept, held, signed := restored(t)
		if _, err := b.store.KeepHeld(t.Context(), &postgres.HeldCheckpoint{Tree: postgres.Tree(held), Note: signed, Holder: "agent x"}); err != nil {
			t.Fatal(assay.Cause(err))
		}
		record, previous, err := b.authority.SuccessorKey("assay/test/2", held, evidence.TreeHead{Size: kept.Size, Root: kept.Root})
		if err != nil {
			t.Fatal(err)
		}
		s := &postgres.Succession{Record: record, Previous: previous, Held: postgres.Tree(held), By: "ann"}
		_, err = b.faulty(f).SucceedLedger(t.Context(), s)
		return b, func() error {
			_, err := b.store.SucceedLedger(t.Context(), s)
			return err
		}, err
	}
	whole := &pgtest.Fault{}
	if _, _, err := begin(whole); err != nil {
		t.Fatal(assay.Cause(err))
	}
	for _, fault := range whole.Each() {
		b, again, err := begin(fault)
		if err == nil || !fault.Hit {
			t.Fatalf("%s: hit=%t, it ended with %v", fault, fault.Hit, err)
		}
		must(t, again())
		must(t, b.authority.TakeNextLedgerKey(false))
		if b.verifier, err = note.NewVerifier(b.authority.LedgerKey()); err != nil {
			t.Fatal(err)
		}
		b.grow(t)
		keys, err := b.store.LedgerKeys(t.Context())
		if err != nil || len(keys) != 2 || keys[1].Key != b.authority.LedgerKey() {
			t.Errorf("%s: the ledger names %d keys, %v", fault, len(keys), err)
		}
		if report := b.verify(t); !report.Good() || report.Tree != report.Size {
			t.Errorf("%s: %d of %d leaves are signed, problems %v", fault, report.Tree, report.Size, report.Problems)
		}
	}
}
