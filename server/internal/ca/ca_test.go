package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
)

// clock is set by the test alone.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func setup(t *testing.T) (*ca.Authority, *clock, string) {
	t.Helper()
	at := &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	dir := filepath.Join(t.TempDir(), "ca")
	if err := ca.Create(dir, ca.CreateConfig{Now: at.now}); err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Load(dir, at.now)
	if err != nil {
		t.Fatal(err)
	}
	return authority, at, dir
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRequest(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func issue(t *testing.T, a *ca.Authority, id assay.AgentID, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	issued, err := a.IssueAgent(id, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(issued.DER)
	if err != nil {
		t.Fatal(err)
	}
	if got := ca.SerialBytes(leaf.SerialNumber); string(got) != string(issued.Serial) || len(got) != 16 {
		t.Errorf("serial %x in the certificate, %x said", got, issued.Serial)
	}
	return leaf
}

func TestCreateModes(t *testing.T) {
	t.Parallel()
	_, at, dir := setup(t)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		switch {
		case info.IsDir():
			want = 0o700
		case filepath.Ext(path) == ".key":
			want = 0o600
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Create(dir, ca.CreateConfig{Now: at.now}); err == nil {
		t.Error("a second authority was made over the first")
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("a failed creation left something behind: %v, %v", entries, err)
	}
	for _, origin := range []string{"two\nlines", "plus+sign", "space here"} {
		if err := ca.Create(filepath.Join(t.TempDir(), "x"), ca.CreateConfig{Origin: origin, Now: at.now}); err == nil {
			t.Errorf("origin %q was taken", origin)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"readable key": func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "issuing.key"), 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"another's key": func(t *testing.T, dir string) {
			_, _, other := setup(t)
			if err := os.Rename(filepath.Join(other, "issuing.key"), filepath.Join(dir, "issuing.key")); err != nil {
				t.Fatal(err)
			}
		},
		"another's root": func(t *testing.T, dir string) {
			_, _, other := setup(t)
			if err := os.Rename(filepath.Join(other, "root.crt"), filepath.Join(dir, "root.crt")); err != nil {
				t.Fatal(err)
			}
		},
		"another's verifier": func(t *testing.T, dir string) {
			_, _, other := setup(t)
			if err := os.Rename(filepath.Join(other, "ledger.pub"), filepath.Join(dir, "ledger.pub")); err != nil {
				t.Fatal(err)
			}
		},
		"no ledger key": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "ledger.key")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, at, dir := setup(t)
			spoil(t, dir)
			if _, err := ca.Load(dir, at.now); err == nil {
				t.Error("loaded")
			}
		})
	}
}

func TestLoadWithoutRootKey(t *testing.T) {
	t.Parallel()
	first, at, dir := setup(t)
	if err := os.Remove(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	again, err := ca.Load(dir, at.now)
	if err != nil {
		t.Fatal(err)
	}
	if first.Hash() != again.Hash() || len(first.Hash()) != 64 {
		t.Errorf("hash %s became %s", first.Hash(), again.Hash())
	}
}

func TestVerifyAgent(t *testing.T) {
	t.Parallel()
	authority, at, _ := setup(t)
	id := assay.AgentID{1, 2, 3}
	leaf := issue(t, authority, id, newKey(t))
	start := at.at
	for _, c := range []struct {
		name    string
		after   time.Duration
		ok, new bool // believed; may be renewed
	}{
		{"at once", 0, true, true},
		{"nearly seven days", 7*24*time.Hour - time.Second, true, true},
		{"past seven days", 7*24*time.Hour + time.Second, false, true},
		{"ninety days expired", 97 * 24 * time.Hour, false, true},
		{"more than ninety", 97*24*time.Hour + time.Second, false, false},
		{"before it was made", -2 * time.Hour, false, false},
	} {
		at.at = start.Add(c.after)
		got, err := authority.VerifyAgent(leaf, at.at)
		if (err == nil) != c.ok || c.ok && got != id {
			t.Errorf("%s: VerifyAgent = %s, %v", c.name, got, err)
		}
		if !c.ok && !errors.Is(err, ca.ErrExpired) {
			t.Errorf("%s: %v, want ErrExpired", c.name, err)
		}
		if got, err := authority.VerifyRenewal(leaf); (err == nil) != c.new || c.new && got != id {
			t.Errorf("%s: VerifyRenewal = %s, %v", c.name, got, err)
		}
	}
}

func TestVerifyAgentRefusesOthers(t *testing.T) {
	t.Parallel()
	authority, at, _ := setup(t)
	other, _, _ := setup(t)
	stranger := issue(t, other, assay.AgentID{9}, newKey(t))
	if _, err := authority.VerifyAgent(stranger, at.at); assay.KindOf(err) != assay.Unauthentic {
		t.Errorf("another authority's agent: %v", err)
	}
	server, err := authority.NewServer([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := server.TLS().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.VerifyAgent(leaf, at.at); assay.KindOf(err) != assay.Unauthentic {
		t.Errorf("the server's own certificate as an agent's: %v", err)
	}
}

func TestRequestKey(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	good := newRequest(t, key)
	got, spki, err := ca.RequestKey(good)
	if err != nil || !got.Equal(key.Public()) || len(spki) == 0 {
		t.Errorf("a good request: %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	for name, der := range map[string][]byte{
		"P-384": newRequest(t, p384), "RSA": newRequest(t, rsaKey), "wrong signature": forged,
		"trailing byte": append(good[:len(good):len(good)], 0), "empty": nil, "too long": make([]byte, ca.MaxRequest+1),
	} {
		if _, _, err := ca.RequestKey(der); assay.KindOf(err) != assay.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func FuzzRequestKey(f *testing.F) {
	f.Add(newRequest(f, newKey(f)))
	f.Fuzz(func(t *testing.T, der []byte) {
		key, spki, err := ca.RequestKey(der)
		if (err == nil) != (key != nil && len(spki) > 0) || err != nil && assay.KindOf(err) != assay.Invalid {
			t.Errorf("%x: %v", der, err)
		}
	})
}

// connected returns both ends of a loopback connection.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// handshake runs TLS between a client that knows nothing but the root and the server.
func handshake(t *testing.T, a *ca.Authority, config *tls.Config, client *tls.Config) (server tls.ConnectionState, err error) {
	t.Helper()
	near, far := connected(t)
	client.ServerName = "localhost"
	roots := x509.NewCertPool()
	root, parseErr := x509.ParseCertificate(a.Chain()[1])
	if parseErr != nil {
		t.Fatal(parseErr)
	}
	roots.AddCert(root)
	client.RootCAs = roots
	done := make(chan error, 1)
	conn := tls.Client(near, client)
	go func() { done <- conn.Handshake() }()
	accepted := tls.Server(far, config)
	err = accepted.Handshake()
	if err == nil {
		err = <-done
	}
	return accepted.ConnectionState(), err
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	authority, at, _ := setup(t)
	other, _, _ := setup(t)
	server, err := authority.NewServer([]string{"localhost", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	mine := tls.Certificate{Certificate: [][]byte{issue(t, authority, assay.AgentID{7}, key).Raw}, PrivateKey: key}
	theirs := tls.Certificate{Certificate: append([][]byte{issue(t, other, assay.AgentID{7}, key).Raw}, other.Chain()...), PrivateKey: key}
	client := func(certificates ...tls.Certificate) *tls.Config {
		// Whatever the server asks for, this client sends.
		return &tls.Config{Time: at.now, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certificates) == 0 {
				return &tls.Certificate{}, nil
			}
			return &certificates[0], nil
		}}
	}
	if state, err := handshake(t, authority, server.TLS(), client()); err != nil || len(state.VerifiedChains) != 0 {
		t.Errorf("without a certificate: %v", err)
	}
	if state, err := handshake(t, authority, server.TLS(), client(mine)); err != nil || len(state.VerifiedChains) == 0 {
		t.Errorf("with an agent's certificate: %v", err)
	}
	if _, err := handshake(t, authority, server.TLS(), client(theirs)); err == nil {
		t.Error("another authority's agent got in")
	}
	old := client(mine)
	old.MaxVersion = tls.VersionTLS12
	if _, err := handshake(t, authority, server.TLS(), old); err == nil {
		t.Error("TLS 1.2 got in")
	}
	at.at = at.at.Add(8 * 24 * time.Hour)
	if _, err := handshake(t, authority, server.TLS(), client(mine)); err == nil {
		t.Error("an expired certificate got in")
	}
	// The server's own was made anew meanwhile.
	if _, err := handshake(t, authority, server.TLS(), client()); err != nil {
		t.Errorf("after eight days: %v", err)
	}
	// That clock was wrong, and is set right.
	at.at = at.at.Add(-8 * 24 * time.Hour)
	if _, err := handshake(t, authority, server.TLS(), client(mine)); err != nil {
		t.Errorf("with the clock set back: %v", err)
	}
}

// A derived key is the same for every server with the same folder, and another
// for another purpose or another folder.
func TestSecretKey(t *testing.T) {
	t.Parallel()
	derive := func(dir, purpose string) string {
		t.Helper()
		authority, err := ca.Load(dir, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		key, err := authority.SecretKey(purpose)
		if err != nil || len(key) != 32 {
			t.Fatalf("key of %d bytes, %v", len(key), err)
		}
		return string(key)
	}
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	for _, dir := range []string{one, two} {
		if err := ca.Create(dir, ca.CreateConfig{Now: time.Now}); err != nil {
			t.Fatal(err)
		}
	}
	again := derive(one, "a")
	if derive(one, "a") != again || derive(one, "a") == derive(one, "b") || derive(one, "a") == derive(two, "a") {
		t.Error("derived keys do not tell folder and purpose apart")
	}
}
