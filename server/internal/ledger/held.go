package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Held compares checkpoints that others hold with the ledger. A checkpoint that
// the ledger's own key signed and that its tree does not have says that the
// database was restored from an older backup, or that another one has the key.
type Held struct {
	Store *postgres.Store
	// Keys give the ledger's key, for a ledger that has none on record.
	Keys Keys

	mu    sync.Mutex
	keys  []note.Verifier            // under mu: those of the ledger since it began
	of    string                     // under mu: the ledger's key when they were read
	known map[postgres.Tree]struct{} // under mu: trees that were found to be ours
}

// Standing says how a checkpoint stands to the ledger.
type Standing uint8

const (
	// Foreign is what no key of this ledger signed: another ledger's, or that of the
	// one which this follows.
	Foreign Standing = iota
	// Ours is a tree that the ledger's has as a prefix.
	Ours
	// Missing is a tree that the ledger's key signed and the ledger does not have.
	Missing
)

// maxHeldTrees bounds the trees in memory, of 40 bytes each.
const maxHeldTrees = 4096

// Examine verifies a signed checkpoint and compares its tree with the ledger's.
func (h *Held) Examine(ctx context.Context, signed []byte) (c evidence.Checkpoint, standing Standing, err error) {
	c, ok, err := h.open(ctx, signed)
	if err != nil || !ok {
		return c, Foreign, err
	}
	tree := postgres.Tree{Size: c.Size, Root: c.Root}
	h.mu.Lock()
	_, ours := h.known[tree]
	h.mu.Unlock()
	if !ours {
		if ours, err = h.holds(ctx, tree); err != nil {
			return c, Foreign, err
		}
	}
	if !ours {
		return c, Missing, nil
	}
	return c, Ours, nil
}

// holds asks the database, and remembers a yes: a tree that is ours stays so.
func (h *Held) holds(ctx context.Context, tree postgres.Tree) (bool, error) {
	now, err := h.Store.Tree(ctx)
	if err != nil || tree.Size > now.Size {
		return false, err
	}
	root, err := (&Prover{Store: h.Store}).RootOf(ctx, tree.Size)
	if err != nil || root != tree.Root {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known) >= maxHeldTrees {
		h.known = map[postgres.Tree]struct{}{}
	}
	h.known[tree] = struct{}{}
	return true, nil
}

// open verifies the note by the ledger's keys. They are read again before it is
// called foreign: one may have been added.
func (h *Held) open(ctx context.Context, signed []byte) (evidence.Checkpoint, bool, error) {
	now := h.Keys.LedgerKey()
	h.mu.Lock()
	keys := h.keys
	if h.of != now {
		keys = nil
	}
	h.mu.Unlock()
	if c, ok := openByAny(signed, keys); ok {
		return c, true, nil
	}
	keys, err := h.readKeys(ctx)
	if err != nil {
		return evidence.Checkpoint{}, false, err
	}
	h.mu.Lock()
	h.keys, h.of = keys, now
	h.mu.Unlock()
	c, ok := openByAny(signed, keys)
	return c, ok, nil
}

func openByAny(signed []byte, keys []note.Verifier) (evidence.Checkpoint, bool) {
	for _, key := range keys {
		if c, err := evidence.OpenCheckpoint(signed, key); err == nil {
			return c, true
		}
	}
	return evidence.Checkpoint{}, false
}

// readKeys returns the keys that the ledger has had under its present name, the
// newest first. Those of a ledger before it signed trees that were given up.
func (h *Held) readKeys(ctx context.Context) ([]note.Verifier, error) {
	recorded, err := h.Store.LedgerKeys(ctx)
	if err != nil {
		return nil, err
	}
	texts := []string{h.Keys.LedgerKey()}
	for _, key := range slices.Backward(recorded) {
		if !slices.Contains(texts, key.Key) {
			texts = append(texts, key.Key)
		}
		if key.Action == evidence.KeySucceeded {
			break
		}
	}
	var keys []note.Verifier
	for _, text := range texts {
		key, err := note.NewVerifier(text)
		if err != nil {
			return nil, fmt.Errorf("reading the ledger's keys: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
