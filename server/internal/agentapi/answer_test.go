package agentapi_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// losing is a database that commits batches, and of which the answer is lost as
// often as it is armed.
type losing struct {
	postgres.DB
	armed atomic.Int32
}

func (d *losing) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := d.DB.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &losingTx{Tx: tx, db: d}, nil
}

type losingTx struct {
	pgx.Tx
	db      *losing
	batches bool
}

func (x *losingTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	x.batches = x.batches || table[0] == "batch"
	return x.Tx.CopyFrom(ctx, table, columns, rows)
}

func (x *losingTx) Commit(ctx context.Context) error {
	if err := x.Tx.Commit(ctx); err != nil {
		return err
	}
	if x.batches && x.db.armed.Add(-1) >= 0 {
		return pgtest.ErrLost
	}
	return nil
}

// TestLostAnswerOfACommit: batches were committed, and the server does not know. The
// agent is told nothing that is not so; it comes back, and sends again what it likes:
// all is there once, and acknowledged.
func TestLostAnswerOfACommit(t *testing.T) {
	t.Parallel()
	h := newHarness(t, pgtest.Pool(t))
	db := &losing{DB: h.pool}
	h.store = postgres.New(postgres.Config{DB: db, Now: h.clock.now})
	h.serve(t)
	c := h.connect(t, h.enrol(t))
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	var sent []*assay.Batch
	for n := range uint64(3) {
		batch := chain.Next(t, 1)
		sent = append(sent, batch)
		db.armed.Store(1)
		c.sendBatches(t, batch)
		c.ends(t, codes.Unavailable)
		c = h.connect(t, c.agent)
		if head := headOf(t, c.welcome.GetHeads()[0]); head.Number != n+1 || head.Hash != batch.Hash {
			t.Fatalf("after batch %d the head is %+v", n+1, head)
		}
	}
	c.sendBatches(t, sent...)
	c.acked(t, 3)
	c.sendBatches(t, chain.Next(t, 1))
	c.acked(t, 4)
	if batches, forks := h.count(t, `SELECT count(*) FROM batch`), h.count(t, `SELECT count(*) FROM fork`); batches != 4 || forks != 0 {
		t.Errorf("%d batches are stored and %d forks, want 4 and none", batches, forks)
	}
	if n := h.count(t, `SELECT count(*) FROM batch b JOIN leaf l USING (position) WHERE l.kind = $1`, int16(evidence.LeafBatch)); n != 4 {
		t.Errorf("%d batches have leaves, want 4", n)
	}
}
