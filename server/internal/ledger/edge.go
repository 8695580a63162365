package ledger

import (
	"crypto/sha256"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
)

// edge is the right edge of a tree: the roots of its complete subtrees, the
// largest first. It is all that is needed to add a leaf or to know the root.
type edge struct {
	size  int64
	roots []tlog.Hash
}

// edgeIndexes are the stored-hash indexes of the edge of a tree of size.
func edgeIndexes(size int64) []int64 {
	var indexes []int64
	for start := int64(0); start < size; {
		level := bits.Len64(uint64(size-start)) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, start>>level))
		start += 1 << level
	}
	return indexes
}

// add takes in a leaf and appends to stored what it adds to the stored hashes:
// the leaf's own and those of the subtrees that it completes. Their indexes run
// on without holes from leaf to leaf.
func (e *edge) add(leaf evidence.Hash, stored []evidence.Hash) []evidence.Hash {
	hash := tlog.Hash(leaf)
	stored = append(stored, leaf)
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.roots) - 1
		hash = tlog.NodeHash(e.roots[last], hash)
		e.roots = e.roots[:last]
		stored = append(stored, evidence.Hash(hash))
	}
	e.roots = append(e.roots, hash)
	e.size++
	return stored
}

func (e *edge) root() evidence.Hash {
	if len(e.roots) == 0 {
		return sha256.Sum256(nil)
	}
	root := e.roots[len(e.roots)-1]
	for i := len(e.roots) - 2; i >= 0; i-- {
		root = tlog.NodeHash(e.roots[i], root)
	}
	return evidence.Hash(root)
}
