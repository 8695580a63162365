package witness

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

// Witness verifies that logs only grow, and signs what it verified.
type Witness struct {
	signer *torchwood.CosignatureSigner
	state  *State
	now    func() time.Time

	mu   sync.Mutex        // one checkpoint at a time
	keys map[string]string // verifier keys of logs in note format, by origin
}

// New returns a witness of the logs whose verifier keys (note format) are given.
func New(signer *torchwood.CosignatureSigner, state *State, now func() time.Time, keys ...string) (*Witness, error) {
	w := &Witness{signer: signer, state: state, now: now, keys: map[string]string{}}
	for _, key := range keys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("reading the key of a log: %w", err)
		}
		w.keys[verifier.Name()] = key
	}
	return w, nil
}

// Key is the verifier key of the witness.
func (w *Witness) Key() string { return w.signer.Verifier().String() }

// Known is the newest checkpoint of a log that was signed.
func (w *Witness) Known(origin string) Known {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Known(origin)
}

// LogKey is the key by which a log is trusted now: the one given, or the one that
// its changes have led to.
func (w *Witness) LogKey(origin string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logKey(origin)
}

func (w *Witness) logKey(origin string) string {
	if known := w.state.Known(origin); known.Key != "" {
		return known.Key
	}
	return w.keys[origin]
}

// Open verifies a note of the log by the key that is trusted for it.
func (w *Witness) Open(signed []byte) (evidence.Checkpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open(signed)
}

func (w *Witness) open(signed []byte) (c evidence.Checkpoint, err error) {
	if len(signed) > maxNote {
		return c, fmt.Errorf("%w: a note of %d bytes", evidence.ErrMalformed, len(signed))
	}
	origin := originOf(signed)
	key := w.logKey(origin)
	if key == "" {
		return c, fmt.Errorf("%w: %q", ErrUnknownLog, origin)
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return c, fmt.Errorf("reading the key of log %s: %w", origin, err)
	}
	if c, err = evidence.OpenCheckpoint(signed, verifier); err != nil {
		return c, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return c, nil
}

// Add verifies that a checkpoint extends the one that was signed last, whose
// size the caller must know (old), signs it, and returns the line of the
// signature. Proof that the log forked is kept before it is told.
func (w *Witness) Add(old int64, proof []evidence.Hash, signed []byte) (line string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.open(signed)
	if err != nil {
		return "", err
	}
	known := w.state.Known(c.Origin)
	switch {
	case old > c.Size:
		return "", fmt.Errorf("%w: the old size %d is above the checkpoint's %d", evidence.ErrMalformed, old, c.Size)
	case old != known.Size:
		return "", &SizeError{known.Size}
	case c.Size == known.Size && known.Size > 0 && c.Root != known.Root:
		return "", w.fork(c, known, signed)
	case c.Size == known.Size && known.Size > 0:
	default:
		if err := evidence.CheckConsistency(c.Root, c.Size, known.Root, known.Size, proof); err != nil {
			return "", fmt.Errorf("%w: %w", ErrProof, err)
		}
	}
	return w.sign(c, known, signed)
}

// Contradicts takes note of a checkpoint that is proven not to extend the one
// that was signed last, and returns the fork.
func (w *Witness) Contradicts(signed []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.open(signed)
	if err != nil {
		return err
	}
	return w.fork(c, w.state.Known(c.Origin), signed)
}

func (w *Witness) fork(c evidence.Checkpoint, known Known, signed []byte) error {
	e := &ForkError{Known: evidence.Checkpoint{Origin: c.Origin, Size: known.Size, Root: known.Root}, Shown: c, KnownNote: known.Note, ShownNote: string(signed)}
	if err := w.state.keepFork(e, w.now()); err != nil {
		return errors.Join(e, err)
	}
	return e
}

// sign remembers first and signs then: a crash between the two loses a
// signature, never the memory of one.
func (w *Witness) sign(c evidence.Checkpoint, known Known, signed []byte) (string, error) {
	if c.Size == 0 {
		return "", fmt.Errorf("%w: an empty log is not signed", evidence.ErrMalformed)
	}
	known.Size, known.Root, known.Note, known.At = c.Size, c.Root, string(signed), w.now().UTC()
	if err := w.state.keep(c.Origin, known); err != nil {
		return "", err
	}
	text := c.Text()
	cosigned, err := note.Sign(&note.Note{Text: text}, w.signer)
	if err != nil {
		return "", fmt.Errorf("cosigning: %w", err)
	}
	return string(cosigned[len(text)+1:]), nil
}

// Follow takes over a log's key that the trusted one signed. changes may begin
// anywhere before it; what does not lead on from the trusted key is left alone.
func (w *Witness) Follow(origin string, changes []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := w.logKey(origin)
	if key == "" {
		return fmt.Errorf("%w: %q", ErrUnknownLog, origin)
	}
	before := key
	for _, change := range changes {
		if rotation, _, err := evidence.OpenRotation([]byte(change), key); err == nil {
			key = rotation.Key
		}
	}
	if key == before {
		return nil
	}
	known := w.state.Known(origin)
	known.Key = key
	return w.state.keep(origin, known)
}

// originOf is the first line of a note: what it says, unverified.
func originOf(signed []byte) string {
	for i, b := range signed {
		if b == '\n' {
			return string(signed[:i])
		}
	}
	return ""
}
