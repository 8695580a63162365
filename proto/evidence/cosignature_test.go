package evidence_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

// A cosignature is of one checkpoint, one time and one key, and its line can
// stand under the note without hindering who does not know it.
func TestCosignature(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := evidence.Checkpoint{Origin: "assay/x", Size: 12, Root: evidence.Hash{1}}
	hash := evidence.CosignatureHash(c, 1000)
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	s := evidence.Cosignature{At: 1000, Signature: signature}
	if err := s.Check(c, &key.PublicKey); err != nil {
		t.Fatal(err)
	}
	larger, rooted := c, c
	larger.Size, rooted.Root = 13, evidence.Hash{2}
	for name, err := range map[string]error{
		"size": s.Check(larger, &key.PublicKey), "root": s.Check(rooted, &key.PublicKey), "key": s.Check(c, &other.PublicKey),
		"time":      (&evidence.Cosignature{At: 1001, Signature: signature}).Check(c, &key.PublicKey),
		"signature": (&evidence.Cosignature{At: 1000, Signature: signature[1:]}).Check(c, &key.PublicKey),
		"none":      (&evidence.Cosignature{At: 1000}).Check(c, &key.PublicKey),
	} {
		if !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	signer, public := newLedgerKey(t, "assay/x")
	signed, err := evidence.SignCheckpoint(c, signer)
	if err != nil {
		t.Fatal(err)
	}
	line, err := s.Line(evidence.ID{7}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(append(signed, line...), note.VerifierList(verifier))
	if err != nil || len(opened.UnverifiedSigs) != 1 || !strings.HasPrefix(opened.UnverifiedSigs[0].Name, "assay/agent/07") {
		t.Errorf("the note with its line: %+v, %v", opened, err)
	}
	if _, err := evidence.OpenCheckpoint(append(signed, line...), verifier); err != nil {
		t.Error(err)
	}
}
