package witness_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/witness"
)

const successor = "assay/test/2"

// succeed is the ledger that follows l, of which it kept some leaves of held, and
// what both keys say of that.
func (l *ledger) succeed(held, kept int64) (next *ledger, changes func(context.Context) ([]string, error)) {
	l.t.Helper()
	next = newNamedLedger(l.t, successor)
	copied := l.fork(kept)
	next.hashes, next.size = copied.hashes, copied.size
	head := func(size int64) evidence.TreeHead {
		return evidence.TreeHead{Size: size, Root: l.checkpoint(size).Root}
	}
	signed, err := evidence.SignSuccession(evidence.Succession{Previous: l.key, Key: next.key, At: 1, Held: head(held), Kept: head(kept)}, l.signer, next.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return next, func(context.Context) ([]string, error) { return []string{"", string(signed)}, nil }
}

// A witness goes over to the ledger that follows only once that was accepted, and
// then verifies that what was kept is in it.
func TestSuccession(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(10, "a")
	for _, c := range []struct {
		name           string
		signed, extend int64
	}{{"more than was kept", 9, 6}, {"all that was held", 10, 6}, {"less than was kept", 4, 4}, {"nothing yet", 0, 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newObserver(t, l.key)
			if c.signed > 0 {
				if _, err := o.Add(0, nil, l.signed(c.signed)); err != nil {
					t.Fatal(err)
				}
			}
			next, changes := l.succeed(10, 6)
			next.add(8, "b")
			_, err := o.Watch(t.Context(), next, origin, changes)
			var ended *witness.SuccessionError
			if !errors.As(err, &ended) || ended.Held.Size != 10 || ended.Kept.Size != 6 || !strings.Contains(err.Error(), successor) {
				t.Fatalf("before it was accepted: %v", err)
			}
			said, err := changes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.Accept(origin, said); err != nil {
				t.Fatal(err)
			}
			if err := o.state.Close(); err != nil {
				t.Fatal(err)
			}
			o.open(t, l.key) // also after a restart
			seen, err := o.Watch(t.Context(), next, origin, changes)
			if err != nil || seen.Origin != successor || seen.Size != 14 || seen.Extends != c.extend {
				t.Fatalf("once it was accepted: %+v, %v", seen, err)
			}
			if known := o.Known(origin); known.Size != c.signed || c.signed > 0 && known.Note == "" {
				t.Errorf("of the ledger that ended it remembers %+v", known)
			}
		})
	}
}

// A successor that denies what was signed, or that did not keep what it says, is
// not signed.
func TestSuccessionLies(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(12, "a")
	o := newObserver(t, l.key)
	if _, err := o.Add(0, nil, l.signed(9)); err != nil {
		t.Fatal(err)
	}
	_, hides := l.succeed(8, 6)
	said, err := hides(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Accept(origin, said); err == nil || !strings.Contains(err.Error(), "signed 9") {
		t.Errorf("a word that denies a leaf: %v", err)
	}
	if _, err := o.Accept(origin, []string{"no note"}); err == nil {
		t.Error("accepted what nobody said")
	}

	next, changes := l.succeed(10, 6)
	other := l.fork(5)
	other.add(9, "c")
	next.hashes, next.size = other.hashes, other.size
	if said, err = changes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Accept(origin, said); err != nil {
		t.Fatal(err)
	}
	var fork *witness.ForkError
	if _, err := o.Watch(t.Context(), next, origin, changes); !errors.As(err, &fork) {
		t.Errorf("it did not keep what it says: %v", err)
	}
}
