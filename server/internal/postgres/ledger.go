package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// treeLock is the advisory lock of whoever grows the tree just now. It saves
// work; what keeps two from growing it apart is the comparison in moveTree.
const treeLock = 0x6173736179_0002

// Tree is the Merkle tree over the first Size leaves.
type Tree struct {
	Size int64
	Root evidence.Hash
}

// Growth is what grow makes of new leaves: the next tree, and the hashes to be
// stored from the first index that the old tree does not have.
type Growth struct {
	Tree       Tree
	FirstIndex int64
	Hashes     []evidence.Hash
}

// Grower grows trees and signs them.
type Grower interface {
	// Grow adds canonical leaves to a tree, whose stored hashes read returns in
	// the order asked for.
	Grow(old Tree, leaves [][]byte, read func(indexes []int64) ([]evidence.Hash, error)) (Growth, error)
	// Sign returns the signed checkpoint of a tree. key is the newest key that the
	// ledger names (note format), "" where it names none: no other may sign.
	Sign(tree Tree, key string) ([]byte, error)
}

// Grown says what GrowTree did.
type Grown struct {
	Tree Tree
	// Busy: another server is at it.
	Busy bool
	// Behind is how many leaves are still to be taken in.
	Behind int64
}

// GrowTree takes at most limit new leaves into the tree and keeps a checkpoint
// of it, in one transaction: a checkpoint is never shown before it is kept.
func (s *Store) GrowTree(ctx context.Context, limit int64, g Grower) (grown Grown, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(treeLock)).Scan(&mine); err != nil {
			return fmt.Errorf("taking the tree's lock: %w", err)
		}
		if !mine {
			grown.Busy = true
			return nil
		}
		old, size, err := readTree(ctx, tx)
		if err != nil {
			return err
		}
		to := min(size, old.Size+limit)
		grown = Grown{Tree: old, Behind: size - to}
		if to <= old.Size {
			return nil
		}
		if err := refuseUnheld(ctx, tx); err != nil {
			return err
		}
		grown.Tree, err = s.growTree(ctx, tx, g, old, to)
		return err
	})
	return grown, translate("growing ledger tree", err)
}

func (s *Store) growTree(ctx context.Context, tx pgx.Tx, g Grower, old Tree, to int64) (Tree, error) {
	leaves, err := readLeaves(ctx, tx, old.Size, to)
	if err != nil {
		return Tree{}, err
	}
	growth, err := g.Grow(old, leaves, func(indexes []int64) ([]evidence.Hash, error) { return readHashes(ctx, tx, indexes) })
	if err != nil {
		return Tree{}, err
	}
	if err := moveTree(ctx, tx, old, growth.Tree); err != nil {
		return Tree{}, err
	}
	next := 0
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"ledger_hash"}, []string{"index", "hash"}, pgx.CopyFromFunc(func() ([]any, error) {
		if next == len(growth.Hashes) {
			return nil, nil
		}
		next++
		return []any{growth.FirstIndex + int64(next-1), growth.Hashes[next-1][:]}, nil
	}))
	if err != nil {
		return Tree{}, fmt.Errorf("copying tree hashes: %w", err)
	}
	// Signed only once the tree has moved under our lock: no one else can sign
	// another root of this size meanwhile.
	keys, err := readLedgerKeys(ctx, tx)
	if err != nil {
		return Tree{}, fmt.Errorf("reading ledger keys: %w", err)
	}
	key := ""
	if len(keys) > 0 {
		key = keys[len(keys)-1].Key
	}
	note, err := g.Sign(growth.Tree, key)
	if err != nil {
		return Tree{}, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO checkpoint (size, root, note, signed_at) VALUES ($1, $2, $3, $4)`,
		growth.Tree.Size, growth.Tree.Root[:], note, s.clock())
	if err != nil {
		return Tree{}, fmt.Errorf("inserting checkpoint: %w", err)
	}
	return growth.Tree, nil
}

func readTree(ctx context.Context, tx pgx.Tx) (tree Tree, size int64, err error) {
	var root []byte
	err = tx.QueryRow(ctx, `SELECT t.size, t.root, h.size FROM ledger_tree t, ledger_head h`).Scan(&tree.Size, &root, &size)
	copy(tree.Root[:], root)
	if err != nil {
		return tree, 0, fmt.Errorf("reading ledger tree: %w", err)
	}
	return tree, size, nil
}

// readLeaves returns the leaves of [from, to), and fails where one is missing.
func readLeaves(ctx context.Context, tx manyQuerier, from, to int64) ([][]byte, error) {
	rows, err := tx.Query(ctx, `SELECT position, data FROM leaf WHERE position >= $1 AND position < $2 ORDER BY position`, from, to)
	if err != nil {
		return nil, fmt.Errorf("reading leaves: %w", err)
	}
	leaves := make([][]byte, 0, to-from)
	var position int64
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&position, &data}, func() error {
		if want := from + int64(len(leaves)); position != want {
			return &assay.Error{Kind: assay.Internal, Err: fmt.Errorf("the leaf at position %d is missing", want)}
		}
		leaves = append(leaves, data)
		data = nil
		return nil
	})
	if err == nil && int64(len(leaves)) != to-from {
		err = &assay.Error{Kind: assay.Internal, Err: fmt.Errorf("the leaf at position %d is missing", from+int64(len(leaves)))}
	}
	if err != nil {
		return nil, fmt.Errorf("reading leaves: %w", err)
	}
	return leaves, nil
}

func moveTree(ctx context.Context, tx pgx.Tx, old, next Tree) error {
	tag, err := tx.Exec(ctx, `UPDATE ledger_tree SET size = $1, root = $2 WHERE size = $3 AND root = $4`,
		next.Size, next.Root[:], old.Size, old.Root[:])
	if err != nil {
		return fmt.Errorf("moving ledger tree: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return assay.Errorf(assay.Conflict, "the ledger tree has moved meanwhile")
	}
	return nil
}

type manyQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readHashes(ctx context.Context, q manyQuerier, indexes []int64) ([]evidence.Hash, error) {
	rows, err := q.Query(ctx, `SELECT h.hash FROM unnest($1::bigint[]) WITH ORDINALITY AS want (index, place)
		JOIN ledger_hash h ON h.index = want.index ORDER BY want.place`, indexes)
	if err != nil {
		return nil, fmt.Errorf("reading tree hashes: %w", err)
	}
	hashes, err := pgx.CollectRows(rows, scanHash)
	if err != nil {
		return nil, fmt.Errorf("reading tree hashes: %w", err)
	}
	if len(hashes) != len(indexes) {
		return nil, &assay.Error{Kind: assay.Internal, Err: fmt.Errorf("reading tree hashes: %d of %d are there", len(hashes), len(indexes))}
	}
	return hashes, nil
}

func scanHash(row pgx.CollectableRow) (hash evidence.Hash, err error) {
	var raw []byte
	err = row.Scan(&raw)
	copy(hash[:], raw)
	return hash, err
}

// TreeHashes returns stored hashes of the tree in the order asked for.
func (s *Store) TreeHashes(ctx context.Context, indexes []int64) ([]evidence.Hash, error) {
	hashes, err := readHashes(ctx, s.db, indexes)
	return hashes, translate("reading tree hashes", err)
}

// Checkpoint is a signed tree.
type Checkpoint struct {
	Tree
	Note     []byte
	SignedAt time.Time
}

// Statement is what the note says, as others sign it. The origin is the note's
// own; who needs to know that it is ours opens the note.
func (c *Checkpoint) Statement() evidence.Checkpoint {
	origin, _, _ := strings.Cut(string(c.Note), "\n")
	return evidence.Checkpoint{Origin: origin, Size: c.Size, Root: c.Root}
}

// LatestCheckpoint returns the newest checkpoint, or NotFound.
func (s *Store) LatestCheckpoint(ctx context.Context) (Checkpoint, error) {
	var c Checkpoint
	var root []byte
	err := s.db.QueryRow(ctx, `SELECT size, root, note, signed_at FROM checkpoint ORDER BY size DESC LIMIT 1`).
		Scan(&c.Size, &root, &c.Note, &c.SignedAt)
	copy(c.Root[:], root)
	c.SignedAt = c.SignedAt.UTC()
	return c, translate("reading checkpoint", err)
}

// StreamLeaf is the leaf of a stream's newest batch below some size.
type StreamLeaf struct {
	Stream   assay.StreamID
	Position int64
	Leaf     []byte
}

// NewestBelow returns, of those of the streams that are the agent's, the leaf of
// the newest batch whose position is below size. A stream whose newest batches
// of two segments are all above it is left out.
func (s *Store) NewestBelow(ctx context.Context, agent assay.AgentID, streams []assay.StreamID, size int64) ([]StreamLeaf, error) {
	rows, err := s.db.Query(ctx, `SELECT s.id, l.position, l.data FROM stream s
		CROSS JOIN LATERAL (SELECT CASE WHEN s.position < $3 THEN s.position ELSE (
			SELECT b.position FROM batch b WHERE b.stream_id = s.id AND b.position < $3 AND b.position >= $3 - $4::bigint
			ORDER BY b.epoch DESC, b.number DESC LIMIT 1) END AS position) newest
		JOIN leaf l ON l.position = newest.position
		WHERE s.agent_id = $1 AND s.id = ANY ($2) ORDER BY s.kind`, [16]byte(agent), uuids(streams), size, int64(2*SegmentSize))
	if err != nil {
		return nil, translate("reading newest leaves", err)
	}
	leaves, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (leaf StreamLeaf, err error) {
		err = row.Scan((*[16]byte)(&leaf.Stream), &leaf.Position, &leaf.Leaf)
		return leaf, err
	})
	return leaves, translate("reading newest leaves", err)
}
