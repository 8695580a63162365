package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// GrowConfig is what a Growing needs.
type GrowConfig struct {
	Store *postgres.Store
	Keys  Keys
	Log   *slog.Logger
	// Interval between two looks for new leaves; 0: a second.
	Interval time.Duration
}

// Keys are the ledger's own.
type Keys interface {
	// LedgerKey is the verifier key in note format, LedgerSigners those that sign
	// checkpoints: its own first. Their name is the ledger's origin.
	LedgerKey() string
	LedgerSigners() []note.Signer
	// ReloadLedgerKey reads them again: they may have been rotated.
	ReloadLedgerKey() error
}

// Growing keeps the tree up with the leaves and signs a checkpoint of each of
// its sizes that is to be seen. Every server runs one; whichever comes first
// does the work.
type Growing struct {
	cfg GrowConfig
}

// growLimit bounds the leaves taken in by one transaction.
const growLimit = 16_384

// NewGrowing returns one that Run starts.
func NewGrowing(cfg GrowConfig) *Growing {
	if cfg.Interval == 0 {
		cfg.Interval = time.Second
	}
	return &Growing{cfg: cfg}
}

// Run grows the tree until ctx ends. A failure is logged and tried again: what
// is committed stays so, and is only proven later.
func (g *Growing) Run(ctx context.Context) error {
	ticker := time.NewTicker(g.cfg.Interval)
	defer ticker.Stop()
	for {
		if err := g.RunOnce(ctx); err != nil && ctx.Err() == nil {
			g.cfg.Log.ErrorContext(ctx, "growing the ledger failed", slog.Any("error", assay.Cause(err)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// RunOnce takes in all leaves that are committed now.
func (g *Growing) RunOnce(ctx context.Context) error {
	if err := g.cfg.Store.EnsureSegments(ctx); err != nil {
		return err
	}
	for {
		grown, err := g.cfg.Store.GrowTree(ctx, growLimit, g)
		if err != nil {
			return err
		}
		if grown.Busy || grown.Behind == 0 {
			return nil
		}
	}
}

// Grow implements postgres.Grower. It refuses to build on hashes that do not
// give the root that was signed.
func (g *Growing) Grow(old postgres.Tree, leaves [][]byte, read func([]int64) ([]evidence.Hash, error)) (postgres.Growth, error) {
	e := edge{size: old.Size}
	if indexes := edgeIndexes(old.Size); len(indexes) > 0 {
		hashes, err := read(indexes)
		if err != nil {
			return postgres.Growth{}, err
		}
		for _, hash := range hashes {
			e.roots = append(e.roots, tlog.Hash(hash))
		}
	}
	if e.root() != old.Root {
		return postgres.Growth{}, &assay.Error{Kind: assay.Internal, Err: fmt.Errorf("the stored hashes of tree size %d do not give its root: the ledger was altered", old.Size)}
	}
	growth := postgres.Growth{FirstIndex: tlog.StoredHashCount(old.Size), Hashes: make([]evidence.Hash, 0, 2*len(leaves))}
	for _, leaf := range leaves {
		growth.Hashes = e.add(evidence.HashLeaf(leaf), growth.Hashes)
	}
	growth.Tree = postgres.Tree{Size: e.size, Root: e.root()}
	return growth, nil
}

// Sign implements postgres.Grower. Only the newest key that the ledger names
// signs: a server whose keys are older must not go on as if nothing had been.
func (g *Growing) Sign(tree postgres.Tree, key string) ([]byte, error) {
	keys := g.cfg.Keys
	if key != "" && key != keys.LedgerKey() {
		if err := keys.ReloadLedgerKey(); err != nil {
			return nil, err
		}
		if key != keys.LedgerKey() {
			return nil, &assay.Error{Kind: assay.Internal, Err: fmt.Errorf("the ledger's key was rotated to %s, and the folder of the keys does not hold it: bring it from where it was rotated", key)}
		}
	}
	signers := keys.LedgerSigners()
	return evidence.SignCheckpoint(evidence.Checkpoint{Origin: signers[0].Name(), Size: tree.Size, Root: tree.Root}, signers...)
}
