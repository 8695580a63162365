package evidence

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// KeyRecord is the JSON body of a LeafKey: the key that signs checkpoints from
// here on.
type KeyRecord struct {
	Action string `json:"action"`
	// Key is the verifier key in note format; its name is the ledger's origin.
	Key string `json:"key"`
	// Rotation is the note that SignRotation made; empty where the first key was
	// taken into use.
	Rotation string `json:"rotation,omitempty"`
	// Succession is the note that SignSuccession made, where a ledger begins anew.
	Succession string `json:"succession,omitempty"`
}

// Change is the note by which the key before leads to this one, "" for the first.
func (r *KeyRecord) Change() string { return cmp.Or(r.Rotation, r.Succession) }

// The actions of a KeyRecord.
const (
	KeyCreated   = "created"
	KeyRotated   = "rotated"
	KeySucceeded = "succeeded"
)

// Rotation is the statement that one key of a ledger follows another. Both sign
// it, so that whoever trusts the one learns of the other.
type Rotation struct {
	Previous string // verifier keys in note format, of one name
	Key      string
	At       int64 // ticks
}

// rotationTitle is the first line of a rotation. No checkpoint has a key where
// it has its size, so neither can be taken for the other.
const rotationTitle = "assay/key-rotation/v1"

// maxVerifierKey bounds a verifier key in bytes.
const maxVerifierKey = 512

// Text returns the note's text: four lines, each ended by a newline.
func (r *Rotation) Text() string {
	return rotationTitle + "\n" + r.Previous + "\n" + r.Key + "\n" + strconv.FormatInt(r.At, 10) + "\n"
}

// SignRotation returns the rotation signed by both keys.
func SignRotation(r Rotation, previous, next note.Signer) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: r.Text()}, previous, next)
	if err != nil {
		return nil, fmt.Errorf("signing key rotation: %w", err)
	}
	if _, _, err := OpenRotation(signed, r.Previous); err != nil {
		return nil, fmt.Errorf("signing key rotation: the signers are not those of the keys: %w", err)
	}
	return signed, nil
}

// OpenRotation verifies a rotation that begins at the key previous (note
// format), and returns it with the verifier of the next key. Anything wrong is
// ErrMalformed.
func OpenRotation(signed []byte, previous string) (Rotation, note.Verifier, error) {
	r, err := parseRotation(signed)
	if err != nil {
		return Rotation{}, nil, err
	}
	if r.Previous != previous {
		return Rotation{}, nil, fmt.Errorf("%w: key rotation begins at another key", ErrMalformed)
	}
	next, err := openByBoth(signed, r.Previous, r.Key)
	if err != nil {
		return Rotation{}, nil, fmt.Errorf("%w: key rotation: %w", ErrMalformed, err)
	}
	if KeyName(previous) != next.Name() {
		return Rotation{}, nil, fmt.Errorf("%w: key rotation to another ledger's key", ErrMalformed)
	}
	return r, next, nil
}

// KeyName is the name in a verifier key in note format: of a ledger's key, its origin.
func KeyName(key string) string {
	name, _, _ := strings.Cut(key, "+")
	return name
}

// openByBoth verifies that two keys (note format) signed a note, and returns the
// verifier of the second.
func openByBoth(signed []byte, previous, key string) (note.Verifier, error) {
	old, err := note.NewVerifier(previous)
	if err != nil {
		return nil, fmt.Errorf("previous key: %w", err)
	}
	next, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("next key: %w", err)
	}
	if old.Name() == next.Name() && old.KeyHash() == next.KeyHash() {
		return nil, errors.New("a key cannot follow itself")
	}
	opened, err := note.Open(signed, note.VerifierList(old, next))
	if err != nil {
		return nil, err
	}
	if err := canonicalSignatures(opened); err != nil {
		return nil, err
	}
	by := map[string]bool{}
	for _, signature := range opened.Sigs {
		by[fmt.Sprintf("%s+%08x", signature.Name, signature.Hash)] = true
	}
	for _, verifier := range []note.Verifier{old, next} {
		if !by[fmt.Sprintf("%s+%08x", verifier.Name(), verifier.KeyHash())] {
			return nil, errors.New("it is not signed by both keys")
		}
	}
	return next, nil
}

func parseRotation(signed []byte) (Rotation, error) {
	if len(signed) > maxNote {
		return Rotation{}, fmt.Errorf("%w: key rotation of %d bytes", ErrMalformed, len(signed))
	}
	text, _, found := strings.Cut(string(signed), "\n\n")
	lines := strings.Split(text, "\n")
	if !found || len(lines) != 4 || lines[0] != rotationTitle || len(lines[1]) > maxVerifierKey || len(lines[2]) > maxVerifierKey {
		return Rotation{}, fmt.Errorf("%w: key rotation needs a title, two keys and a time", ErrMalformed)
	}
	at, err := strconv.ParseInt(lines[3], 10, 64)
	if err != nil || strconv.FormatInt(at, 10) != lines[3] {
		return Rotation{}, fmt.Errorf("%w: key rotation at %q", ErrMalformed, lines[3])
	}
	return Rotation{Previous: lines[1], Key: lines[2], At: at}, nil
}

// LostRecord is the JSON body of a LeafLost: batches that the server had
// acknowledged, that a restored database does not have, and that their agent says
// it does not hold any more.
type LostRecord struct {
	Agent  ID     `json:"agent"`
	Host   ID     `json:"host"`
	Stream ID     `json:"stream"`
	Epoch  uint32 `json:"epoch"`
	From   uint64 `json:"from"` // number of the first
	// To is the number of the last, absent where the agent does not know.
	To uint64 `json:"to,omitempty"`
}

// EngineRecord is the JSON body of a LeafEngine: what judges from here on. It is
// recorded when a server starts with another one than the ledger last named.
type EngineRecord struct {
	Version    string `json:"version"` // of the program
	Engine     string `json:"engine"`  // of the semantics of verdicts
	Facts      int    `json:"facts"`   // of the projections
	Detections int    `json:"detections"`
	Selectors  Hash   `json:"selectors"` // digest of what picks events for checks
}

// FrameworkRecord is the JSON body of a LeafPack of this kind: a framework's
// requirements and checks as they are from here on.
type FrameworkRecord struct {
	Kind    string `json:"kind"` // FrameworkPack
	ID      string `json:"id"`
	Version string `json:"version"`
	SHA256  Hash   `json:"sha256"` // digest of its content
}

// FrameworkPack is the Kind of a FrameworkRecord.
const FrameworkPack = "framework"
