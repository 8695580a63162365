package project

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// faultyPass has the next step of a pass that writes anything meet a fault.
type faultyPass struct {
	store *postgres.Store // that meets it

	mu    sync.Mutex
	fault *pgtest.Fault // nil: none; under mu
	met   *pgtest.Fault // the one that a step was written under
}

// before is a Pass.Before: what it returns ends the step as its writing would.
func (p *faultyPass) before(ctx context.Context, d *postgres.Delta) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil || len(d.Activity)+len(d.Hits)+len(d.Imports) == 0 {
		return nil
	}
	p.met, p.fault = p.fault, nil
	if err := p.store.ApplyDelta(ctx, d); err != nil {
		return err
	}
	return errors.New("the process ended") // all was done, and nobody hears of it
}

// TestDeltaFailsAtEveryStep has the writing of a step fail at each of its own steps,
// and after each was done, in each pass. The lane goes on from what is stored: each
// batch is projected once, and the rows are those of projections that met no fault.
func TestDeltaFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	hits, err := NewHits([]Selector{clearSelector})
	if err != nil {
		t.Fatal(err)
	}
	faulted := 0
	for i, pass := range Passes(hits, nil) {
		for n := 1; ; n++ {
			hit := false
			for _, after := range []bool{false, true} {
				fault := &pgtest.Fault{At: n, After: after}
				faulty := &faultyPass{fault: fault, store: postgres.New(postgres.Config{DB: pgtest.FaultyDB(l.pool, fault), Now: func() time.Time { return noon }})}
				passes := Passes(hits, nil)
				passes[i].Before = faulty.before
				// One record is new and one was there before.
				l.append(intact, cleared(uint32(l.next), "mallory"), cleared(uint32(l.next+1), "mallory"))
				l.projectBy(passes)
				if faulty.met == nil {
					t.Fatalf("%s: no step was written by it", pass.Name)
				}
				hit = hit || fault.Hit
				if rows, hits := l.count(`SELECT count(*) FROM win_log_activity_events`), l.count(`SELECT count(*) FROM hit`); rows != int(l.next)+1 || hits != rows {
					t.Fatalf("%s %s: %d rows and %d hits of %d records", pass.Name, fault, rows, hits, l.next+1)
				}
			}
			if !hit {
				break
			}
			faulted++
		}
	}
	if faulted < 8 {
		t.Errorf("%d steps are too few to show anything", faulted)
	}
	before := l.state()
	for _, pass := range Passes(hits, nil) {
		if err := l.store.ResetPass(t.Context(), pass.Name, pass.Version); err != nil {
			t.Fatal(err)
		}
	}
	l.project()
	if after := l.state(); after != before {
		t.Errorf("without faults the rows are:\n%s\nwith them they were:\n%s", after, before)
	}
}

// projectBy is project by some passes.
func (l *log) projectBy(passes []Pass) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	runner := NewRunner(Config{Store: l.store, Passes: passes, Now: func() time.Time { return noon.Add(time.Hour) },
		Logger: slog.New(slog.DiscardHandler), Poll: time.Millisecond})
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	for {
		caught, err := CaughtUp(ctx, l.store, passes, l.next)
		if err != nil {
			l.t.Fatal(err)
		}
		if caught {
			break
		}
		_, moved := runner.head.get()
		<-moved
	}
	cancel()
	if err := <-done; err != nil {
		l.t.Fatal(err)
	}
}
