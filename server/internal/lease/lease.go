package lease

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Store keeps leases. All times are its own clock's.
type Store interface {
	SeeLeases(ctx context.Context, server assay.Server, tasks []string, ttl time.Duration) (servers int, leases []assay.Lease, err error)
	TakeLeases(ctx context.Context, server assay.ServerID, want []string, ttl time.Duration) ([]string, error)
	LeaveLeases(ctx context.Context, server assay.ServerID) error
}

// Config is what New needs.
type Config struct {
	Store  Store
	Server assay.Server
	// Tasks are all that there are, the same on every server.
	Tasks []string
	// TTL is how long a lease holds without being renewed; 0: 6 seconds. With a
	// renewal every third of it, what a server held when it died is taken over
	// after at most four thirds of TTL.
	TTL     time.Duration
	Now     func() time.Time // must not jump: a time with its monotonic part
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// Leases are the leases of one server.
type Leases struct {
	cfg  Config
	held *prometheus.GaugeVec

	mu sync.Mutex
	// lost has a channel for each task that is held; closing it ends the work.
	lost map[string]chan struct{}
	// until is when all that is held runs out, unless it is renewed.
	until time.Time
	// changed is closed and made anew when a task is taken.
	changed chan struct{}
}

// New returns leases that Run renews.
func New(cfg Config) *Leases {
	if cfg.TTL == 0 {
		cfg.TTL = 6 * time.Second
	}
	l := &Leases{
		cfg: cfg, lost: map[string]chan struct{}{}, changed: make(chan struct{}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "assay_lease_held", Help: "1 for each task that this server has a lease of."}, []string{"task"}),
	}
	for _, task := range cfg.Tasks {
		l.held.WithLabelValues(task).Set(0)
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(l.held)
	}
	return l
}

// leaveWithin bounds giving everything back at the end.
const leaveWithin = 2 * time.Second

// Run renews until ctx ends, then gives everything back.
func (l *Leases) Run(ctx context.Context) error {
	every := l.cfg.TTL / 3
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failing := false
	for {
		err := l.renew(ctx, every)
		if ctx.Err() != nil {
			break
		}
		if err != nil && !failing {
			l.cfg.Log.WarnContext(ctx, "renewing leases failed", "error", assay.Cause(err).Error())
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-ticker.C:
			continue
		}
		break
	}
	l.set(nil, time.Time{})
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	if err := l.cfg.Store.LeaveLeases(patience, l.cfg.Server.ID); err != nil {
		// They run out by themselves.
		l.cfg.Log.WarnContext(patience, "giving leases back failed", "error", assay.Cause(err).Error())
	}
	return nil
}

// renew looks at all leases and takes this server's share. Whatever it cannot
// renew in time is given up here before it runs out, whether the store can be
// reached or not.
func (l *Leases) renew(ctx context.Context, within time.Duration) error {
	// A lease counts from before the store is asked, so that it ends here before
	// it ends there.
	began := l.cfg.Now()
	until, holding := l.holding()
	patience := within
	if holding {
		patience = min(within, until.Sub(began))
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	held, err := l.take(asking)
	if err == nil {
		l.set(held, began.Add(l.cfg.TTL))
		return nil
	}
	// Whether they were renewed is not known. The next try begins within one
	// interval, and is cut short where they run out during it.
	if holding && !l.cfg.Now().Add(within).Before(until.Add(l.cfg.TTL/100)) {
		l.set(nil, time.Time{})
	}
	return err
}

func (l *Leases) holding() (until time.Time, holding bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until, len(l.lost) > 0
}

func (l *Leases) take(ctx context.Context) ([]string, error) {
	servers, leases, err := l.cfg.Store.SeeLeases(ctx, l.cfg.Server, l.cfg.Tasks, l.cfg.TTL)
	if err != nil {
		return nil, err
	}
	return l.cfg.Store.TakeLeases(ctx, l.cfg.Server.ID, choose(leases, servers, l.cfg.Server.ID, l.cfg.TTL), l.cfg.TTL)
}

// set makes held all that is held.
func (l *Leases) set(held []string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
	keep := make(map[string]bool, len(held))
	for _, task := range held {
		keep[task] = true
		if l.lost[task] == nil {
			l.lost[task] = make(chan struct{})
			l.held.WithLabelValues(task).Set(1)
			l.cfg.Log.Info("lease taken", "task", task)
		}
	}
	for task, lost := range l.lost {
		if !keep[task] {
			close(lost)
			delete(l.lost, task)
			l.held.WithLabelValues(task).Set(0)
			l.cfg.Log.Info("lease given up", "task", task)
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// Hold runs work whenever this server has the lease of the task, with a context
// that ends when it is lost. It returns nil once ctx ends, and otherwise what
// work returns while the lease is held.
func (l *Leases) Hold(ctx context.Context, task string, work func(ctx context.Context) error) error {
	for {
		lost := l.await(ctx, task)
		if lost == nil {
			return nil
		}
		working, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			select {
			case <-lost:
				cancel()
			case <-working.Done():
			}
		}()
		err := work(working)
		ended := working.Err() != nil
		cancel()
		<-done
		if !ended {
			return err
		}
	}
}

// await returns when the task is held; the channel closes when it no longer is.
// It is nil once ctx has ended.
func (l *Leases) await(ctx context.Context, task string) (lost <-chan struct{}) {
	for {
		l.mu.Lock()
		lost, changed := l.lost[task], l.changed
		l.mu.Unlock()
		if lost != nil {
			return lost
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
