package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// growSteps are all that growing the tree and publishing a checkpoint asks of
// others, in order. A step that is new in the code fails the test until it is here.
var growSteps = []string{
	"begin", "take the lock", "read the head", "look at what others hold", "read the leaves", "read the hashes", "hash",
	"compare and swap", "store the hashes", "read the keys", "sign", "store the checkpoint", "publish",
}

// stepOf names a statement.
func stepOf(sql string) string {
	for _, s := range []struct{ part, step string }{
		{"pg_try_advisory_xact_lock", "take the lock"},
		{"FROM ledger_tree t, ledger_head h", "read the head"},
		{"FROM held_checkpoint", "look at what others hold"},
		{"FROM leaf WHERE position >=", "read the leaves"},
		{"JOIN ledger_hash", "read the hashes"},
		{"UPDATE ledger_tree", "compare and swap"},
		{"INSERT INTO checkpoint", "store the checkpoint"},
		{"FROM leaf_record WHERE kind = $1", "read the keys"},
		{`COPY "ledger_hash"`, "store the hashes"},
		{"commit", "publish"},
	} {
		if strings.Contains(sql, s.part) {
			return s.step
		}
	}
	return sql
}

// notary is a grower that remembers all roots that were ever signed, also those
// that nobody has been shown.
type notary struct {
	postgres.Grower
	fault *pgtest.Fault

	mu     sync.Mutex
	signed map[int64]map[evidence.Hash]bool // under mu
}

func (n *notary) Grow(old postgres.Tree, leaves [][]byte, read func([]int64) ([]evidence.Hash, error)) (postgres.Growth, error) {
	growth, err := n.Grower.Grow(old, leaves, read)
	if failed := n.fault.Begin("hash"); failed != nil {
		return postgres.Growth{}, failed
	}
	if err == nil && n.fault.Lost("hash") {
		return growth, pgtest.ErrLost
	}
	return growth, err
}

func (n *notary) Sign(tree postgres.Tree, key string) ([]byte, error) {
	if err := n.fault.Begin("sign"); err != nil {
		return nil, err
	}
	signed, err := n.Grower.Sign(tree, key)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.signed[tree.Size] == nil {
		n.signed[tree.Size] = map[evidence.Hash]bool{}
	}
	n.signed[tree.Size][tree.Root] = true
	if n.fault.Lost("sign") {
		return nil, pgtest.ErrLost
	}
	return signed, nil
}

// Each step of growing the tree fails, and fails after it was done. Whoever comes
// next goes on: no size ever has two signed roots, what was published stays, and
// the ledger verifies.
func TestGrowFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := &faultyGrower{bundle: b, notary: &notary{Grower: b.growing, fault: &pgtest.Fault{Name: stepOf}, signed: map[int64]map[evidence.Hash]bool{}}}
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1), chain.Next(t, 1))
	g.goesOn(t, "at first")
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1))
	whole := &pgtest.Fault{Name: stepOf}
	if err := g.grow(t.Context(), whole); err != nil {
		t.Fatal(assay.Cause(err))
	}
	if !slices.Equal(whole.Steps, growSteps) {
		t.Fatalf("growing takes the steps %q; the table has %q", whole.Steps, growSteps)
	}
	for _, fault := range whole.Each() {
		// The next grower finds the same leaves, or more of them.
		for _, more := range []bool{false, true} {
			name := fmt.Sprintf("%s, more=%t", fault, more)
			evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1), chain.Signed(t, 2), chain.Next(t, 1))
			g.fails(t, name, fault)
			if more {
				evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 3))
			}
			g.goesOn(t, name)
		}
	}
	report := b.verify(t)
	if !report.Good() || report.Tree != report.Size {
		t.Errorf("after all failures the tree has %d of %d leaves, problems %v", report.Tree, report.Size, report.Problems)
	}
	for size, roots := range g.notary.signed {
		if len(roots) != 1 {
			t.Errorf("%d roots of size %d were signed", len(roots), size)
		}
	}
}

// faultyGrower is a server that grows the ledger, with a fault at a time.
type faultyGrower struct {
	*bundle
	notary *notary
}

// grow is one growth by a server that has just started.
func (g *faultyGrower) grow(ctx context.Context, f *pgtest.Fault) error {
	g.notary.fault = f
	_, err := g.faulty(f).GrowTree(ctx, 16_384, g.notary)
	return err
}

// fails has one growth meet the fault. Nothing is published but what a lost
// answer hides.
func (g *faultyGrower) fails(t *testing.T, name string, f *pgtest.Fault) {
	t.Helper()
	before := g.published(t)
	if err := g.grow(t.Context(), f); err == nil || !f.Hit {
		t.Fatalf("%s: hit=%t, the growth ended with %v", name, f.Hit, err)
	}
	after := g.published(t)
	if published := f.Step == "publish" && f.After; published != (after.Size > before.Size) {
		t.Errorf("%s: the newest checkpoint was of size %d and is of %d", name, before.Size, after.Size)
	}
	if report := g.verify(t); !report.Good() {
		t.Errorf("%s: the ledger as it was left: %v", name, report.Problems)
	}
}

// goesOn has another grower take in all leaves.
func (g *faultyGrower) goesOn(t *testing.T, name string) {
	t.Helper()
	// The lock of one that died stands until Postgres has noticed.
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	before := g.published(t)
	var leaves int64
	if err := g.pool.QueryRow(t.Context(), `SELECT size FROM ledger_head`).Scan(&leaves); err != nil {
		t.Fatal(err)
	}
	for g.published(t).Size != leaves {
		if err := g.grow(t.Context(), &pgtest.Fault{Name: stepOf}); err != nil {
			t.Fatalf("%s: the next grower: %v", name, assay.Cause(err))
		}
		select {
		case <-patience.Done():
			t.Fatalf("%s: the newest checkpoint is of %d leaves of %d", name, g.published(t).Size, leaves)
		case <-ticker.C:
		}
	}
	after := g.published(t)
	opened, err := evidence.OpenCheckpoint(after.Note, g.verifier)
	if err != nil || opened.Size != after.Size || opened.Root != after.Root {
		t.Errorf("%s: the note says %+v, %v", name, opened, err)
	}
	if before.Size == 0 {
		return
	}
	proof, err := g.prover.Consistency(t.Context(), before.Size, after.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := evidence.CheckConsistency(after.Root, after.Size, before.Root, before.Size, proof); err != nil {
		t.Errorf("%s: what was published before is not in it: %v", name, err)
	}
}

// published is the newest checkpoint, zero where there is none.
func (g *faultyGrower) published(t *testing.T) postgres.Checkpoint {
	t.Helper()
	newest, err := g.prover.Latest(t.Context())
	if err != nil && assay.KindOf(err) != assay.NotFound {
		t.Fatal(err)
	}
	return newest
}
