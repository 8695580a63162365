package ca

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// The files of an authority. Whoever wants the root's key off the machine may
// take it away: nothing here reads it again.
const (
	rootKeyFile     = "root.key"
	rootFile        = "root.crt"
	issuingKeyFile  = "issuing.key"
	issuingFile     = "issuing.crt"
	ledgerKeyFile   = "ledger.key"
	ledgerVerifier  = "ledger.pub"
	vaultKeyFile    = "vault.key" // wraps the keys of payloads
	authorityLife   = 10 * 365 * 24 * time.Hour
	vaultKeySize    = 32
	maxFile         = 64 << 10
	privateFileMode = 0o600
	publicFileMode  = 0o644
	folderMode      = 0o700
)

// CreateConfig is what a new authority is made from.
type CreateConfig struct {
	// Origin names the ledger in its checkpoints, for ever: letters, digits and
	// ./-_ . Empty: "assay/" and a random name.
	Origin string
	Now    func() time.Time
}

// Create makes a root, an issuing key under it and a ledger key in dir, which
// must not exist or be empty. It appears whole or not at all.
func Create(dir string, cfg CreateConfig) (err error) {
	origin := cmp.Or(cfg.Origin, "assay/"+strings.ToLower(rand.Text()))
	if strings.Trim(origin, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-_") != "" || len(origin) > 100 {
		return fmt.Errorf("creating authority: %q cannot be the name of a ledger", origin)
	}
	files, err := newFiles(origin, cfg.Now().UTC().Truncate(time.Second))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("creating authority: %w", err)
	}
	// All is written beside dir and renamed into place; a rename onto a folder
	// that holds anything fails.
	temporary, err := os.MkdirTemp(filepath.Dir(dir), ".authority-")
	if err != nil {
		return fmt.Errorf("creating authority: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	for name, content := range files {
		mode := os.FileMode(publicFileMode)
		if strings.HasSuffix(name, ".key") {
			mode = privateFileMode
		}
		if err := writeFile(filepath.Join(temporary, name), content, mode); err != nil {
			return err
		}
	}
	if err := os.Chmod(temporary, folderMode); err != nil {
		return fmt.Errorf("creating authority: %w", err)
	}
	if err := os.Rename(temporary, dir); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating authority: %s holds something already: go on with the keys in it, or name another folder", dir)
	} else if err != nil {
		return fmt.Errorf("creating authority: %w", err)
	}
	return syncFolder(filepath.Dir(dir))
}

// newFiles makes the content of every file of a new authority.
func newFiles(origin string, now time.Time) (map[string][]byte, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making root key: %w", err)
	}
	issuingKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making issuing key: %w", err)
	}
	rootTemplate, err := authorityTemplate("Assay root", origin, now)
	if err != nil {
		return nil, err
	}
	rootTemplate.MaxPathLen = 1
	root, err := x509.CreateCertificate(rand.Reader, rootTemplate, rootTemplate, rootKey.Public(), rootKey)
	if err != nil {
		return nil, fmt.Errorf("signing root: %w", err)
	}
	issuingTemplate, err := authorityTemplate("Assay issuing", origin, now)
	if err != nil {
		return nil, err
	}
	issuingTemplate.MaxPathLenZero = true
	issuing, err := x509.CreateCertificate(rand.Reader, issuingTemplate, rootTemplate, issuingKey.Public(), rootKey)
	if err != nil {
		return nil, fmt.Errorf("signing issuing certificate: %w", err)
	}
	signerKey, verifierKey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("making ledger key: %w", err)
	}
	vaultKey := make([]byte, vaultKeySize)
	_, _ = rand.Read(vaultKey) // never fails
	files := map[string][]byte{
		vaultKeyFile: []byte(hex.EncodeToString(vaultKey) + "\n"),
		rootFile:     certificatePEM(root), issuingFile: certificatePEM(issuing),
		ledgerKeyFile: []byte(signerKey + "\n"), ledgerVerifier: []byte(verifierKey + "\n"),
	}
	for name, key := range map[string]*ecdsa.PrivateKey{rootKeyFile: rootKey, issuingKeyFile: issuingKey} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", name, err)
		}
		files[name] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	return files, nil
}

func authorityTemplate(name, origin string, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{origin}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// writeFile makes a new file with exactly that mode, whatever the umask, and
// returns once it is on disk.
func writeFile(path string, content []byte, mode os.FileMode) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateFileMode)
	if err != nil {
		return fmt.Errorf("creating file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Chmod(mode); err != nil {
		return fmt.Errorf("setting mode of %s: %w", path, err)
	}
	if _, err := file.Write(content); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}

func syncFolder(dir string) (err error) {
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing folder: %w", err)
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	return nil
}
