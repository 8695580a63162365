package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// ledgerKey is a key that signs checkpoints of sizes above a position, until
// the next takes its place. One that came later vouches as well for what was
// before it, and may be all there is where a checkpoint was late.
type ledgerKey struct {
	position int64
	text     string
	verifier note.Verifier
}

// beginKeys takes the keys from their rows, which are compared with their leaves
// on the way. A ledger from before keys were recorded has the trusted one alone.
func (v *verifier) beginKeys() {
	for _, row := range v.snapshot.Keys {
		key, err := note.NewVerifier(row.Key)
		if err != nil {
			v.problem("key", row.Position, "it cannot be read")
			continue
		}
		v.keys = append(v.keys, ledgerKey{row.Position, row.Key, key})
		v.expectKept(row)
	}
	if len(v.keys) == 0 {
		v.keys = []ledgerKey{{-1, "", v.cfg.Key}}
	}
	// The first was in force before it was recorded.
	v.keys[0].position = -1
	newest := v.keys[len(v.keys)-1]
	if newest.verifier.Name() != v.cfg.Key.Name() || newest.verifier.KeyHash() != v.cfg.Key.KeyHash() {
		v.problem("key", newest.position, fmt.Sprintf("the ledger's newest key is not the trusted one of %s", v.cfg.Key.Name()))
	}
}

// expectKept remembers the tree with which a ledger that follows another begins.
func (v *verifier) expectKept(row postgres.LedgerKey) {
	if row.Action != evidence.KeySucceeded || len(v.keys) < 2 {
		return
	}
	s, _, err := evidence.OpenSuccession([]byte(row.Succession), v.keys[len(v.keys)-2].text)
	if err != nil {
		return // told at its leaf
	}
	if v.kept == nil {
		v.kept = map[int64]evidence.Hash{}
	}
	v.kept[s.Kept.Size] = s.Kept.Root
}

// keptTree compares the tree so far with what a succession says was kept.
func (v *verifier) keptTree(size int64) {
	if root, ok := v.kept[size]; ok && v.tree.size == size && v.tree.root() != root && !v.inDoubt() {
		v.problem("key", -1, fmt.Sprintf("a succession says that %d leaves were kept, with another root than they have", size))
	}
}

// openCheckpoint opens the checkpoint of a size by the key in force then, or one
// that follows it.
func (v *verifier) openCheckpoint(signed []byte, size int64) (c evidence.Checkpoint, err error) {
	first := 0
	for i, key := range v.keys {
		if key.position < size {
			first = i
		}
	}
	for _, key := range v.keys[first:] {
		if c, err = evidence.OpenCheckpoint(signed, key.verifier); err == nil {
			return c, nil
		}
	}
	return c, err
}

// keyLeaf verifies that a key follows the one before it by the word of both.
func (v *verifier) keyLeaf(position int64, leaf *evidence.Leaf) {
	var record evidence.KeyRecord
	if err := evidence.Decode(leaf.Body, &record); err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	before := ""
	for i := 1; i < len(v.keys); i++ {
		if v.keys[i].position == position {
			before = v.keys[i-1].text
		}
	}
	switch record.Action {
	case evidence.KeyCreated:
		if before != "" {
			v.problem("key", position, "it was taken into use where there was one, and that one does not say so")
		}
	case evidence.KeyRotated:
		rotation, _, err := evidence.OpenRotation([]byte(record.Rotation), before)
		switch {
		case err != nil:
			v.problem("key", position, err.Error())
		case rotation.Key != record.Key:
			v.problem("key", position, "its rotation names another")
		}
	case evidence.KeySucceeded:
		v.succession(position, record, before)
	default:
		v.problem("leaf", position, fmt.Sprintf("%q is nothing that a key does", record.Action))
	}
}

// succession verifies that the ledger which ended kept what the one that follows
// begins with.
func (v *verifier) succession(position int64, record evidence.KeyRecord, before string) {
	s, _, err := evidence.OpenSuccession([]byte(record.Succession), before)
	switch {
	case err != nil:
		v.problem("key", position, err.Error())
	case s.Key != record.Key:
		v.problem("key", position, "its succession names another")
	case s.Kept.Size > position:
		v.problem("key", position, fmt.Sprintf("its succession keeps %d leaves, there were %d", s.Kept.Size, position))
	}
}
