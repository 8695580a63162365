package ledger

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// lifetime believes a certificate for its life, and says then whose it is.
type lifetime assay.AgentID

func (w lifetime) VerifyAgent(leaf *x509.Certificate, at time.Time) (assay.AgentID, error) {
	if at.Before(leaf.NotBefore) || at.After(leaf.NotAfter) {
		return assay.AgentID{}, errors.New("not valid then")
	}
	return assay.AgentID(w), nil
}

// A leaf of a time at which its certificate was not valid says nothing of the leaves
// of other times.
func TestSignerAtTimes(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	id := assay.AgentID{7}
	signers := newSigners(lifetime(id))
	for _, hour := range []int{1, -1, 2, 25, 3, -1, 1} {
		known := signers.of("1", der, from.Add(time.Duration(hour)*time.Hour))
		valid := hour >= 0 && hour <= 24
		if (known.err == nil) != valid || valid && known.agent != id {
			t.Errorf("at hour %d the certificate is agent %s's, %v", hour, known.agent, known.err)
		}
	}
}
