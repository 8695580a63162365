package evidence

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxCommitments bounds the events of one block in proofs.
const MaxCommitments = 1 << 20

// ProveCommitment returns the audit path (RFC 6962) of the commitment at index
// under CommitmentRoot(commitments), so that one event can be shown without the others.
func ProveCommitment(commitments []Hash, index int) ([]Hash, error) {
	if index < 0 || index >= len(commitments) || len(commitments) > MaxCommitments {
		return nil, fmt.Errorf("%w: no commitment %d of %d", ErrMalformed, index, len(commitments))
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			hashes[i] = stored[at]
		}
		return hashes, nil
	})
	for i := range commitments {
		hashes, err := tlog.StoredHashes(int64(i), commitments[i][:], reader)
		if err != nil {
			return nil, fmt.Errorf("hashing commitments: %w", err)
		}
		stored = append(stored, hashes...)
	}
	path, err := tlog.ProveRecord(int64(len(commitments)), int64(index), reader)
	if err != nil {
		return nil, fmt.Errorf("proving commitment: %w", err)
	}
	return fromTlog(path), nil
}

// CheckCommitment verifies that commitment is the one at index of the count
// under root (a header's Commitments). Any mismatch is ErrMalformed.
func CheckCommitment(root Hash, count, index int, commitment Hash, path []Hash) error {
	if index < 0 || index >= count || count > MaxCommitments {
		return fmt.Errorf("%w: no commitment %d of %d", ErrMalformed, index, count)
	}
	leaf := tlog.RecordHash(commitment[:])
	if err := tlog.CheckRecord(toTlog(path), int64(count), tlog.Hash(root), int64(index), leaf); err != nil {
		return fmt.Errorf("%w: commitment %d of %d: %w", ErrMalformed, index, count, err)
	}
	return nil
}

// CheckInclusion verifies that a leaf with the given hash is at position in the
// tree of size under root.
func CheckInclusion(root Hash, size, position int64, leaf Hash, path []Hash) error {
	if position < 0 || position >= size {
		return fmt.Errorf("%w: no position %d in a tree of %d", ErrMalformed, position, size)
	}
	if err := tlog.CheckRecord(toTlog(path), size, tlog.Hash(root), position, tlog.Hash(leaf)); err != nil {
		return fmt.Errorf("%w: inclusion of position %d in tree of %d: %w", ErrMalformed, position, size, err)
	}
	return nil
}

// CheckConsistency verifies that the tree of oldSize under oldRoot is a prefix
// of the tree of size under root. The empty tree is a prefix of every tree.
func CheckConsistency(root Hash, size int64, oldRoot Hash, oldSize int64, path []Hash) error {
	if oldSize == 0 && len(path) == 0 {
		return nil
	}
	if oldSize < 1 || oldSize > size {
		return fmt.Errorf("%w: tree of %d is no prefix of %d", ErrMalformed, oldSize, size)
	}
	if err := tlog.CheckTree(toTlog(path), size, tlog.Hash(root), oldSize, tlog.Hash(oldRoot)); err != nil {
		return fmt.Errorf("%w: consistency of trees %d and %d: %w", ErrMalformed, oldSize, size, err)
	}
	return nil
}

func toTlog(hashes []Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = tlog.Hash(h)
	}
	return out
}

func fromTlog(hashes []tlog.Hash) []Hash {
	out := make([]Hash, len(hashes))
	for i, h := range hashes {
		out[i] = Hash(h)
	}
	return out
}
