package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Lanes is the number of lanes of every pass. Cursors are per lane, so that
// changing it means rebuilding.
const Lanes = 4

// Pass reads the ledger once for all of its projections.
type Pass struct {
	Name    string
	Version int
	// New makes the projections of one lane; they are used by one goroutine.
	New func() []Projection
	// Before, if set, is called with what a step is about to write.
	Before func(ctx context.Context, d *postgres.Delta) error
}

// Config is what NewRunner needs.
type Config struct {
	Store  *postgres.Store
	Passes []Pass
	Now    func() time.Time
	Logger *slog.Logger
	// Poll is how often the ledger's size is read; 0 means 100 ms.
	Poll time.Duration
	// Hold runs the work of a task while this server has a lease of it, with a
	// context that ends when it is lost; nil: there is only this server.
	Hold func(ctx context.Context, task string, work func(ctx context.Context) error) error
	// Metrics is where the runner's metrics are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Runner keeps all lanes of all passes at the head of the ledger.
type Runner struct {
	cfg     Config
	head    head
	events  *prometheus.CounterVec
	backlog *prometheus.GaugeVec
	bad     *prometheus.CounterVec
}

// Tasks are the names of the lanes, of which one server at a time has each.
func Tasks() []string {
	tasks := make([]string, Lanes)
	for i := range tasks {
		tasks[i] = laneTask(int16(i))
	}
	return tasks
}

func laneTask(number int16) string { return fmt.Sprintf("lane-%d", number) }

// NewRunner returns a Runner that Run starts.
func NewRunner(cfg Config) *Runner {
	if cfg.Hold == nil {
		cfg.Hold = func(ctx context.Context, _ string, work func(context.Context) error) error { return work(ctx) }
	}
	if cfg.Poll == 0 {
		cfg.Poll = 100 * time.Millisecond
	}
	r := &Runner{
		cfg:     cfg,
		events:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "assay_projected_events_total", Help: "Events projected, by pass."}, []string{"pass"}),
		backlog: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "assay_projection_backlog_positions", Help: "Ledger positions not yet projected, by pass and lane."}, []string{"pass", "lane"}),
		bad:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "assay_quarantined_batches_total", Help: "Batches that could not be projected, by pass."}, []string{"pass"}),
	}
	r.head.moved = make(chan struct{})
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(r.events, r.backlog, r.bad)
	}
	return r
}

// Run projects until ctx ends. Errors of the database are retried; it returns
// only what no retry mends: a cursor of another version.
func (r *Runner) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.watch(ctx) })
	for number := range int16(Lanes) {
		group.Go(func() error {
			return r.cfg.Hold(ctx, laneTask(number), func(ctx context.Context) error {
				// Each time anew: what was in memory when the lease was lost is of
				// a cursor that others have moved since.
				l, err := newLane(r, number)
				if err != nil {
					return err
				}
				return l.run(ctx)
			})
		})
	}
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// reading is what was read of the ledger's head: its size at a time. Readings are
// numbered from 1.
type reading struct {
	size   uint64
	at     time.Time
	number uint64
}

// head is the newest reading.
type head struct {
	mu    sync.Mutex
	known reading
	moved chan struct{} // closed and replaced at each reading
}

func (h *head) set(size uint64, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known = reading{size, at, h.known.number + 1}
	close(h.moved)
	h.moved = make(chan struct{})
}

func (h *head) get() (known reading, moved <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known, h.moved
}

// watch reads the ledger's size for all lanes.
func (r *Runner) watch(ctx context.Context) error {
	ticker := time.NewTicker(r.cfg.Poll)
	defer ticker.Stop()
	failing := false
	for {
		// The clock is read first: what was committed before `at` is below size.
		at := r.cfg.Now()
		size, err := r.cfg.Store.LedgerSize(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !failing:
			r.cfg.Logger.WarnContext(ctx, "projections wait for the database", "error", assay.Cause(err))
		case err == nil:
			r.head.set(size, at)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// CaughtUp reports whether all lanes of the passes have projected all below size.
func CaughtUp(ctx context.Context, store *postgres.Store, passes []Pass, size uint64) (bool, error) {
	for _, pass := range passes {
		low, err := store.LowestCursor(ctx, pass.Name, Lanes)
		if err != nil {
			return false, fmt.Errorf("reading cursors of %s: %w", pass.Name, err)
		}
		if low < size {
			return false, nil
		}
	}
	return true, nil
}
