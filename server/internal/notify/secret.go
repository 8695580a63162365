package notify

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Sealer encrypts the secrets of targets under a key that the database never
// holds: a copy of the database alone tells none of them. Who has the server's
// folder of keys as well can read them, as the server must to send at all.
type Sealer struct{ aead cipher.AEAD }

// NewSealer takes a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making sealer: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("making sealer: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// sealVersion is the first byte of what is sealed.
const sealVersion = 1

// Seal encrypts secrets for one target: moved to another's row they open no more.
func (s *Sealer) Seal(id assay.TargetID, secrets *assay.TargetSecrets) ([]byte, error) {
	plain, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encoding secrets: %w", err)
	}
	return s.aead.Seal([]byte{sealVersion}, nil, plain, id[:]), nil
}

var errSealed = errors.New("the target's secrets cannot be opened: they were sealed with other keys than this server's; make the target anew")

// open decrypts what Seal made.
func (s *Sealer) open(id assay.TargetID, sealed []byte) (assay.TargetSecrets, error) {
	var secrets assay.TargetSecrets
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return secrets, errSealed
	}
	plain, err := s.aead.Open(nil, nil, sealed[1:], id[:])
	if err != nil {
		return secrets, errSealed
	}
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return secrets, errSealed
	}
	return secrets, nil
}

// newSigningKey is what a webhook's receiver verifies with.
func newSigningKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
}
