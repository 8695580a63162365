package enrol

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// stored is identity.json.
type stored struct {
	Server         string   `json:"server"`
	CAHash         string   `json:"ca_hash"`
	AgentID        string   `json:"agent_id"` // hex
	HostID         string   `json:"host_id"`
	Certificate    []byte   `json:"certificate"`     // DER
	CACertificates [][]byte `json:"ca_certificates"` // DER
	LedgerKey      string   `json:"ledger_key"`
	Rights         []string `json:"rights"`
	EnrolledAt     string   `json:"enrolled_at"`
}

// Identity is an enrolled agent. Its methods may be called by any goroutine.
type Identity struct {
	dir string
	key *ecdsa.PrivateKey
	now func() time.Time

	mu    sync.Mutex
	state stored
	leaf  *x509.Certificate
	roots *x509.CertPool
}

// Load reads the identity of a directory: ErrNotEnrolled where there is none,
// ErrUnsafe where others could have had their hands on it.
func Load(dir string, now func() time.Time) (*Identity, error) {
	b, err := readPrivate(filepath.Join(dir, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, fmt.Errorf("reading identity: %w", err)
	}
	i := &Identity{dir: dir, now: now}
	if err := json.Unmarshal(b, &i.state); err != nil {
		return nil, fmt.Errorf("reading identity: %s is damaged: %w", identityName, err)
	}
	if i.key, err = loadKey(dir); err != nil {
		return nil, err
	}
	return i, i.set(i.state)
}

// set checks a state against key and pin, and takes it over. Under mu but in Load.
func (i *Identity) set(s stored) error {
	leaf, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return fmt.Errorf("reading certificate: %w", err)
	}
	public, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || !public.Equal(i.key.Public()) {
		return errors.New("reading certificate: it is of another key than agent.key")
	}
	roots, err := pinnedPool(s.CAHash, s.CACertificates)
	if err != nil {
		return err
	}
	i.state, i.leaf, i.roots = s, leaf, roots
	return nil
}

// pinnedPool holds the one certificate of the chain that has the pinned hash.
func pinnedPool(caHash string, chain [][]byte) (*x509.CertPool, error) {
	for _, der := range chain {
		if sum := sha256.Sum256(der); hex.EncodeToString(sum[:]) == caHash {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("reading CA certificate: %w", err)
			}
			pool := x509.NewCertPool()
			pool.AddCert(root)
			return pool, nil
		}
	}
	return nil, fmt.Errorf("%w: no certificate of its chain has the hash %s", ErrCAHash, caHash)
}

// ParseCAHash checks a CA hash as people type it: 64 hex digits, colons and
// capitals allowed.
func ParseCAHash(text string) (string, error) {
	clean := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(text), "sha256:"), ":", ""))
	if b, err := hex.DecodeString(clean); err != nil || len(b) != sha256.Size {
		return "", fmt.Errorf("CA hash %q is not a SHA-256 in hex (64 digits); assay-server init and serve print it", text)
	}
	return clean, nil
}

// loadKey reads the device key.
func loadKey(dir string) (*ecdsa.PrivateKey, error) {
	b, err := readPrivate(filepath.Join(dir, keyName))
	if err != nil {
		return nil, fmt.Errorf("reading device key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("reading device key: %s holds no PEM private key", keyName)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading device key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("reading device key: %s is not a P-256 key", keyName)
	}
	return key, nil
}

// ensureKey loads the device key or makes it. A key that an interrupted
// enrolment left is used again: it never left the host.
func ensureKey(dir string) (*ecdsa.PrivateKey, error) {
	key, err := loadKey(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("making device key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("making device key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	// Written whole before it has its name: a key cut short would be for ever.
	if err := replacePrivate(filepath.Join(dir, keyName), text); err != nil {
		return nil, fmt.Errorf("storing device key: %w", err)
	}
	return key, nil
}

// save stores a state and takes it over.
func (i *Identity) save(s stored) error {
	b, err := json.MarshalIndent(&s, "", "  ")
	if err != nil {
		return fmt.Errorf("storing identity: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.set(s); err != nil {
		return err
	}
	if err := replacePrivate(filepath.Join(i.dir, identityName), b); err != nil {
		return fmt.Errorf("storing identity: %w", err)
	}
	return nil
}

// Info is what an identity says of itself.
type Info struct {
	Server    string
	CAHash    string
	AgentID   evidence.ID
	HostID    evidence.ID
	LedgerKey string
	Rights    []string
	NotBefore time.Time
	NotAfter  time.Time
}

// Info returns the identity as it is now.
func (i *Identity) Info() Info {
	i.mu.Lock()
	defer i.mu.Unlock()
	info := Info{
		Server: i.state.Server, CAHash: i.state.CAHash, LedgerKey: i.state.LedgerKey, Rights: slices.Clone(i.state.Rights),
		NotBefore: i.leaf.NotBefore, NotAfter: i.leaf.NotAfter,
	}
	_, _ = hex.Decode(info.AgentID[:], []byte(i.state.AgentID)) // of 16 bytes: checked by Enrol
	_, _ = hex.Decode(info.HostID[:], []byte(i.state.HostID))
	return info
}

// Relocate makes server (HOST:PORT) the one that is dialled from now on. What
// it must prove stays the same: it must hold a certificate of the pinned CA.
func (i *Identity) Relocate(server string) error {
	host, port, err := net.SplitHostPort(server)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("server %q is not HOST:PORT", server)
	}
	i.mu.Lock()
	s := i.state
	i.mu.Unlock()
	if s.Server == server {
		return nil
	}
	s.Server = server
	return i.save(s)
}

// May reports whether the enrolment grants a right ("import").
func (i *Identity) May(right string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Contains(i.state.Rights, right)
}

// Sign signs a header hash by the device key (ASN.1 ECDSA).
func (i *Identity) Sign(hash evidence.Hash) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, i.key, hash[:])
}

// Usable is ErrExpired (with what to do) where the certificate is beyond
// renewal, nil otherwise: an expired one may still be renewed.
func (i *Identity) Usable() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now().After(i.leaf.NotAfter.Add(renewalGrace)) {
		return expiredError(i.state.Server, i.state.CAHash, i.dir, i.leaf.NotAfter)
	}
	return nil
}

// TLS returns the client's side of mutual TLS. Each handshake takes the newest
// certificate.
func (i *Identity) TLS() *tls.Config {
	c := i.serverTLS()
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		return &tls.Certificate{Certificate: [][]byte{i.leaf.Raw}, PrivateKey: i.key, Leaf: i.leaf}, nil
	}
	return c
}

// serverTLS authenticates the server only.
func (i *Identity) serverTLS() *tls.Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	host, _, err := net.SplitHostPort(i.state.Server)
	if err != nil {
		host = i.state.Server
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: i.roots, ServerName: host, Time: i.now}
}
