package witness

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/torchwood"
)

const (
	keyPrefix = "PRIVATE+KEY+"
	// keyAlgorithm is that of cosignatures of Ed25519 with a time.
	keyAlgorithm = 4
	maxKeyFile   = 4096
)

// NewKey makes a witness's key and returns it with its verifier key, both in
// note format.
func NewKey(name string) (secret, public string, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("making witness key: %w", err)
	}
	signer, err := torchwood.NewCosignatureSigner(name, key)
	if err != nil {
		return "", "", fmt.Errorf("making witness key: %q cannot be its name, which has neither spaces nor +", name)
	}
	seed := append([]byte{keyAlgorithm}, key.Seed()...)
	return fmt.Sprintf("%s%s+%08x+%s", keyPrefix, name, signer.KeyHash(), base64.StdEncoding.EncodeToString(seed)), signer.Verifier().String(), nil
}

// ParseKey reads what NewKey made.
func ParseKey(secret string) (*torchwood.CosignatureSigner, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(secret), keyPrefix)
	parts := strings.Split(rest, "+")
	if !ok || len(parts) < 3 {
		return nil, errors.New("reading witness key: it is none")
	}
	// Base64 has pluses of its own.
	raw, err := base64.StdEncoding.DecodeString(strings.Join(parts[2:], "+"))
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != keyAlgorithm {
		return nil, errors.New("reading witness key: it is not one of Ed25519 cosignatures")
	}
	signer, err := torchwood.NewCosignatureSigner(parts[0], ed25519.NewKeyFromSeed(raw[1:]))
	if err != nil {
		return nil, fmt.Errorf("reading witness key: %w", err)
	}
	if fmt.Sprintf("%08x", signer.KeyHash()) != parts[1] {
		return nil, errors.New("reading witness key: its hash is another's")
	}
	return signer, nil
}

// ReadKey reads a key from a file that only its owner may read.
func ReadKey(path string) (*torchwood.CosignatureSigner, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading witness key: %w", err)
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("reading witness key: %s has %d bytes", path, len(text))
	}
	return ParseKey(string(text))
}
