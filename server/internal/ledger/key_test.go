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

// rotate gives the ledger another key.
func (b *bundle) rotate(t *testing.T, keepOld bool) {
	t.Helper()
	record, previous, err := b.authority.NextLedgerKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.store.RotateLedgerKey(t.Context(), record, previous, "ann"); err != nil {
		t.Fatal(assay.Cause(err))
	}
	if err := b.authority.TakeNextLedgerKey(keepOld); err != nil {
		t.Fatal(err)
	}
	if b.verifier, err = note.NewVerifier(b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
}

// A ledger whose key was rotated verifies from its newest key on: each
// checkpoint by the key of its time.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.authority.LedgerKey()
	if err := b.store.EnsureLedgerKey(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := b.store.EnsureLedgerKey(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	b.leaves(t, 3)
	b.grow(t)
	b.rotate(t, true)
	b.leaves(t, 2)
	b.grow(t)
	both, err := b.prover.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{first, b.authority.LedgerKey()} {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.OpenCheckpoint(both.Note, verifier); err != nil {
			t.Errorf("by key %s: %v", key, err)
		}
	}
	b.rotate(t, false)
	b.leaves(t, 2)
	b.grow(t)
	if newest, err := b.prover.Latest(t.Context()); err != nil || strings.Count(string(newest.Note), "\u2014 ") != 1 {
		t.Errorf("after the old key was discarded the checkpoint is %s, %v", newest.Note, err)
	}
	if report := b.verify(t); !report.Good() || report.Size != 1+3+2+2+2+2 {
		t.Errorf("size %d, problems %v", report.Size, report.Problems)
	}
	keys, err := b.store.LedgerKeys(t.Context())
	if err != nil || len(keys) != 3 {
		t.Fatalf("keys %+v, %v", keys, err)
	}
	if err := b.store.EnsureLedgerKey(t.Context(), first); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a server with the first key: %v", err)
	}
	trusted := b.config()
	if trusted.Key, err = note.NewVerifier(first); err != nil {
		t.Fatal(err)
	}
	report, err := ledger.Verify(t.Context(), b.store, trusted)
	if err != nil || !names(report, "key") {
		t.Errorf("verified by a key that is not the newest: %v, %v", report.Problems, err)
	}
}

func names(report *ledger.Report, what string) bool {
	for _, p := range report.Problems {
		if p.What == what {
			return true
		}
	}
	return false
}

// Whatever of the keys is altered is named.
func TestKeysAltered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.EnsureLedgerKey(t.Context(), b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
	b.leaves(t, 3)
	b.grow(t)
	b.rotate(t, false)
	b.leaves(t, 2)
	b.grow(t)
	for name, sql := range map[string]string{
		"row altered":      `UPDATE leaf_record SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE position = 4`,
		"row removed":      `DELETE FROM leaf_record WHERE position = 4`,
		"first removed":    `DELETE FROM leaf_record WHERE position = 0`,
		"of another kind":  `UPDATE leaf_record SET kind = 15 WHERE position = 4`,
		"at another place": `UPDATE leaf_record SET position = 2 WHERE position = 4`,
	} {
		b.exec(t, `CREATE TABLE kept AS SELECT * FROM leaf_record`)
		b.exec(t, sql)
		if report := b.verify(t); report.Good() {
			t.Errorf("%s: nothing is named", name)
		}
		b.exec(t, `DELETE FROM leaf_record`)
		b.exec(t, `INSERT INTO leaf_record SELECT * FROM kept`)
		if _, err := b.pool.Exec(t.Context(), `DROP TABLE kept`); err != nil {
			t.Fatal(err)
		}
	}
	if report := b.verify(t); !report.Good() {
		t.Errorf("restored: %v", report.Problems)
	}
}

// A server whose folder of keys is behind does not sign.
func TestOldKeyDoesNotSign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.leaves(t, 1)
	b.grow(t)
	record, previous, err := b.authority.NextLedgerKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.store.RotateLedgerKey(t.Context(), record, previous, "ann"); err != nil {
		t.Fatal(err)
	}
	if err := b.growing.RunOnce(t.Context()); err == nil {
		t.Fatal("the old key signed a tree in which it has a successor")
	}
	if err := b.authority.TakeNextLedgerKey(false); err != nil {
		t.Fatal(err)
	}
	b.grow(t)
	if b.verifier, err = note.NewVerifier(b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
	if report := b.verify(t); !report.Good() {
		t.Error(report.Problems)
	}
}

func newRecord(t *testing.T, kind evidence.LeafKind, name string, record any) []postgres.Record {
	t.Helper()
	r, err := postgres.NewRecord(kind, name, record)
	if err != nil {
		t.Fatal(err)
	}
	return []postgres.Record{r}
}

// What is in use is recorded when it changes, and not otherwise.
func TestTakeIntoUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	take := func(version string) int {
		t.Helper()
		engine := newRecord(t, evidence.LeafEngine, "engine", evidence.EngineRecord{Version: version})
		pack := newRecord(t, evidence.LeafPack, "framework x", evidence.FrameworkRecord{Kind: evidence.FrameworkPack, ID: "x", Version: "1"})
		taken, err := b.store.TakeIntoUse(t.Context(), append(engine, pack...))
		if err != nil {
			t.Fatal(assay.Cause(err))
		}
		return taken
	}
	for i, c := range []struct {
		version string
		want    int
	}{{"1", 2}, {"1", 0}, {"2", 1}, {"1", 1}} {
		if got := take(c.version); got != c.want {
			t.Errorf("start %d with version %s took %d into use, want %d", i, c.version, got, c.want)
		}
	}
	b.grow(t)
	if report := b.verify(t); !report.Good() || report.Size != 4 {
		t.Errorf("%d leaves, %v", report.Size, report.Problems)
	}
	b.exec(t, `UPDATE leaf_record SET body = '{}' WHERE position = 1`)
	b.exec(t, `DELETE FROM leaf_record WHERE position = 2`)
	if report := b.verify(t); !names(report, "pack") || !names(report, "engine") {
		t.Errorf("altered: %v", report.Problems)
	}
}
