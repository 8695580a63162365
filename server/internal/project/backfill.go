package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// backfillLease is how long a server may be silent before another takes its
// backfill over.
const backfillLease = time.Minute

// Deliverer takes detections that were found; it must take those that it knows
// already, too.
type Deliverer interface {
	Deliver(ctx context.Context, detections []assay.Detection) error
}

// BackfillConfig is what NewBackfill needs.
type BackfillConfig struct {
	Store *postgres.Store
	// Server names this server among others.
	Server string
	// Alerts gets what is found before the step that found it is recorded.
	Alerts Deliverer
	Now    func() time.Time
	Logger *slog.Logger
	// Poll is how often it looks for work; 0 means two seconds.
	Poll time.Duration
	// Pause is called after each step with the time that it took; nil: it rests
	// for as long, so that a backfill takes half a processor at most.
	Pause func(ctx context.Context, took time.Duration)
}

// Backfill runs rules over what was received before they were on: one backfill
// at a time, in ledger order, as a pass of its own that goes on where it stood.
type Backfill struct{ cfg BackfillConfig }

// NewBackfill returns a Backfill that Run starts.
func NewBackfill(cfg BackfillConfig) *Backfill {
	if cfg.Poll == 0 {
		cfg.Poll = 2 * time.Second
	}
	if cfg.Pause == nil {
		cfg.Pause = rest
	}
	return &Backfill{cfg: cfg}
}

func rest(ctx context.Context, took time.Duration) {
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Run works until ctx ends. Errors are logged and tried again.
func (b *Backfill) Run(ctx context.Context) error {
	ticker := time.NewTicker(b.cfg.Poll)
	defer ticker.Stop()
	for {
		more, err := b.Once(ctx)
		if err != nil && ctx.Err() == nil {
			b.cfg.Logger.ErrorContext(ctx, "backfill failed, will retry", "error", assay.Cause(err))
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Once runs the next backfill to its end, if there is one.
func (b *Backfill) Once(ctx context.Context) (ran bool, err error) {
	job, ok, err := b.cfg.Store.ClaimBackfill(ctx, b.cfg.Server, backfillLease, RulesVersion)
	if err != nil || !ok {
		return false, err
	}
	texts, err := b.cfg.Store.RulesOf(ctx, job.Pack, job.Version, job.Rules)
	if err != nil {
		return false, err
	}
	packs, problems := compilePacks(texts)
	if len(problems) > 0 {
		reason := fmt.Sprintf("rule %s cannot be compiled: %s", problems[0].RuleID, problems[0].Reason)
		return true, b.cfg.Store.EndBackfill(ctx, job.ID, "failed", reason)
	}
	set := &ruleSet{position: job.To, packs: packs}
	err = b.run(ctx, &job, set, stepBatches)
	if errors.Is(err, postgres.ErrCursorMoved) {
		// It was cancelled, begun anew by a rebuild, or is another server's now.
		b.cfg.Logger.InfoContext(ctx, "backfill was taken from this server", "backfill", job.ID.String())
		return true, nil
	}
	return true, err
}

// run takes steps of at most limit batches until the end. Whoever finds that the
// backfill was cancelled or is another server's stops. It begins anew, from what
// is stored, where a step failed on its data or sent a batch to quarantine.
func (b *Backfill) run(ctx context.Context, job *assay.RuleBackfill, set *ruleSet, limit int) error {
	p, l, err := b.open(ctx, job, set)
	if err != nil {
		return err
	}
	defer l.decoder.close()
	known := reading{size: job.To, at: b.cfg.Now()}
	for p.cursor.Position < job.To {
		started := b.cfg.Now()
		read, err := l.read(ctx, p.cursor.Position, job.To, limit, known)
		if err != nil {
			return err
		}
		switch err := p.project(ctx, read); {
		case err != nil && p.suspicious && limit > 1:
			return b.run(ctx, job, set, 1)
		case err != nil:
			return err
		case p.memory == nil:
			return b.run(ctx, job, set, limit)
		}
		b.cfg.Pause(ctx, b.cfg.Now().Sub(started))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return b.cfg.Store.EndBackfill(ctx, job.ID, "done", "")
}

// open makes the pass of a backfill, where it stood.
func (b *Backfill) open(ctx context.Context, job *assay.RuleBackfill, set *ruleSet) (*passLane, *lane, error) {
	name := postgres.BackfillPass(job.ID)
	windows, err := b.cfg.Store.CorrelationWindows(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	projection := &laneBackfill{laneRules: laneRules{rules: NewRules(RulesConfig{Store: b.cfg.Store, Logger: b.cfg.Logger})}, counter: newCounter(name, windows)}
	projection.use(set)
	if err := projection.counter.use(set); err != nil {
		return nil, nil, err
	}
	before := func(ctx context.Context, d *postgres.Delta) error {
		d.Correlated = projection.counter.take()
		all := slices.Concat(d.Detections, d.Correlated.Detections)
		d.Backfill = &postgres.BackfillStep{ID: job.ID, Server: b.cfg.Server, Lease: backfillLease, Found: len(all)}
		if len(all) == 0 {
			return nil
		}
		// A step that is taken twice delivers twice, and that changes nothing.
		return b.cfg.Alerts.Deliver(ctx, all)
	}
	pass := Pass{Name: name, Version: RulesVersion, Before: before, New: func() []Projection { return []Projection{projection} }}
	runner := NewRunner(Config{Store: b.cfg.Store, Passes: []Pass{pass}, Now: b.cfg.Now, Logger: b.cfg.Logger})
	l, err := newLane(runner, 0)
	if err != nil {
		return nil, nil, err
	}
	l.lanes = 1
	p := l.passes[0]
	if err := p.load(ctx); err != nil {
		l.decoder.close()
		return nil, nil, err
	}
	return p, l, nil
}

// laneBackfill matches the events of all lanes, and counts correlations itself.
type laneBackfill struct {
	laneRules
	counter *counter
}

// Prepare implements Preparer: there is one set for all.
func (*laneBackfill) Prepare(_ context.Context, _, until uint64) (uint64, error) { return until, nil }

// Project implements Projection.
func (l *laneBackfill) Project(b *Batch, step *Step) {
	l.laneRules.Project(b, step)
	for i := range step.delta.Inputs {
		l.counter.count(&step.delta.Inputs[i])
	}
	step.delta.Inputs = nil
}
