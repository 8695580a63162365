package project

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/assay-audit/assay/server/internal/postgres"
)

// stepBatches is how many batches one transaction projects: some thousands of
// events, where the cost of a COPY per row has levelled out, and no more than caches
// hold.
const stepBatches = 16

// touchInterval is how often an idle lane says that it is at the head.
const touchInterval = 2 * time.Second

// errVersion marks rows of another version of the projections.
var errVersion = errors.New("projection version")

// lane reads the batches of one lane for all passes: once for those that stand at
// the same position, as all do but for one that is rebuilt or has failed. Each
// pass writes in transactions of its own. A lane belongs to its goroutine.
type lane struct {
	runner  *Runner
	number  int16
	lanes   int16
	decoder *decoder
	passes  []*passLane
	days    map[time.Time]bool
	// rooms hold what a step has decoded, and copies what further passes change of
	// it. The next step writes them over.
	rooms  [stepBatches]room
	copies [][stepBatches][]Event
}

func newLane(r *Runner, number int16) (*lane, error) {
	d, err := newDecoder()
	if err != nil {
		return nil, err
	}
	l := &lane{runner: r, number: number, lanes: Lanes, decoder: d, days: map[time.Time]bool{}}
	for _, pass := range r.cfg.Passes {
		l.passes = append(l.passes, &passLane{
			runner: r, pass: pass, number: number, projections: pass.New(), rows: postgres.NewEventRows(),
			log: r.cfg.Logger.With("pass", pass.Name, "lane", number),
		})
	}
	l.copies = make([][stepBatches][]Event, max(0, len(l.passes)-1))
	return l, nil
}

func (l *lane) run(ctx context.Context) error {
	defer l.decoder.close()
	for {
		known, moved := l.runner.head.get()
		more, err := l.round(ctx, known)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

// round lets every pass that can take a step. The one that is furthest behind
// comes first and never passes the next, so that it meets it and they go on
// together. The error is errVersion: others are seen to here.
func (l *lane) round(ctx context.Context, known reading) (more bool, err error) {
	var waiting []*passLane // have yet to take a step
	for _, p := range l.passes {
		ready, err := p.ready(ctx, known)
		if err != nil {
			return false, err
		}
		if ready {
			waiting = append(waiting, p)
		}
	}
	able := slices.Clone(waiting)
	for len(waiting) > 0 && ctx.Err() == nil {
		from := slices.MinFunc(waiting, func(a, b *passLane) int { return cmp.Compare(a.cursor.Position, b.cursor.Position) }).cursor.Position
		var group []*passLane
		until := known.size
		for _, p := range able {
			switch at := p.cursor.Position; {
			case at == from:
				group = append(group, p)
			case at > from:
				until = min(until, at)
			}
		}
		if err := l.step(ctx, group, from, until, known); err != nil {
			return false, err
		}
		waiting = slices.DeleteFunc(waiting, func(p *passLane) bool { return slices.Contains(group, p) })
		// Who failed has nothing in memory, and waits or begins anew.
		able = slices.DeleteFunc(able, func(p *passLane) bool { return p.memory == nil })
		waiting = slices.DeleteFunc(waiting, func(p *passLane) bool { return p.memory == nil })
	}
	for _, p := range l.passes {
		more = more || p.again(known)
	}
	return more, nil
}

// step reads the batches in [from, until), a limited number of them, and has all
// of the group, which stand at from, project them.
func (l *lane) step(ctx context.Context, group []*passLane, from, until uint64, known reading) error {
	group, until, err := l.prepare(ctx, group, until, known)
	if err != nil || len(group) == 0 {
		return err
	}
	if from >= until {
		for _, p := range group {
			if err := p.settle(ctx, p.touch(ctx, known.at), known); err != nil {
				return err
			}
		}
		return nil
	}
	limit := stepBatches
	if slices.ContainsFunc(group, func(p *passLane) bool { return p.suspicious }) {
		limit = 1
	}
	read, err := l.read(ctx, from, until, limit, known)
	if err != nil {
		for _, p := range group {
			if err := p.settle(ctx, err, known); err != nil {
				return err
			}
		}
		return nil
	}
	// All copies are made before the first pass changes what they are made of.
	portions, results := make([]portion, len(group)), make([]error, len(group))
	for i := range group {
		if portions[i] = read; i > 0 {
			portions[i] = read.clone(&l.copies[i-1])
		}
	}
	var wait sync.WaitGroup
	for i, p := range group {
		wait.Go(func() { results[i] = p.project(ctx, portions[i]) })
	}
	wait.Wait()
	for i, p := range group {
		if err := p.settle(ctx, results[i], known); err != nil {
			return err
		}
	}
	return nil
}

// prepare asks the passes of a step how far it may reach, and leaves out those
// that cannot take it now.
func (l *lane) prepare(ctx context.Context, group []*passLane, until uint64, known reading) ([]*passLane, uint64, error) {
	var able []*passLane
	for _, p := range group {
		limit, err := p.prepare(ctx, until)
		if err != nil {
			if err := p.settle(ctx, err, known); err != nil {
				return nil, 0, err
			}
			continue
		}
		able, until = append(able, p), limit
	}
	return able, until, nil
}

// portion is what a lane has read for one step.
type portion struct {
	stored    []postgres.StoredBatch
	batches   []*Batch
	bad       []postgres.Quarantined
	events    int
	to        uint64
	watermark time.Time
}

// clone copies what a pass changes: which events it takes, and their times.
func (r portion) clone(into *[stepBatches][]Event) portion {
	batches := make([]*Batch, len(r.batches))
	for i, b := range r.batches {
		mine := *b
		mine.Events = append(into[i][:0], b.Events...)
		if len(b.Events) <= keptRoom {
			into[i] = mine.Events
		}
		batches[i] = &mine
	}
	r.batches = batches
	return r
}

// read reads, decodes what can be and notes what cannot for quarantine. Where
// there is more than the limit, the portion ends with the last batch read.
func (l *lane) read(ctx context.Context, from, until uint64, limit int, known reading) (portion, error) {
	stored, err := l.runner.cfg.Store.LaneBatches(ctx, l.number, l.lanes, from, until, limit)
	if err != nil {
		return portion{}, err
	}
	r := portion{stored: stored, to: until}
	switch n := len(stored); {
	case n == limit:
		r.to, r.watermark = stored[n-1].Position+1, stored[n-1].ReceivedAt
	case until == known.size:
		r.watermark = known.at
	case n > 0:
		r.watermark = stored[n-1].ReceivedAt
	}
	for i, s := range stored {
		if s.Absence == postgres.Erased || s.Absence == postgres.Deleted {
			continue // a leaf says so; there is nothing left to project
		}
		b, err := l.decoder.decodeInto(Stored(s), &l.rooms[i])
		if err != nil {
			r.bad = append(r.bad, postgres.Quarantined{Position: s.Position, Reason: clean(err.Error())})
			continue
		}
		r.batches = append(r.batches, b)
		r.events += len(b.Events)
		if err := l.ensureDay(ctx, b.ReceivedAt); err != nil {
			return portion{}, err
		}
	}
	return r, nil
}

// ensureDay makes the partitions that rows received at t go to, and those of the
// next day before it comes, so that nobody waits for them at midnight.
func (l *lane) ensureDay(ctx context.Context, t time.Time) error {
	day := t.UTC().Truncate(24 * time.Hour)
	if l.days[day] {
		return nil
	}
	ahead := []time.Time{day}
	if !day.Before(l.runner.cfg.Now().UTC().Truncate(24 * time.Hour)) {
		ahead = append(ahead, day.AddDate(0, 0, 1))
	}
	for _, day := range ahead {
		if err := l.runner.cfg.Store.EnsureEventDay(ctx, day); err != nil {
			return err
		}
	}
	l.days[day] = true
	return nil
}
