package agentapi_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// crowd is a database that counts how many ask it at a time.
type crowd struct {
	postgres.DB

	mu           sync.Mutex
	inside, most int
	asked        int
}

func (c *crowd) enter() (leave func()) {
	c.mu.Lock()
	c.inside++
	c.asked++
	c.most = max(c.most, c.inside)
	c.mu.Unlock()
	for range 1000 {
		runtime.Gosched() // time for others to come in, if they may
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inside--
	}
}

func (c *crowd) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	defer c.enter()()
	return c.DB.Query(ctx, sql, args...)
}

func (c *crowd) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	defer c.enter()()
	return c.DB.QueryRow(ctx, sql, args...)
}

// TestArrivalsAreBounded has a fleet come at once: all are served, and the database
// never meets more of them at a time than are let in.
func TestArrivalsAreBounded(t *testing.T) {
	t.Parallel()
	h := start(t)
	agents := make([]*evidencetest.Agent, 24)
	for i := range agents {
		agents[i] = h.enrol(t)
	}
	h.stopServer(t)
	db := &crowd{DB: h.pool}
	h.store = postgres.New(postgres.Config{DB: db, Now: h.clock.now})
	const let = 3
	h.serve(t, func(c *agentapi.Config) { c.Arrivals, c.RevocationPoll = let, 1<<62 })
	var wait sync.WaitGroup
	for _, agent := range agents {
		wait.Go(func() {
			if _, err := h.tryConnect(t, agent); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.asked < 2*len(agents) || db.most > let {
		t.Errorf("%d questions, %d at a time; want at least %d, at most %d at a time", db.asked, db.most, 2*len(agents), let)
	}
}
