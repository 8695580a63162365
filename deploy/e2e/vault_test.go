package e2e

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	hexadecimal "encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// keyring opens payloads as docs/evidence-format.md says they rest, without the
// code that sealed them.
type keyring struct {
	t      *testing.T
	dir    string
	master cipher.AEAD
	keys   map[string]cipher.AEAD
}

func (w *world) keyring(t *testing.T) *keyring {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.path("keys"), "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := hexadecimal.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return &keyring{t: t, dir: filepath.Join(w.path("keys"), "vault"), master: gcm(t, key), keys: map[string]cipher.AEAD{}}
}

func gcm(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// open opens the payload that a host's agent sent.
func (k *keyring) open(host [16]byte, sealed []byte) []byte {
	k.t.Helper()
	const nonce = 12
	if len(sealed) < 3+nonce || sealed[0] != 1 {
		k.t.Fatalf("a payload of %d bytes rests in the clear, or in another format", len(sealed))
	}
	month := int(binary.BigEndian.Uint16(sealed[1:]))
	name := uuid.UUID(host).String() + "/" + time.Date(1970, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")
	if k.keys[name] == nil {
		wrapped, err := os.ReadFile(filepath.Join(k.dir, filepath.FromSlash(name)))
		if err != nil {
			k.t.Fatal(err)
		}
		key, err := k.master.Open(nil, wrapped[:nonce], wrapped[nonce:], []byte(name))
		if err != nil {
			k.t.Fatalf("key %s: %v", name, err)
		}
		k.keys[name] = gcm(k.t, key)
	}
	payload, err := k.keys[name].Open(nil, sealed[3:3+nonce], sealed[3+nonce:], append(host[:], sealed[1:3]...))
	if err != nil {
		k.t.Fatalf("a payload under key %s: %v", name, err)
	}
	return payload
}
