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
}

// Config is what NewRunner needs.
type Config struct {
	Store  *postgres.Store
	Passes []Pass
	Now    func() time.Time
	Logger *slog.Logger
	// Poll is how often the ledger's size is read; 0 means 100 ms.
	Poll time.Duration
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

// NewRunner returns a Runner that Run starts.
func NewRunner(cfg Config) *Runner {
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
	for _, pass := range r.cfg.Passes {
		for lane := range int16(Lanes) {
			l, err := newLane(r, pass, lane)
			if err != nil {
				return err
			}
			group.Go(func() error { return l.run(ctx) })
		}
	}
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// head is the newest known size of the ledger and when it was read.
type head struct {
	mu    sync.Mutex
	size  uint64
	at    time.Time
	moved chan struct{} // closed and replaced at each reading
}

func (h *head) set(size uint64, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.size, h.at = size, at
	close(h.moved)
	h.moved = make(chan struct{})
}

func (h *head) get() (size uint64, at time.Time, moved <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.size, h.at, h.moved
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
			r.cfg.Logger.WarnContext(ctx, "projections wait for the database", "error", err)
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

// retryDelay is how long a lane waits after an error.
const retryDelay = time.Second

// lane is one lane of one pass; it belongs to its goroutine.
type lane struct {
	runner      *Runner
	pass        Pass
	number      int16
	projections []Projection
	decoder     *decoder
	cursor      postgres.Cursor
	memory      *Memory // nil: load the cursor again
	touched     time.Time
	suspicious  bool // the last step failed on its data: read one batch at a time
	days        map[time.Time]bool
	rows        *postgres.EventRows // of the step under way
}

func newLane(r *Runner, pass Pass, number int16) (*lane, error) {
	d, err := newDecoder()
	if err != nil {
		return nil, err
	}
	return &lane{runner: r, pass: pass, number: number, projections: pass.New(), decoder: d, days: map[time.Time]bool{}, rows: postgres.NewEventRows()}, nil
}

func (l *lane) run(ctx context.Context) error {
	defer l.decoder.close()
	log := l.runner.cfg.Logger.With("pass", l.pass.Name, "lane", l.number)
	for {
		_, _, moved := l.runner.head.get()
		more, err := l.step(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errVersion):
			return err
		case errors.Is(err, postgres.ErrCursorMoved):
			log.InfoContext(ctx, "lane was moved by another projector")
			l.memory = nil
		case err != nil:
			log.ErrorContext(ctx, "projection step failed, will retry", "error", err)
			l.memory = nil
			if err := wait(ctx, retryDelay); err != nil {
				return err
			}
		}
		if more || err != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
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
