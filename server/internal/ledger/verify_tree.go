package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// node is a subtree's root as computed. It is in doubt when it differs from
// what is stored: one of the two was altered, and their parent tells which.
type node struct {
	hash  evidence.Hash
	doubt bool
}

// tree computes the stored hashes from the leaves, in their order.
type tree struct {
	size  int64
	index int64 // of the next stored hash
	roots []node
}

func (t *tree) root() evidence.Hash {
	e := edge{size: t.size}
	for _, n := range t.roots {
		e.roots = append(e.roots, tlog.Hash(n.hash))
	}
	return e.root()
}

// addLeaf takes a leaf into the computed tree and compares what it adds with
// what is stored. Leaves that are not in the signed tree yet are left alone.
func (v *verifier) addLeaf(p *postgres.LedgerPage, row *postgres.LeafRow) {
	if row.Position >= v.snapshot.Tree.Size {
		return
	}
	v.add(p, row.Position, node{hash: evidence.HashLeaf(row.Data)}, "the leaf is not the one that was recorded, or its hash in the tree is not")
}

// addMissing takes the stored hash for the leaf that is not there, so that one
// missing leaf is one problem.
func (v *verifier) addMissing(p *postgres.LedgerPage, position int64) {
	if position >= v.snapshot.Tree.Size {
		return
	}
	v.add(p, position, node{hash: p.Hashes[v.tree.index]}, "")
}

func (v *verifier) add(p *postgres.LedgerPage, position int64, n node, fault string) {
	n = v.compare(p, position, n, false, fault)
	for size := v.tree.size; size&1 == 1; size >>= 1 {
		last := len(v.tree.roots) - 1
		left := v.tree.roots[last]
		v.tree.roots = v.tree.roots[:last]
		parent := node{hash: evidence.Hash(tlog.NodeHash(tlog.Hash(left.hash), tlog.Hash(n.hash)))}
		n = v.compare(p, position, parent, left.doubt || n.doubt, "a hash in the tree is not that of what is below it")
	}
	v.tree.roots = append(v.tree.roots, n)
	v.tree.size++
}

// compare compares the next computed hash with the stored one. Where a child is
// in doubt already the stored hash settles it: it tells what was signed, and the
// fault is named once, where it is.
func (v *verifier) compare(p *postgres.LedgerPage, position int64, n node, childInDoubt bool, fault string) node {
	index := v.tree.index
	v.tree.index++
	stored, ok := p.Hashes[index]
	switch {
	case !ok:
		v.problem("tree", position, fmt.Sprintf("hash %d is missing", index))
	case stored == n.hash:
	case childInDoubt:
		n.hash = stored
	default:
		v.problem("tree", position, fmt.Sprintf("hash %d: %s", index, fault))
		n.doubt = true
	}
	return n
}

// checkpoint verifies the checkpoint of size, where there is one.
func (v *verifier) checkpoint(p *postgres.LedgerPage, size int64) {
	v.keptTree(size)
	c, ok := p.Checkpoints[size]
	if !ok || size > v.snapshot.Tree.Size {
		return
	}
	v.checkpoints++
	v.lastCheckpoint = size
	opened, err := v.openCheckpoint(c.Note, size)
	if err != nil {
		v.problem("checkpoint", -1, fmt.Sprintf("of size %d: %s", size, err))
		return
	}
	switch root := v.tree.root(); {
	case opened.Size != c.Size:
		v.problem("checkpoint", -1, fmt.Sprintf("its row says size %d, its note %d", c.Size, opened.Size))
	case opened.Root != c.Root:
		v.problem("checkpoint", -1, fmt.Sprintf("of size %d: its row's root is not its note's", size))
	case opened.Root != root && !v.inDoubt():
		v.problem("checkpoint", -1, fmt.Sprintf("of size %d: the signed root is not that of the leaves", size))
	}
}

// inDoubt reports whether the tree's root rests on a hash whose fault is named
// already and not settled yet.
func (v *verifier) inDoubt() bool {
	for _, n := range v.tree.roots {
		if n.doubt {
			return true
		}
	}
	return false
}

func (v *verifier) finishTree() {
	s := &v.snapshot
	if root := v.tree.root(); s.Tree.Root != root && !v.inDoubt() {
		v.problem("tree", -1, fmt.Sprintf("the root of size %d is not that of its leaves", s.Tree.Size))
	}
	if s.Tree.Size > 0 && v.lastCheckpoint != s.Tree.Size {
		v.problem("checkpoint", -1, fmt.Sprintf("of size %d: it is missing", s.Tree.Size))
	}
	for _, size := range s.StrayCheckpoints {
		v.problem("checkpoint", -1, fmt.Sprintf("of size %d: no tree so far has it", size))
	}
	if s.StrayHashes > 0 {
		v.problem("tree", -1, fmt.Sprintf("%d stored hashes belong to no leaf", s.StrayHashes))
	}
}
