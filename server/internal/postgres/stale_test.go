package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// TestStaleProjectorWritesNothing: one that wakes up behind another, with a step that
// it had computed, neither writes its rows nor moves the cursor or the watermark.
func TestStaleProjectorWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1), chain.Next(t, 1))
	stale, err := b.store.Cursor(ctx, "facts", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	step := func(to uint64, value string) *postgres.Delta {
		return &postgres.Delta{
			Pass: "facts", Lane: 1, From: stale.Position, To: to, Watermark: b.now.Add(time.Duration(to) * time.Minute),
			Posture: []postgres.PostureRow{{Host: agent.HostID, Name: "state", Value: value, ObservedAt: b.now.Add(time.Duration(to) * time.Minute)}},
		}
	}
	if err := b.store.ApplyDelta(ctx, step(2, "awake")); err != nil {
		t.Fatal(err)
	}
	if err := b.store.ApplyDelta(ctx, step(3, "late")); !errors.Is(err, postgres.ErrCursorMoved) {
		t.Errorf("a stale step: %v", err)
	}
	if err := b.store.Touch(ctx, stale, b.now.Add(time.Hour)); !errors.Is(err, postgres.ErrCursorMoved) {
		t.Errorf("a stale watermark: %v", err)
	}
	now, err := b.store.Cursor(ctx, "facts", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if now.Position != 2 || !now.Watermark.Equal(b.now.Add(2*time.Minute).Truncate(time.Microsecond)) {
		t.Errorf("the cursor is at %d, %s", now.Position, now.Watermark)
	}
	if n := b.count(t, `SELECT count(*) FROM posture WHERE value = 'awake'`); n != 1 || b.count(t, `SELECT count(*) FROM posture`) != 1 {
		t.Errorf("%d rows of who was awake, want that one and no other", n)
	}
}

// lateGrower grows by one hash, and while it does another grower, which holds no lock
// that it knows of, moves the tree.
type lateGrower struct {
	t *testing.T
	b *bundle
}

func (g lateGrower) Grow(old postgres.Tree, leaves [][]byte, _ func([]int64) ([]evidence.Hash, error)) (postgres.Growth, error) {
	tag, err := g.b.pool.Exec(g.t.Context(), `UPDATE ledger_tree SET size = size + 1, root = sha256('another') WHERE size = $1`, old.Size)
	if err != nil || tag.RowsAffected() != 1 {
		g.t.Errorf("moving the tree: %d rows, %v", tag.RowsAffected(), err)
	}
	return postgres.Growth{Tree: postgres.Tree{Size: old.Size + int64(len(leaves)), Root: evidence.Hash{1}}, FirstIndex: 1000, Hashes: []evidence.Hash{{2}}}, nil
}

func (g lateGrower) Sign(postgres.Tree, string) ([]byte, error) {
	g.t.Error("a tree that was built on another is signed")
	return []byte("note"), nil
}

// TestStaleGrowerWritesNothing: one that comes back behind another, with a tree that it
// had computed, neither moves the tree nor leaves hashes or a checkpoint.
func TestStaleGrowerWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1))
	if _, err := b.store.GrowTree(t.Context(), 100, lateGrower{t, b}); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a stale tree: %v", err)
	}
	if n := b.count(t, `SELECT count(*) FROM ledger_tree WHERE size = 1 AND root = sha256('another')`); n != 1 {
		t.Error("the tree of who was first is gone")
	}
	if n := b.count(t, `SELECT (SELECT count(*) FROM ledger_hash) + (SELECT count(*) FROM checkpoint)`); n != 0 {
		t.Errorf("%d hashes and checkpoints of a stale tree are there", n)
	}
}
