package servertest

import (
	"crypto/rand"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// keyChange is a change of the ledger's key from a key on.
type keyChange struct{ from, note string }

// Rotate gives the ledger a new key that the old one signed; keepOld lets the old
// one sign beside it.
func (s *Server) Rotate(t testing.TB, keepOld bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, public, err := note.GenerateKey(rand.Reader, s.signer.Name())
	if err != nil {
		t.Fatal(err)
	}
	next, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := evidence.SignRotation(evidence.Rotation{Previous: s.LedgerKey, Key: public, At: evidence.Ticks(s.ca.now())}, s.signer, next)
	if err != nil {
		t.Fatal(err)
	}
	s.changes = append(s.changes, keyChange{s.LedgerKey, string(signed)})
	s.old = nil
	if keepOld {
		s.old = s.signer
	}
	s.signer, s.LedgerKey = next, public
}

// Succeed begins another ledger, by the word of the one before, of which held was
// the largest tree, and of which the first kept leaves are still there.
func (s *Server) Succeed(t testing.TB, held evidence.TreeHead, kept int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, public, err := note.GenerateKey(rand.Reader, s.signer.Name()+"/next")
	if err != nil {
		t.Fatal(err)
	}
	next, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.root(kept)
	if err != nil {
		t.Fatal(err)
	}
	succession := evidence.Succession{Previous: s.LedgerKey, Key: public, At: evidence.Ticks(s.ca.now()), Held: held, Kept: evidence.TreeHead{Size: kept, Root: root}}
	signed, err := evidence.SignSuccession(succession, s.signer, next)
	if err != nil {
		t.Fatal(err)
	}
	s.changes = append(s.changes, keyChange{s.LedgerKey, string(signed)})
	s.signer, s.old, s.LedgerKey = next, nil, public
}

// Lost returns the ranges of batches that agents said are lost.
func (s *Server) Lost() [][2]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lost)
}

// Cosigned returns the cosignatures that agents sent.
func (s *Server) Cosigned() []*agentv1.Cosignature {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cosigned)
}

// Root returns the root of the first size leaves.
func (s *Server) Root(t testing.TB, size int64) evidence.Hash {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	root, err := s.root(size)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Steal makes s go on with the ledger key of another, and say that its own led
// there by a change that only the other signed. The other must have been rotated.
func (s *Server) Steal(other *Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, keyChange{s.LedgerKey, other.changes[0].note})
	s.signer, s.old, s.LedgerKey = other.signer, nil, other.LedgerKey
}
