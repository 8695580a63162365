package ca

import (
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// SecretKey derives a key of 32 bytes for one purpose from the issuing key, so
// that what the server must keep secret in the database can be encrypted with
// something that is not there. Every server with the same folder of keys derives
// the same; a new issuing key makes what was encrypted unreadable.
func (a *Authority) SecretKey(purpose string) ([]byte, error) {
	issuing, ok := a.signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("deriving a key: the issuing key's bytes cannot be read")
	}
	scalar, err := issuing.Bytes()
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, scalar, nil, "assay/"+purpose+"/v1", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	return key, nil
}
