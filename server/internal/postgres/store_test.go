package postgres_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Servers that start together on an empty database: each finds it migrated.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Empty(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			pool, err := pgxpool.New(t.Context(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer pool.Close()
			if err := postgres.Migrate(t.Context(), pool); err != nil {
				t.Error(err)
				return
			}
			var partitions int
			err = pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_inherits WHERE inhparent IN ('batch'::regclass, 'leaf'::regclass)`).Scan(&partitions)
			if err != nil || partitions != 6 {
				t.Errorf("%d partitions, %v", partitions, err)
			}
		})
	}
	wg.Wait()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for setting, ok := range map[string]bool{"on": true, "off": false, "local": false, "remote_write": false, "remote_apply": true} {
		cfg := b.pool.Config().Copy()
		cfg.ConnConfig.RuntimeParams["synchronous_commit"] = setting
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		store := postgres.New(postgres.Config{DB: pool, Now: time.Now})
		if _, err := store.Check(t.Context()); (err == nil) != ok {
			t.Errorf("synchronous_commit %s: %v", setting, err)
		}
		pool.Close()
	}
	if standby, err := b.store.HasSynchronousStandby(t.Context()); err != nil || standby {
		t.Errorf("standby %v, %v", standby, err)
	}
}

// What the database says becomes one of our kinds, and its text stays inside.
func TestErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	_, notFound := b.store.Agent(t.Context(), assay.AgentID{1})
	token := assay.Token{ID: agent.TokenID, Name: "again", Rights: []assay.Right{assay.RightEnrol}, UsesLeft: 1, CreatedAt: b.now, ExpiresAt: b.now.Add(time.Hour)}
	conflict := b.store.CreateToken(t.Context(), token)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, cancelled := b.store.Agent(ended, agent.ID)
	closed := pgtest.Pool(t)
	closed.Close()
	gone := postgres.New(postgres.Config{DB: closed, Now: time.Now}).Ping(t.Context())
	for name, c := range map[string]struct {
		err  error
		want assay.Kind
	}{
		"not found": {notFound, assay.NotFound}, "conflict": {conflict, assay.Conflict},
		"cancelled": {cancelled, assay.Unavailable}, "closed": {gone, assay.Unavailable},
	} {
		if got := assay.KindOf(c.err); got != c.want {
			t.Errorf("%s: %v is %s, want %s", name, c.err, got, c.want)
		}
		if cause := assay.Cause(c.err); cause == nil || cause.Error() == c.err.Error() || errors.Is(cause, io.EOF) {
			t.Errorf("%s: the cause %q is what is shown", name, cause)
		}
	}
}

func TestSeeAgents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	x, y := evidencetest.Enrol(t, b.store, b.authority, b.now), evidencetest.Enrol(t, b.store, b.authority, b.now)
	later := b.now.Add(time.Hour).Truncate(time.Microsecond)
	see := func(seen ...assay.Sighting) {
		t.Helper()
		if err := b.store.SeeAgents(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
	}
	see(assay.Sighting{Agent: x.ID, At: later, Address: "192.0.2.1", Version: "2"}, assay.Sighting{Agent: y.ID, At: later, Address: "::1", Version: "3"})
	see(assay.Sighting{Agent: x.ID, At: b.now, Address: "192.0.2.9", Version: "1"}) // came late
	agent, err := b.store.Agent(t.Context(), x.ID)
	if err != nil || !agent.LastSeenAt.Equal(later) || agent.LastAddress != "192.0.2.1" || agent.Version != "2" {
		t.Errorf("%+v, %v", agent, err)
	}
	see()
}

func TestOpenEpoch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	reasons := func() (list []string) {
		rows, err := b.pool.Query(t.Context(), `SELECT opening FROM epoch ORDER BY position`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var raw []byte
			if err := rows.Scan(&raw); err != nil {
				t.Fatal(err)
			}
			opening, err := evidence.ParseOpening(raw)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, opening.Reason)
		}
		return list
	}
	// The server knows better which is the first.
	evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonSpoolLost)
	evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonSpoolLost)
	if got := reasons(); len(got) != 3 || got[0] != assay.ReasonFirst || got[1] != assay.ReasonReinstall || got[2] != assay.ReasonSpoolLost {
		t.Errorf("reasons %v", got)
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			_, _, err := b.store.OpenEpoch(t.Context(), assay.EpochRequest{Agent: agent.ID, Kind: evidence.Control, Reason: assay.ReasonFirst})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.count(t, `SELECT count(*) FROM epoch e JOIN stream s ON s.id = e.stream_id WHERE s.kind = 1 AND e.epoch BETWEEN 1 AND 6`); n != 6 {
		t.Errorf("%d epochs of six who opened at once", n)
	}
	if _, _, err := b.store.OpenEpoch(t.Context(), assay.EpochRequest{Agent: agent.ID, Kind: evidence.Import, Reason: assay.ReasonFirst}); assay.KindOf(err) != assay.Denied {
		t.Errorf("import without the right: %v", err)
	}
}

// BenchmarkAppendBatches is the cost of the writer's transaction: 32 batches of
// 8 streams, payloads of 20 KiB that stand for 500 events each.
func BenchmarkAppendBatches(b *testing.B) {
	pool := pgtest.Pool(b)
	store := postgres.New(postgres.Config{DB: pool, Now: time.Now})
	authority := evidencetest.Authority(b, time.Now)
	var chains []*evidencetest.Chain
	for range 8 {
		chains = append(chains, evidencetest.Open(b, store, evidencetest.Enrol(b, store, authority, time.Now()), evidence.Bulk, assay.ReasonFirst))
	}
	payload := make([]byte, 20<<10)
	var made int
	for b.Loop() {
		var batches []*assay.Batch
		for i := range 32 {
			chain := chains[i%len(chains)]
			header := evidence.Header{Kind: chain.Head.Kind, Stream: evidence.StreamID(chain.Head.Stream), Epoch: chain.Head.Epoch, Number: chain.Head.Number + 1,
				FirstSequence: chain.Head.NextSequence, EventCount: 500, Previous: chain.Head.Hash, PayloadSize: uint32(len(payload))}
			batch := chain.Seal(header, payload)
			chain.Head = chain.Head.After(&header, batch.Hash)
			batches = append(batches, batch)
		}
		evidencetest.Append(b, store, assay.Committed, batches...)
		made += len(batches)
	}
	b.ReportMetric(float64(made*500)/b.Elapsed().Seconds(), "events/s")
}
