package evidence_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

func newLedgerKey(t testing.TB, name string) (note.Signer, string) {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return signer, public
}

// A rotation is believed by whoever has the old key, and only if both sign.
func TestRotation(t *testing.T) {
	t.Parallel()
	old, oldKey := newLedgerKey(t, "assay/x")
	next, nextKey := newLedgerKey(t, "assay/x")
	other, otherKey := newLedgerKey(t, "assay/x")
	foreign, foreignKey := newLedgerKey(t, "assay/y")
	r := evidence.Rotation{Previous: oldKey, Key: nextKey, At: 77}
	signed, err := evidence.SignRotation(r, old, next)
	if err != nil {
		t.Fatal(err)
	}
	opened, verifier, err := evidence.OpenRotation(signed, oldKey)
	if err != nil || opened != r || verifier.KeyHash() != next.KeyHash() {
		t.Fatalf("%+v, %v", opened, err)
	}
	if _, _, err := evidence.OpenRotation(signed, otherKey); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("by another key: %v", err)
	}
	if _, err := evidence.SignRotation(r, old, other); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("signed by one that is not named: %v", err)
	}
	if _, err := evidence.SignRotation(evidence.Rotation{Previous: oldKey, Key: foreignKey}, old, foreign); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("to another ledger's key: %v", err)
	}
	if _, err := evidence.SignRotation(evidence.Rotation{Previous: oldKey, Key: oldKey}, old, old); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("to itself: %v", err)
	}
	lines := strings.SplitAfter(string(signed), "\n")
	for i := range lines {
		without := strings.Join(append(append([]string(nil), lines[:i]...), lines[i+1:]...), "")
		if lines[i] == "" {
			continue
		}
		if _, _, err := evidence.OpenRotation([]byte(without), oldKey); !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("without line %d: %v", i, err)
		}
	}
	for i := range signed {
		changed := append([]byte(nil), signed...)
		changed[i] ^= 2
		if _, _, err := evidence.OpenRotation(changed, oldKey); err == nil {
			t.Fatalf("byte %d changed: %q is believed", i, changed)
		}
	}
}

// What one kind of note says is never taken for another's.
func TestRotationIsNoCheckpoint(t *testing.T) {
	t.Parallel()
	name := "assay/key-rotation/v1"
	old, oldKey := newLedgerKey(t, name)
	next, nextKey := newLedgerKey(t, name)
	signed, err := evidence.SignRotation(evidence.Rotation{Previous: oldKey, Key: nextKey}, old, next)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(oldKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.OpenCheckpoint(signed, verifier); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("a rotation is taken for a checkpoint: %v", err)
	}
}

func FuzzOpenRotation(f *testing.F) {
	old, oldKey := newLedgerKey(f, "assay/x")
	next, nextKey := newLedgerKey(f, "assay/x")
	signed, err := evidence.SignRotation(evidence.Rotation{Previous: oldKey, Key: nextKey, At: 1}, old, next)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, verifier, err := evidence.OpenRotation(text, oldKey)
		if err == nil && (r.Previous != oldKey || verifier == nil) {
			t.Errorf("%q is believed: %+v", text, r)
		}
	})
}
