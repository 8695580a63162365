package evidence

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/mod/sumdb/tlog"
)

// SeedSize is the length of a block's seed in bytes.
const SeedSize = 32

// SaltSize is the length of an event's salt in bytes.
const SaltSize = 16

// Salt derives the salt of the event at index in its block. One salt tells
// nothing of the others, so that one event can be shown and the rest withheld.
func Salt(seed []byte, index uint32) (salt [SaltSize]byte) {
	mac := hmac.New(sha256.New, seed)
	mac.Write([]byte(saltTag))
	mac.Write(binary.BigEndian.AppendUint32(nil, index))
	copy(salt[:], mac.Sum(nil))
	return salt
}

// Commitment hides event behind salt and binds to it.
func Commitment(salt [SaltSize]byte, event []byte) Hash {
	return tagged(commitmentTag, salt[:], event)
}

// Commitments returns the commitment of each event of a block.
func Commitments(seed []byte, events [][]byte) []Hash {
	commitments := make([]Hash, len(events))
	// Salt and Commitment of each, with the digests made once for all.
	mac, digest := hmac.New(sha256.New, seed), sha256.New()
	var salt [sha256.Size]byte
	message, tag := append([]byte(saltTag), 0, 0, 0, 0), []byte(commitmentTag)
	for i, event := range events {
		binary.BigEndian.PutUint32(message[len(saltTag):], uint32(i))
		mac.Reset()
		mac.Write(message)
		mac.Sum(salt[:0])
		digest.Reset()
		digest.Write(tag)
		digest.Write(salt[:SaltSize])
		digest.Write(event)
		digest.Sum(commitments[i][:0])
	}
	return commitments
}

// CommitmentRoot is the RFC 6962 root over commitments, each a leaf record.
func CommitmentRoot(commitments []Hash) Hash {
	// stack holds the roots of complete subtrees, largest first.
	var stack []tlog.Hash
	for i := range commitments {
		stack = append(stack, tlog.RecordHash(commitments[i][:]))
		for n := i + 1; n&1 == 0; n >>= 1 {
			last := len(stack) - 1
			stack[last-1] = tlog.NodeHash(stack[last-1], stack[last])
			stack = stack[:last]
		}
	}
	if len(stack) == 0 {
		return Hash(sha256.Sum256(nil))
	}
	root := stack[len(stack)-1]
	for i := len(stack) - 2; i >= 0; i-- {
		root = tlog.NodeHash(stack[i], root)
	}
	return Hash(root)
}
