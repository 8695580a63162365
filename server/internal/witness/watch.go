package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
)

// ErrOlder: the log shows an older checkpoint than the witness has signed, which
// its own newer tree is proven to hold: it may be a replica that is behind.
var ErrOlder = errors.New("the log shows an older checkpoint than was signed before")

// Watched is what one look at a log came to.
type Watched struct {
	evidence.Checkpoint
	// Extends is the size that was signed before, 0 for a first look.
	Extends int64
	// Line is the witness's signature of it.
	Line string
}

// Watch fetches the newest checkpoint of a log (C2SP tlog-tiles), proves from its
// tiles that it extends the one that was signed last, and signs it. changes
// returns the log's key changes, should its key not be the one that is trusted.
// A ForkError is proof against the log; a SuccessionError says that the log ended and
// another follows, which is watched in its place once it was accepted.
func (w *Witness) Watch(ctx context.Context, tiles torchwood.TileReader, origin string, changes func(context.Context) ([]string, error)) (Watched, error) {
	signed, err := tiles.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return Watched{}, fmt.Errorf("fetching the checkpoint: %w", err)
	}
	origin = w.Current(origin)
	if named := originOf(signed); named != origin {
		return Watched{}, w.another(ctx, origin, named, changes)
	}
	c, err := w.Open(signed)
	if errors.Is(err, ErrSignature) {
		var followed []string
		if followed, err = changes(ctx); err != nil {
			return Watched{}, fmt.Errorf("fetching the log's key changes: %w", err)
		}
		if err = w.Follow(origin, followed); err != nil {
			return Watched{}, err
		}
		c, err = w.Open(signed)
	}
	if err != nil {
		return Watched{}, err
	}
	known := w.Known(origin)
	proof, err := w.prove(ctx, tiles, c, known, signed)
	if err != nil {
		return Watched{}, err
	}
	line, err := w.Add(known.Size, proof, signed)
	return Watched{Checkpoint: c, Extends: known.Size, Line: line}, err
}

// another says why a log shows the checkpoint of another.
func (w *Witness) another(ctx context.Context, origin, named string, changes func(context.Context) ([]string, error)) error {
	said, err := changes(ctx)
	if err != nil {
		return fmt.Errorf("fetching the log's key changes: %w", err)
	}
	s, err := w.succession(origin, said)
	if err != nil {
		return err
	}
	if s != nil {
		return &SuccessionError{*s}
	}
	return fmt.Errorf("%w: the checkpoint is of %q, watched is %q", ErrUnknownLog, named, origin)
}

// prove computes the proof that c extends what is known. The tiles are verified
// against c's root as they are read, so that a proof which fails is proof of a
// fork: c's own tree begins otherwise.
func (w *Witness) prove(ctx context.Context, tiles torchwood.TileReader, c evidence.Checkpoint, known Known, signed []byte) ([]evidence.Hash, error) {
	if known.Size == 0 || c.Size == known.Size {
		return nil, nil
	}
	larger, smaller := c, evidence.Checkpoint{Size: known.Size, Root: known.Root}
	if c.Size < known.Size {
		larger, smaller = evidence.Checkpoint{Size: known.Size, Root: known.Root}, c
	}
	path, err := tlog.ProveTree(larger.Size, smaller.Size, torchwood.TileHashReaderWithContext(ctx, tlog.Tree{N: larger.Size, Hash: tlog.Hash(larger.Root)}, tiles))
	var missing *StatusError
	if c.Size < known.Size && errors.As(err, &missing) && missing.Code == http.StatusNotFound {
		return nil, w.Contradicts(signed) // the log no longer has the tree that it signed
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log's tiles: %w", err)
	}
	proof := make([]evidence.Hash, len(path))
	for i, hash := range path {
		proof[i] = evidence.Hash(hash)
	}
	if err := evidence.CheckConsistency(larger.Root, larger.Size, smaller.Root, smaller.Size, proof); err != nil {
		return nil, w.Contradicts(signed)
	}
	if c.Size < known.Size {
		return nil, fmt.Errorf("%w: %d leaves, signed were %d", ErrOlder, c.Size, known.Size)
	}
	return proof, nil
}
