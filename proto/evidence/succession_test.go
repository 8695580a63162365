package evidence_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/assay-audit/assay/proto/evidence"
)

func TestSuccession(t *testing.T) {
	t.Parallel()
	old, oldKey := newLedgerKey(t, "assay/x")
	next, nextKey := newLedgerKey(t, "assay/x/2")
	same, sameKey := newLedgerKey(t, "assay/x")
	held, kept := evidence.TreeHead{Size: 70, Root: evidence.Hash{1}}, evidence.TreeHead{Size: 48, Root: evidence.Hash{2}}
	s := evidence.Succession{Previous: oldKey, Key: nextKey, At: 77, Held: held, Kept: kept}
	signed, err := evidence.SignSuccession(s, old, next)
	if err != nil {
		t.Fatal(err)
	}
	opened, verifier, err := evidence.OpenSuccession(signed, oldKey)
	if err != nil || opened != s || verifier.KeyHash() != next.KeyHash() {
		t.Fatalf("%+v, %v", opened, err)
	}
	if _, _, err := evidence.OpenSuccession(signed, sameKey); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("by another key: %v", err)
	}
	for name, bad := range map[string]evidence.Succession{
		"a ledger of the same name": {Previous: oldKey, Key: sameKey, Held: held, Kept: kept},
		"more kept than held":       {Previous: oldKey, Key: nextKey, Held: kept, Kept: held},
		"a size below nothing":      {Previous: oldKey, Key: nextKey, Held: held, Kept: evidence.TreeHead{Size: -1}},
	} {
		signer := next
		if bad.Key == sameKey {
			signer = same
		}
		if _, err := evidence.SignSuccession(bad, old, signer); !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := evidence.SignSuccession(s, old, same); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("signed by one that is not named: %v", err)
	}
	lines := strings.SplitAfter(string(signed), "\n")
	for i := range lines {
		without := strings.Join(append(append([]string(nil), lines[:i]...), lines[i+1:]...), "")
		if _, _, err := evidence.OpenSuccession([]byte(without), oldKey); lines[i] != "" && !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("without line %d: %v", i, err)
		}
	}
	for i := range signed {
		changed := append([]byte(nil), signed...)
		changed[i] ^= 2
		if _, _, err := evidence.OpenSuccession(changed, oldKey); err == nil {
			t.Fatalf("byte %d changed: %q is believed", i, changed)
		}
	}
	if _, _, err := evidence.OpenRotation(signed, oldKey); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("taken for a rotation: %v", err)
	}
}
