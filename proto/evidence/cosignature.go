package evidence

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
)

// Cosignature is an agent's statement that it verified a checkpoint and that it
// extends every one that the agent had verified before.
type Cosignature struct {
	// At is the agent's clock in seconds since 1970.
	At int64
	// Signature is ASN.1 ECDSA on P-256, by the device key, over CosignatureHash.
	Signature []byte
}

// cosignatureTag is the first line of what agents sign. It is not that of
// C2SP's cosignatures, which are Ed25519: device keys live where there is only
// P-256.
const cosignatureTag = "assay/cosignature/v1"

// cosignatureAlgorithm is the byte that note keys of no assigned kind begin with.
const cosignatureAlgorithm = 0xff

// maxSignature bounds an ASN.1 ECDSA signature on P-256 in bytes.
const maxSignature = 80

// CosignatureHash is what an agent signs: the SHA-256 of tag, time and
// checkpoint as text lines.
func CosignatureHash(c Checkpoint, at int64) Hash {
	return sha256.Sum256([]byte(cosignatureTag + "\ntime " + strconv.FormatInt(at, 10) + "\n" + c.Text()))
}

// Check verifies that key signed the checkpoint. Anything wrong is ErrMalformed.
func (s *Cosignature) Check(c Checkpoint, key *ecdsa.PublicKey) error {
	hash := CosignatureHash(c, s.At)
	if s.At < 0 || len(s.Signature) > maxSignature || !ecdsa.VerifyASN1(key, hash[:], s.Signature) {
		return fmt.Errorf("%w: cosignature of size %d is not by that key", ErrMalformed, c.Size)
	}
	return nil
}

// Line renders the cosignature as a line of a signed note. Programs that do not
// know its kind skip it, as they do with every unknown key.
func (s *Cosignature) Line(agent ID, key *ecdsa.PublicKey) (string, error) {
	public, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding key of agent %s: %w", agent, err)
	}
	if s.At < 0 {
		return "", fmt.Errorf("%w: cosignature at %d", ErrMalformed, s.At)
	}
	name := "assay/agent/" + agent.String()
	kind := append([]byte(name+"\n"), cosignatureAlgorithm)
	sum := sha256.Sum256(append(append(kind, cosignatureTag...), public...))
	raw := binary.BigEndian.AppendUint64(append([]byte(nil), sum[:4]...), uint64(s.At))
	return "\u2014 " + name + " " + base64.StdEncoding.EncodeToString(append(raw, s.Signature...)) + "\n", nil
}
