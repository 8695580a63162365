package ledger

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Prover answers what the signed tree can prove.
type Prover struct {
	Store  *postgres.Store
	offers offers
}

// Latest returns the newest signed checkpoint, or NotFound.
func (p *Prover) Latest(ctx context.Context) (postgres.Checkpoint, error) {
	return p.Store.LatestCheckpoint(ctx)
}

// Inclusion proves that the leaf at position is in the tree of size.
func (p *Prover) Inclusion(ctx context.Context, position, size int64) ([]evidence.Hash, error) {
	if position < 0 || position >= size {
		return nil, assay.Errorf(assay.NotFound, "there is no position %d in a tree of %d", position, size)
	}
	proof, err := tlog.ProveRecord(size, position, p.reader(ctx))
	if err != nil {
		return nil, fmt.Errorf("proving position %d in tree of %d: %w", position, size, err)
	}
	return hashes(proof), nil
}

// Consistency proves that the tree of oldSize is a prefix of that of size. The
// empty tree needs no proof.
func (p *Prover) Consistency(ctx context.Context, oldSize, size int64) ([]evidence.Hash, error) {
	if oldSize < 0 || oldSize > size {
		return nil, assay.Errorf(assay.NotFound, "a tree of %d is no prefix of one of %d", oldSize, size)
	}
	if oldSize == 0 {
		return nil, nil
	}
	proof, err := tlog.ProveTree(size, oldSize, p.reader(ctx))
	if err != nil {
		return nil, fmt.Errorf("proving tree of %d in tree of %d: %w", oldSize, size, err)
	}
	return hashes(proof), nil
}

func rootOf(size int64, reader tlog.HashReader) (evidence.Hash, error) {
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return evidence.Hash{}, fmt.Errorf("computing root of size %d: %w", size, err)
	}
	return evidence.Hash(root), nil
}

func (p *Prover) reader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		if len(indexes) == 0 {
			return nil, nil
		}
		stored, err := p.Store.TreeHashes(ctx, indexes)
		if err != nil {
			return nil, err
		}
		out := make([]tlog.Hash, len(stored))
		for i, hash := range stored {
			out[i] = tlog.Hash(hash)
		}
		return out, nil
	})
}

func hashes(proof []tlog.Hash) []evidence.Hash {
	out := make([]evidence.Hash, len(proof))
	for i, hash := range proof {
		out[i] = evidence.Hash(hash)
	}
	return out
}

// Witnessed is a checkpoint's note with the lines of the witnesses that cosigned
// it.
func (p *Prover) Witnessed(ctx context.Context, c postgres.Checkpoint) ([]byte, error) {
	cosignatures, err := p.Store.WitnessCosignatures(ctx, c.Size)
	if err != nil {
		return nil, err
	}
	signed := append([]byte(nil), c.Note...)
	for _, w := range cosignatures {
		signed = append(signed, w.Line...)
	}
	return signed, nil
}
