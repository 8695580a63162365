package ledger

import (
	"context"
	"fmt"
	"math/bits"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// entriesLevel is the level by which tlog names tiles of entries.
const entriesLevel = -1

// Tile returns the content of a tile of the signed tree, by its path under the
// log (C2SP tlog-tiles): hashes, or the leaves themselves. What is returned once
// under a path never changes. It is NotFound if the tree does not reach so far.
func (p *Prover) Tile(ctx context.Context, path string) ([]byte, error) {
	tile, err := torchwood.ParseTilePath(path)
	// A tile has one name: other logs' names for it are parsed too.
	if err != nil || torchwood.TilePath(tile) != path {
		return nil, assay.Errorf(assay.NotFound, "%q is no path of a tile", path)
	}
	size, err := p.Store.TreeSize(ctx)
	if err != nil {
		return nil, err
	}
	first, err := within(tile, size)
	if err != nil {
		return nil, err
	}
	if tile.L == entriesLevel {
		return p.entries(ctx, first, first+int64(tile.W))
	}
	indexes := make([]int64, tile.W)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(torchwood.TileHeight*tile.L, first+int64(i))
	}
	hashes, err := p.Store.TreeHashes(ctx, indexes)
	if err != nil {
		return nil, err
	}
	content := make([]byte, 0, len(hashes)*len(evidence.Hash{}))
	for _, hash := range hashes {
		content = append(content, hash[:]...)
	}
	return content, nil
}

// within returns the index, at its level, of a tile's first hash, or NotFound.
func within(tile tlog.Tile, size int64) (first int64, err error) {
	level := max(tile.L, 0) * torchwood.TileHeight
	missing := assay.Errorf(assay.NotFound, "a tree of %d leaves has no such tile", size)
	if level >= 63 || bits.Len64(uint64(tile.N)) > 63-torchwood.TileHeight || tile.W < 1 || tile.W > torchwood.TileWidth {
		return 0, missing
	}
	first = tile.N * torchwood.TileWidth
	if first+int64(tile.W) > size>>level {
		return 0, missing
	}
	return first, nil
}

// entries bundles leaves. The format has no place for one above 64 KiB, which
// only the console's own API shows.
func (p *Prover) entries(ctx context.Context, from, to int64) ([]byte, error) {
	leaves, err := p.Store.Leaves(ctx, from, to)
	if err != nil {
		return nil, err
	}
	var content []byte
	for i, leaf := range leaves {
		if content, err = torchwood.AppendTileEntry(content, leaf); err != nil {
			return nil, &assay.Error{Kind: assay.NotFound, Msg: fmt.Sprintf("the leaf at position %d has %d bytes, more than a bundle of entries can hold", from+int64(i), len(leaf)), Err: err}
		}
	}
	return content, nil
}
