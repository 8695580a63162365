package ledger_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type bundle struct {
	pool      *pgxpool.Pool
	store     *postgres.Store
	authority *ca.Authority
	verifier  note.Verifier
	growing   *ledger.Growing
	prover    ledger.Prover
	now       time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.Pool(t), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return b.now }
	b.store = postgres.New(postgres.Config{DB: b.pool, Now: clock})
	b.authority = evidencetest.Authority(t, clock)
	b.growing = b.newGrowing()
	b.prover = ledger.Prover{Store: b.store}
	var err error
	if b.verifier, err = note.NewVerifier(b.authority.LedgerKey()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bundle) newGrowing() *ledger.Growing {
	return ledger.NewGrowing(ledger.GrowConfig{Store: b.store, Keys: b.authority, Log: slog.New(slog.DiscardHandler)})
}

func (b *bundle) grow(t *testing.T) {
	t.Helper()
	if err := b.growing.RunOnce(t.Context()); err != nil {
		t.Fatal(assay.Cause(err))
	}
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	tag, err := b.pool.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() == 0 {
		t.Fatalf("%s touched nothing", sql)
	}
}

// leaves appends n leaves and returns their hashes.
func (b *bundle) leaves(t *testing.T, n int) []evidence.Hash {
	t.Helper()
	leaves := make([]evidence.Leaf, n)
	for i := range leaves {
		leaves[i] = evidence.Leaf{Kind: evidence.LeafScope, Body: []byte{byte(i), byte(i >> 8)}}
	}
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		_, err := b.store.AppendLeaves(t.Context(), tx, leaves)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	hashes := make([]evidence.Hash, n)
	for i := range leaves {
		hashes[i] = leaves[i].Hash()
	}
	return hashes
}

// The tree, in whatever steps it grows, is the one of RFC 6962, and proves it.
func TestGrowAndProve(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []evidence.Hash
	roots := map[int64]evidence.Hash{}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = stored[at]
		}
		return out, nil
	})
	for _, step := range []int{1, 1, 1, 5, 8, 1, 20, 64, 3} {
		fresh := b.leaves(t, step)
		for _, hash := range fresh {
			more, err := tlog.StoredHashesForRecordHash(int64(len(all)), tlog.Hash(hash), reader)
			if err != nil {
				t.Fatal(err)
			}
			stored, all = append(stored, more...), append(all, hash)
		}
		b.grow(t)
		want, err := tlog.TreeHash(int64(len(all)), reader)
		if err != nil {
			t.Fatal(err)
		}
		checkpoint, err := b.prover.Latest(t.Context())
		if err != nil || checkpoint.Size != int64(len(all)) || checkpoint.Root != evidence.Hash(want) {
			t.Fatalf("after %d leaves the checkpoint is %+v, %v; want root %x", len(all), checkpoint.Tree, err, want)
		}
		opened, err := evidence.OpenCheckpoint(checkpoint.Note, b.verifier)
		if err != nil || opened.Size != checkpoint.Size || opened.Root != checkpoint.Root || opened.Origin != "assay/test" {
			t.Fatalf("the note says %+v, %v", opened, err)
		}
		roots[checkpoint.Size] = checkpoint.Root
	}
	for size, root := range roots {
		for position := int64(0); position < size; position += 3 {
			proof, err := b.prover.Inclusion(t.Context(), position, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := evidence.CheckInclusion(root, size, position, all[position], proof); err != nil {
				t.Error(err)
			}
		}
		for old, oldRoot := range roots {
			if old > size {
				continue
			}
			proof, err := b.prover.Consistency(t.Context(), old, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := evidence.CheckConsistency(root, size, oldRoot, old, proof); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := b.prover.Inclusion(t.Context(), 1000, 1000); assay.KindOf(err) != assay.NotFound {
		t.Errorf("proof of what is not there: %v", err)
	}
	if _, err := b.prover.Consistency(t.Context(), 1000, 10); assay.KindOf(err) != assay.NotFound {
		t.Errorf("proof of a larger tree: %v", err)
	}
}

func TestNothingToSign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.grow(t)
	if _, err := b.prover.Latest(t.Context()); assay.KindOf(err) != assay.NotFound {
		t.Errorf("an empty ledger has a checkpoint: %v", err)
	}
	b.leaves(t, 3)
	b.grow(t)
	b.grow(t)
	var n int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM checkpoint`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d checkpoints of one size, %v", n, err)
	}
}

// Many servers grow one ledger while it is written to: no size has two roots
// and the tree is whole.
func TestManyGrow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	var growers, writers sync.WaitGroup
	for range 3 {
		g := ledger.NewGrowing(ledger.GrowConfig{Store: b.store, Keys: b.authority, Log: slog.New(slog.DiscardHandler), Interval: time.Millisecond})
		growers.Go(func() {
			if err := g.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for range 2 {
		writers.Go(func() {
			for range 20 {
				b.leaves(t, 7)
			}
		})
	}
	writers.Wait()
	stop()
	growers.Wait()
	// A grower that was stopped in mid-transaction has let go of the connection,
	// but its lock stands until Postgres has noticed.
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for size := int64(0); size != 280; {
		b.grow(t)
		checkpoint, err := b.prover.Latest(t.Context())
		if err != nil && assay.KindOf(err) != assay.NotFound { // not found: nobody has grown it yet
			t.Fatal(err)
		}
		size = checkpoint.Size
		select {
		case <-patience.Done():
			t.Fatalf("the tree has %d of 280 leaves", size)
		case <-ticker.C:
		}
	}
	proof, err := b.prover.Consistency(t.Context(), 1, 280)
	if err != nil || len(proof) == 0 {
		t.Fatal(err)
	}
}

// What is not what was signed is never signed on.
func TestGrowRefusesAlteredTree(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]string{
		"hash": `UPDATE ledger_hash SET hash = set_bit(hash, 3, 1 - get_bit(hash, 3)) WHERE index = (SELECT max(index) FROM ledger_hash)`,
		"root": `UPDATE ledger_tree SET root = set_bit(root, 3, 1 - get_bit(root, 3))`,
		"leaf": `DELETE FROM leaf WHERE position = 6`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.leaves(t, 5)
			b.grow(t)
			b.leaves(t, 3)
			b.exec(t, alter)
			if err := b.growing.RunOnce(t.Context()); assay.KindOf(err) != assay.Internal {
				t.Errorf("grew: %v", err)
			}
			latest, err := b.prover.Latest(t.Context())
			if err != nil || latest.Size != 5 {
				t.Errorf("latest is %d, %v", latest.Size, err)
			}
		})
	}
}

func TestNewestBelow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	other := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	empty := evidencetest.Open(t, b.store, agent, evidence.Control, assay.ReasonFirst)
	foreign := evidencetest.Open(t, b.store, other, evidence.Bulk, assay.ReasonFirst)
	evidencetest.Append(t, b.store, assay.Committed, foreign.Next(t, 1))
	signed := evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1), chain.Next(t, 1))
	b.grow(t)
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1))
	latest, err := b.prover.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := []assay.StreamID{chain.Head.Stream, empty.Head.Stream, foreign.Head.Stream}
	leaves, err := b.store.NewestBelow(t.Context(), agent.ID, ids, latest.Size)
	if err != nil || len(leaves) != 1 || leaves[0].Stream != chain.Head.Stream || leaves[0].Position != signed[1].Position {
		t.Fatalf("newest below %d: %+v, %v", latest.Size, leaves, err)
	}
	proof, err := b.prover.Inclusion(t.Context(), leaves[0].Position, latest.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := evidence.CheckInclusion(latest.Root, latest.Size, leaves[0].Position, evidence.HashLeaf(leaves[0].Leaf), proof); err != nil {
		t.Error(err)
	}
	if sum := sha256.Sum256(nil); latest.Root == sum {
		t.Error("the root is that of nothing")
	}
}
