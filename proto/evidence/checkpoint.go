package evidence

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is the body of a signed note (C2SP tlog-checkpoint): a ledger's
// origin, its size and its root.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   Hash
}

// maxNote bounds a signed checkpoint with its cosignatures, in bytes.
const maxNote = 64 << 10

// Text returns the note's text: three lines, each ended by a newline.
func (c *Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// SignCheckpoint returns the signed note. The signers' names must be the origin.
func SignCheckpoint(c Checkpoint, signers ...note.Signer) ([]byte, error) {
	if c.Origin == "" || strings.ContainsAny(c.Origin, "\n") || len(signers) == 0 || c.Size < 0 {
		return nil, fmt.Errorf("%w: checkpoint of %q size %d by %d keys", ErrMalformed, c.Origin, c.Size, len(signers))
	}
	for _, signer := range signers {
		if signer.Name() != c.Origin {
			return nil, fmt.Errorf("%w: checkpoint of %q by key %q", ErrMalformed, c.Origin, signer.Name())
		}
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint: %w", err)
	}
	return signed, nil
}

// OpenCheckpoint verifies a signed note by the ledger's key and reads it. The
// origin must be the key's name. Signatures by other keys are left to the
// caller, who reads them off the note.
func OpenCheckpoint(signed []byte, verifier note.Verifier) (Checkpoint, error) {
	if len(signed) > maxNote {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint of %d bytes", ErrMalformed, len(signed))
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint: %w", ErrMalformed, err)
	}
	if err := canonicalSignatures(opened); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint: %w", ErrMalformed, err)
	}
	c, err := parseCheckpoint(opened.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint of %q signed by %q", ErrMalformed, c.Origin, verifier.Name())
	}
	return c, nil
}

// canonicalSignatures refuses signatures with padding bits, which the note
// package takes: with one form for each, not a bit of a stored note can change
// unseen.
func canonicalSignatures(n *note.Note) error {
	for _, signature := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return fmt.Errorf("signature of %q is not canonical base64", signature.Name)
		}
	}
	return nil
}

func parseCheckpoint(text string) (Checkpoint, error) {
	// Lines after the third are extensions, which a reader must ignore.
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint needs three lines", ErrMalformed)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint size %q", ErrMalformed, lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(Hash{}) {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint root %q", ErrMalformed, lines[2])
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: Hash(root)}, nil
}
