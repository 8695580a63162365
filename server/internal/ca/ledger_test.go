package ca_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/ca"
)

// A rotation that is cut short anywhere leaves keys that load, and is ended by
// doing it again: to the key that the ledger may name already.
func TestRotationCutShort(t *testing.T) {
	t.Parallel()
	steps := map[string]func(t *testing.T, dir string){
		"before the ledger names it": func(*testing.T, string) {},
		"old key kept": func(t *testing.T, dir string) {
			link(t, dir, "ledger.key", "ledger-old.key")
		},
		"old key half kept": func(t *testing.T, dir string) {
			link(t, dir, "ledger.key", "ledger-old.key.new")
		},
		"secret key in place": func(t *testing.T, dir string) {
			link(t, dir, "ledger.key", "ledger-old.key")
			move(t, dir, "ledger-next.key", "ledger.key")
		},
		"next key half made": func(t *testing.T, dir string) {
			move(t, dir, "ledger-next.key", "ledger-next.key.new")
		},
	}
	for name, cut := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "keys")
			if err := ca.Create(dir, ca.CreateConfig{Origin: "assay/test", Now: time.Now}); err != nil {
				t.Fatal(err)
			}
			a := load(t, dir)
			first := a.LedgerKey()
			record, previous, err := a.NextLedgerKey()
			if err != nil || previous != first || record.Key == first {
				t.Fatalf("%+v after %s, %v", record, previous, err)
			}
			cut(t, dir)
			a = load(t, dir)
			if a.LedgerKey() == record.Key {
				// The rotation was as good as done; the next one is another.
				first = record.Key
			}
			again, previous, err := a.NextLedgerKey()
			if err != nil || previous != first {
				t.Fatalf("again: %+v after %s, %v", again, previous, err)
			}
			if name != "next key half made" && first != record.Key && again.Key != record.Key {
				t.Error("the second rotation is to another key than the ledger may name")
			}
			if err := a.TakeNextLedgerKey(true); err != nil {
				t.Fatal(err)
			}
			a = load(t, dir)
			if a.LedgerKey() != again.Key || len(a.LedgerSigners()) != 2 {
				t.Errorf("key %s and %d signers after the rotation to %s", a.LedgerKey(), len(a.LedgerSigners()), again.Key)
			}
			if err := a.RetireLedgerKey(); err != nil {
				t.Fatal(err)
			}
			if a = load(t, dir); len(a.LedgerSigners()) != 1 || a.LedgerKey() != again.Key {
				t.Errorf("%d signers after the old key was retired", len(a.LedgerSigners()))
			}
		})
	}
}

func load(t *testing.T, dir string) *ca.Authority {
	t.Helper()
	a, err := ca.Load(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func link(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Link(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

// A succession leads to a key of another name, and does not take one that was made
// for a rotation; the record of a rotation that was lost can be made again as long
// as the old key is there.
func TestSuccessorKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := ca.Create(dir, ca.CreateConfig{Origin: "assay/test", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	a := load(t, dir)
	first := a.LedgerKey()
	rotated, _, err := a.NextLedgerKey()
	if err != nil {
		t.Fatal(err)
	}
	held, kept := evidence.TreeHead{Size: 9}, evidence.TreeHead{Size: 4}
	if _, _, err := a.SuccessorKey("assay/test/2", held, kept); err == nil {
		t.Error("the key of an unfinished rotation was taken for a successor's")
	}
	if err := a.TakeNextLedgerKey(true); err != nil {
		t.Fatal(err)
	}
	again, ok, err := a.RotationFrom(first)
	if err != nil || !ok || again.Key != rotated.Key {
		t.Fatalf("the rotation made again: %+v, %t, %v", again, ok, err)
	}
	if _, _, err := evidence.OpenRotation([]byte(again.Rotation), first); err != nil {
		t.Error(err)
	}
	if unfinished, err := a.UnfinishedLedgerKey(); err != nil || unfinished != "" {
		t.Errorf("unfinished is %q, %v", unfinished, err)
	}
	record, previous, err := a.SuccessorKey("assay/test/2", held, kept)
	if err != nil || previous != rotated.Key || record.Action != evidence.KeySucceeded {
		t.Fatalf("%+v after %s, %v", record, previous, err)
	}
	s, _, err := evidence.OpenSuccession([]byte(record.Succession), previous)
	if err != nil || s.Held != held || s.Kept != kept || s.Key != record.Key {
		t.Errorf("the succession says %+v, %v", s, err)
	}
	if unfinished, err := a.UnfinishedLedgerKey(); err != nil || unfinished != record.Key {
		t.Errorf("unfinished is %q, %v", unfinished, err)
	}
	if err := a.TakeNextLedgerKey(false); err != nil {
		t.Fatal(err)
	}
	if a = load(t, dir); a.Origin() != "assay/test/2" || a.LedgerKey() != record.Key || len(a.LedgerSigners()) != 1 {
		t.Errorf("the keys are of %s, %s, %d signers", a.Origin(), a.LedgerKey(), len(a.LedgerSigners()))
	}
	if _, ok, err := a.RotationFrom(first); ok || err != nil {
		t.Errorf("with the old key gone: %t, %v", ok, err)
	}
}
