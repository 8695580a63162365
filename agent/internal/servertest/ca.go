package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// authority is a root that issues directly.
type authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

func newAuthority(t testing.TB, now func() time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now().Add(-time.Hour), NotAfter: now().AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{root: root, key: key, now: now}
}

func (a *authority) hash() string {
	sum := sha256.Sum256(a.root.Raw)
	return hex.EncodeToString(sum[:])
}

func (a *authority) issue(template *x509.Certificate, public any) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template.SerialNumber, template.KeyUsage = serial, x509.KeyUsageDigitalSignature
	return x509.CreateCertificate(rand.Reader, template, a.root, public, a.key)
}

// issueAgent gives an agent a certificate of the given life.
func (a *authority) issueAgent(id evidence.ID, public any, life time.Duration) ([]byte, error) {
	return a.issue(&x509.Certificate{
		NotBefore: a.now().Add(-time.Second), NotAfter: a.now().Add(life),
		URIs:        []*url.URL{{Scheme: "assay", Opaque: "agent:" + id.String()}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, public)
}

func (a *authority) serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.issue(&x509.Certificate{
		NotBefore: a.now().Add(-time.Hour), NotAfter: a.now().AddDate(5, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, Time: a.now,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, a.root.Raw}, PrivateKey: key}},
	}
}
