// Package witness owns the cosigning of checkpoints by others than the log
// itself (C2SP tlog-witness, tlog-cosignature): the client by which a log asks,
// the witness that verifies, remembers and signs, and the HTTP between them. It
// never reads a database, and a witness never signs what does not extend all
// that it has signed before.
package witness

import (
	"errors"
	"fmt"

	"github.com/assay-audit/assay/proto/evidence"
)

// Bounds of what comes from outside.
const (
	maxNote     = 64 << 10
	maxProof    = 63 // hashes; a tree of 2^63 leaves needs no more
	maxRequest  = maxNote + 8<<10
	maxResponse = 16 << 10
)

// ErrUnknownLog: the checkpoint is of a log that this witness does not watch.
var ErrUnknownLog = errors.New("the log is not one that this witness watches")

// ErrSignature: no key that the witness trusts for the log signed the checkpoint.
var ErrSignature = errors.New("the checkpoint is not signed by the log's key")

// ErrProof: the proof does not show that the checkpoint extends the last one.
var ErrProof = errors.New("the consistency proof does not hold")

// SizeError says that the request did not begin at the size that the witness
// has signed last.
type SizeError struct{ Size int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("the witness has signed a checkpoint of %d leaves last", e.Size)
}

// ForkError is proof that a log has shown two histories: both notes are signed by
// its key.
type ForkError struct {
	Known, Shown evidence.Checkpoint
	// KnownNote and ShownNote are the notes; File is where they are kept, "" where
	// they are not.
	KnownNote, ShownNote string
	File                 string
}

func (e *ForkError) Error() string {
	text := fmt.Sprintf("FORK: the log %s has signed a checkpoint of %d leaves (root %s) that contradicts the one of %d leaves (root %s) that this witness has verified",
		e.Shown.Origin, e.Shown.Size, e.Shown.Root, e.Known.Size, e.Known.Root)
	if e.File != "" {
		text += "; both signed notes are kept in " + e.File + ": they are proof, whoever shows them"
	}
	return text
}

// SuccessionError says that the log has ended by its own word and that another
// follows it, which has lost leaves: an older backup was restored. A witness goes
// over to it when its owner has accepted that.
type SuccessionError struct{ evidence.Succession }

func (e *SuccessionError) Error() string {
	return fmt.Sprintf("SUCCESSION: the log says, signed by its own key, that its database was restored from an older backup: of %d leaves %d were kept. It ends there, and %s follows it. Ask its operator what happened, and what is lost; then accept it",
		e.Held.Size, e.Kept.Size, evidence.KeyName(e.Key))
}
