package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Load reads an authority that Create made. It refuses keys that others than
// their owner can read, and a set of files that do not belong together.
func Load(dir string, now func() time.Time) (*Authority, error) {
	root, err := loadCertificate(filepath.Join(dir, rootFile))
	if err != nil {
		return nil, err
	}
	issuing, err := loadCertificate(filepath.Join(dir, issuingFile))
	if err != nil {
		return nil, err
	}
	if err := issuing.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("loading authority: the issuing certificate is not the root's: %w", err)
	}
	signer, err := loadKey(filepath.Join(dir, issuingKeyFile))
	if err != nil {
		return nil, err
	}
	if public, ok := issuing.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(signer.Public()) {
		return nil, errors.New("loading authority: the issuing key is not the issuing certificate's")
	}
	a := &Authority{root: root, issuing: issuing, signer: signer, now: now, dir: dir}
	if a.ledger, err = loadLedgerKeys(dir); err != nil {
		return nil, err
	}
	return a, nil
}

// VaultKey reads the key that wraps the keys of payloads, from a folder that
// Create made.
func VaultKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, vaultKeyFile)
	text, err := readPrivate(path)
	if _, folderErr := os.Stat(dir); errors.Is(folderErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("loading the keys: there is no folder %s (assay-server init makes it)", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (without it no stored payload can be opened: restore it from the backup of the keys)", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != vaultKeySize {
		return nil, fmt.Errorf("loading %s: it is not %d bytes in hex", path, vaultKeySize)
	}
	return key, nil
}

func loadCertificate(path string) (*x509.Certificate, error) {
	content, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("loading %s: it is not a certificate in PEM", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	return certificate, nil
}

func loadKey(path string) (crypto.Signer, error) {
	content, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("loading %s: it is not a private key in PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("loading %s: it is not an ECDSA key", path)
	}
	return signer, nil
}

// readPrivate refuses a file that its group or others may read or write.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("loading authority: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("loading %s: its mode is %#o, it must be 0600", path, mode)
	}
	return readBounded(path)
}

func readBounded(path string) (content []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("loading authority: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("reading %s: it has more than %d bytes", path, maxFile)
	}
	return content, nil
}
