package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Authority issues and believes certificates. It is safe for concurrent use.
type Authority struct {
	root, issuing *x509.Certificate
	signer        crypto.Signer // of issuing
	now           func() time.Time

	dir    string
	mu     sync.Mutex
	ledger ledgerKeys // under mu
}

// backdate allows for clocks that are behind ours.
const backdate = time.Hour

// agentURI is the scheme and kind of an agent's identity in its certificate.
const agentURI = "assay:agent:"

// Hash is the SHA-256 of the root's DER in hex: what an agent is given out of
// band to know the server by.
func (a *Authority) Hash() string {
	sum := sha256.Sum256(a.root.Raw)
	return hex.EncodeToString(sum[:])
}

// Chain is the issuing certificate and the root, DER.
func (a *Authority) Chain() [][]byte { return [][]byte{a.issuing.Raw, a.root.Raw} }

// LedgerSigners sign checkpoints: the ledger's key first, then the one before it
// while that is kept. Their name is the ledger's origin.
func (a *Authority) LedgerSigners() []note.Signer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.signers
}

// LedgerKey is the verifier key of the first of LedgerSigners in note format.
func (a *Authority) LedgerKey() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.text
}

// ReloadLedgerKey reads the ledger's keys again. An error leaves those that were
// there in use.
func (a *Authority) ReloadLedgerKey() error {
	keys, err := loadLedgerKeys(a.dir)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger = keys
	return nil
}

// IssueAgent issues a certificate for an agent's key, which ParseRequest or
// RequestKey has passed. Its Position is the store's to fill in.
func (a *Authority) IssueAgent(id assay.AgentID, key any) (assay.Certificate, error) {
	now := a.now().UTC().Truncate(time.Second)
	template := &x509.Certificate{
		NotBefore: now.Add(-backdate), NotAfter: now.Add(assay.CertificateLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Subject: pkix.Name{CommonName: id.String()},
		URIs:    []*url.URL{{Scheme: "assay", Opaque: "agent:" + id.String()}},
	}
	der, serial, err := a.sign(template, key)
	if err != nil {
		return assay.Certificate{}, fmt.Errorf("issuing certificate of agent %s: %w", id, err)
	}
	return assay.Certificate{Serial: serial, AgentID: id, DER: der, NotBefore: template.NotBefore, NotAfter: template.NotAfter}, nil
}

// sign gives the template a serial of 128 random bits and signs it.
func (a *Authority) sign(template *x509.Certificate, key any) (der, serial []byte, err error) {
	template.SerialNumber, err = newSerial()
	if err != nil {
		return nil, nil, err
	}
	template.BasicConstraintsValid = true
	if template.NotAfter.After(a.issuing.NotAfter) {
		return nil, nil, fmt.Errorf("signing certificate: the issuing certificate expires on %s", a.issuing.NotAfter.Format(time.DateOnly))
	}
	der, err = x509.CreateCertificate(rand.Reader, template, a.issuing, key, a.signer)
	if err != nil {
		return nil, nil, fmt.Errorf("signing certificate: %w", err)
	}
	return der, SerialBytes(template.SerialNumber), nil
}

func newSerial() (*big.Int, error) {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, fmt.Errorf("drawing serial: %w", err)
	}
	raw[0] = raw[0]&0x7f | 0x40 // positive, and always of 16 bytes
	return new(big.Int).SetBytes(raw[:]), nil
}

// SerialBytes is the form in which serials are stored: 16 bytes, big endian.
func SerialBytes(serial *big.Int) []byte {
	if serial.Sign() < 0 || serial.BitLen() > 128 {
		return nil // not one of ours; no row has an empty serial
	}
	return serial.FillBytes(make([]byte, 16))
}

// VerifyAgent believes a certificate that our CA issued to an agent and that is
// valid at the given time, and returns whose it is. Everything else is
// Unauthentic; ErrExpired is in the chain of errors if that alone was wrong.
func (a *Authority) VerifyAgent(leaf *x509.Certificate, at time.Time) (assay.AgentID, error) {
	opts := x509.VerifyOptions{
		Roots: a.rootPool(), Intermediates: x509.NewCertPool(), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	opts.Intermediates.AddCert(a.issuing)
	if _, err := leaf.Verify(opts); err != nil {
		return assay.AgentID{}, &assay.Error{Kind: assay.Unauthentic, Msg: verifyMessage(err), Err: expiry(err)}
	}
	return AgentOf(leaf)
}

func (a *Authority) rootPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// AgentOf reads the one identity in an agent's certificate. It does not verify.
func AgentOf(leaf *x509.Certificate) (assay.AgentID, error) {
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 {
		return assay.AgentID{}, assay.Errorf(assay.Unauthentic, "the certificate is not an agent's")
	}
	text, ok := strings.CutPrefix(leaf.URIs[0].String(), agentURI)
	if !ok {
		return assay.AgentID{}, assay.Errorf(assay.Unauthentic, "the certificate is not an agent's")
	}
	id, err := assay.ParseHostID(text)
	if err != nil || id.String() != text {
		return assay.AgentID{}, assay.Errorf(assay.Unauthentic, "the certificate names no agent")
	}
	return assay.AgentID(id), nil
}
