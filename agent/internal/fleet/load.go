package fleet

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/winevent"
)

// poolSize is how many different records a generator makes before it repeats
// them under new ids and times: more than a compressor's window holds.
const poolSize = 2048

// Records yields n records of a busy host, in order, with contiguous record ids
// from 1 in each channel and times that grow from a time by 100 µs. They are cheap: their
// fields repeat after a while. The same arguments give the same records.
func Records(seed uint64, host int, from time.Time, n int) iter.Seq[*winevent.Record] {
	return func(yield func(*winevent.Record) bool) {
		repeated(recordPool(seed, host, min(n, poolSize)), from, n)(yield)
	}
}

// repeated yields n records of a pool under new ids and times.
func repeated(pool []pooled, from time.Time, n int) iter.Seq[*winevent.Record] {
	return func(yield func(*winevent.Record) bool) {
		var ids [channelCount]uint64
		for i := range n {
			p := pool[i%len(pool)]
			ids[p.channel]++
			r := *p.record
			r.RecordID, r.Time = ids[p.channel], from.UTC().Add(time.Duration(i)*100*time.Microsecond).Truncate(100*time.Nanosecond)
			if !yield(&r) {
				return
			}
		}
	}
}

type pooled struct {
	record  *winevent.Record
	channel channel
}

// recordPool makes at least one record and at least n.
func recordPool(seed uint64, host, n int) []pooled {
	t := &timeline{Seed: seed, Start: time.Unix(1<<30, 0).UTC().Truncate(time.Minute), Rate: 40}
	m := newMachine(Hosts(seed, host+1)[host], t)
	m.steps = nil
	var pool []pooled
	for len(pool) < max(n, 1) {
		b := &builder{machine: m, start: time.Unix(m.state.Minute*60, 0).UTC(), rand: m.host.rng(purposeMinute, uint64(m.state.Minute))}
		b.ordinary()
		m.state.Minute++
		for i := range b.items {
			pool = append(pool, pooled{b.items[i].record, b.channels[b.items[i].record]})
		}
	}
	return pool[:max(n, 1)]
}

// Loading says what a load run sends, and when.
type Loading struct {
	// Events is how many each host sends.
	Events int
	// Prepare writes them to the spools and sends nothing: the next run without it
	// begins to send at once.
	Prepare bool
	// Start is called once all hosts are connected, and may wait; nothing is sent
	// before it returns. nil: begin.
	Start func(ctx context.Context) error
	// Committed is called once all is committed, or written where it is prepared, and
	// before the hosts shut down; nil: nobody.
	Committed func(LoadResult) error
	// PerSecond is how many events all hosts together send in a second; 0: as many as
	// they can.
	PerSecond int
}

// pace lets hosts send once the run has started, and no faster than asked for, and
// keeps what becomes of it.
type pace struct {
	started chan struct{}
	ended   <-chan struct{} // of the run
	limit   *rate.Limiter   // nil: none

	mu     sync.Mutex
	bytes  int64
	events uint64
	took   []time.Duration
	began  time.Time // zero until something is sent
	early  int       // how many of took, from the first on, were sent in the rush of the start
}

// rush is how long after the start of a paced run all hosts still come at once, as no
// fleet does: how long acknowledgements take then says nothing of the pace.
const rush = time.Second

// paceBurst are events that may be sent at once where there is a pace: more than any
// batch has.
const paceBurst = 1 << 16

func newPace(ctx context.Context, perSecond int) *pace {
	p := &pace{started: make(chan struct{}), ended: ctx.Done()}
	if perSecond > 0 {
		p.limit = rate.NewLimiter(rate.Limit(perSecond), paceBurst)
		p.limit.AllowN(time.Now(), paceBurst) // nothing is saved up: each waits its turn
	}
	return p
}

// permit is the uplinks' Pace: a batch may be sent after the start, in its turn.
func (p *pace) permit(events uint32, bytes int) <-chan struct{} {
	p.mu.Lock()
	p.bytes += int64(bytes)
	p.mu.Unlock()
	permit := make(chan struct{})
	grant := func() { time.AfterFunc(p.turn(events), func() { close(permit) }) }
	select {
	case <-p.started:
		if p.limit == nil {
			return nil
		}
		grant()
	default:
		go func() {
			select {
			case <-p.started:
				grant()
			case <-p.ended:
			}
		}()
	}
	return permit
}

// turn is how long events have to wait.
func (p *pace) turn(events uint32) time.Duration {
	if p.limit == nil {
		return 0
	}
	return p.limit.ReserveN(time.Now(), int(min(events, paceBurst))).Delay()
}

func (p *pace) settled(events uint32, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events += uint64(events)
	p.took = append(p.took, took)
	sent := time.Now().Add(-took)
	if p.began.IsZero() {
		p.began = sent
	}
	if p.limit != nil && sent.Sub(p.began) < rush {
		p.early = len(p.took)
	}
}

// quantile of the times from sending a batch to its acknowledgement, in ms; of a
// paced run without the rush of the start, where it went on for longer.
func (p *pace) quantile(of float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := slices.Clone(p.took[p.early:])
	if len(took) == 0 {
		took = slices.Clone(p.took)
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[int(of*float64(len(took)-1))]) / float64(time.Millisecond)
}

// LoadResult is what a load run did.
type LoadResult struct {
	Hosts int `json:"hosts"`
	// Events is how many were acknowledged in this run.
	Events int `json:"events"`
	// Seconds is the time from when all hosts were ready until the last event was
	// committed.
	Seconds float64 `json:"seconds"`
	// Batches were acknowledged in this run, after so many milliseconds each. Bytes
	// were sent, without what gRPC and TLS add.
	Batches  int     `json:"batches"`
	Bytes    int64   `json:"bytes"`
	AckP50Ms float64 `json:"ack_p50_ms"`
	AckP99Ms float64 `json:"ack_p99_ms"`
}

// loadKey names a load in the spools' progress.
const loadKey = "load"

// Load sends a number of generated events from each host, as fast as server and
// disk allow, and waits until all are committed. The number is the folder's: a
// run that was killed is completed by the next one with the same number, without
// loss or repetition, and a larger number adds what is missing.
func Load(ctx context.Context, cfg Config, l Loading) (LoadResult, error) {
	f, release, err := prepare(ctx, cfg)
	if err != nil {
		return LoadResult{}, err
	}
	defer release()
	// A full spool would wait for what is safe to delete, which takes a day.
	f.limit += int64(l.Events) << 10
	f.pace = newPace(ctx, l.PerSecond)
	agents, err := f.openAll(ctx)
	defer func() {
		for _, a := range agents {
			_ = a.close()
		}
	}()
	if err != nil {
		return LoadResult{}, err
	}
	if l.Prepare {
		return f.prepareLoad(ctx, agents, l)
	}
	return f.load(ctx, agents, l)
}

// load connects all agents, waits for the start, and sends.
func (f *fleet) load(ctx context.Context, agents []*agent, l Loading) (LoadResult, error) {
	result := LoadResult{Hosts: len(agents)}
	// Records are made before the start, which is not to pay for them.
	err := f.each(ctx, agents, func(ctx context.Context, a *agent) error {
		if err := f.slots.Acquire(ctx, 1); err != nil {
			return err
		}
		defer f.slots.Release(1)
		if a.written() < uint64(l.Events) {
			a.pool = recordPool(f.timeline.Seed, a.host.Number, min(l.Events, poolSize))
		}
		return nil
	})
	if err != nil {
		return result, err
	}
	for _, a := range agents {
		a.connect(ctx)
	}
	if l.Start != nil {
		if err := f.allConnected(ctx, agents); err != nil {
			return result, err
		}
		if err := l.Start(ctx); err != nil {
			return result, err
		}
	}
	began := f.cfg.Now()
	close(f.pace.started)
	err = f.each(ctx, agents, func(ctx context.Context, a *agent) error {
		if err := a.write(ctx, l.Events); err != nil {
			return err
		}
		return a.committed(ctx)
	})
	result.Seconds = f.cfg.Now().Sub(began).Seconds()
	result.AckP50Ms, result.AckP99Ms = f.pace.quantile(0.5), f.pace.quantile(0.99)
	result.Events, result.Batches, result.Bytes = int(f.pace.events), len(f.pace.took), f.pace.bytes
	if err == nil && l.Committed != nil {
		err = l.Committed(result)
	}
	return result, err
}

// prepareLoad writes with no connection, some hosts at a time.
func (f *fleet) prepareLoad(ctx context.Context, agents []*agent, l Loading) (LoadResult, error) {
	result := LoadResult{Hosts: len(agents)}
	err := f.each(ctx, agents, func(ctx context.Context, a *agent) error {
		if err := f.slots.Acquire(ctx, 1); err != nil {
			return err
		}
		defer f.slots.Release(1)
		return a.write(ctx, l.Events)
	})
	if err == nil && l.Committed != nil {
		err = l.Committed(result)
	}
	return result, err
}

// each runs do for every agent at once.
func (f *fleet) each(ctx context.Context, agents []*agent, do func(context.Context, *agent) error) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, a := range agents {
		g.Go(func() error {
			if err := do(gctx, a); err != nil {
				return fmt.Errorf("loading from host %s: %w", a.host.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// connectedPoll is how often it is looked whether all hosts are connected.
const connectedPoll = 10 * time.Millisecond

func (f *fleet) allConnected(ctx context.Context, agents []*agent) error {
	for i := 0; i < len(agents); {
		select {
		case err := <-agents[i].broken:
			return fmt.Errorf("connecting host %s: %w", agents[i].host.Name, err)
		default:
		}
		if agents[i].link.Status().Connected {
			i++
		} else if !sleep(ctx, connectedPoll) {
			return ctx.Err()
		}
	}
	return nil
}

// openAll enrols and opens all hosts, some at a time.
func (f *fleet) openAll(ctx context.Context) ([]*agent, error) {
	hosts := Hosts(f.timeline.Seed, f.cfg.Hosts)
	opened := make([]*agent, len(hosts))
	g, gctx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		g.Go(func() error {
			if err := f.slots.Acquire(gctx, 1); err != nil {
				return err
			}
			defer f.slots.Release(1)
			a, err := f.open(gctx, h)
			if err != nil {
				return fmt.Errorf("opening host %s: %w", h.Name, err)
			}
			opened[i] = a
			return nil
		})
	}
	err := g.Wait()
	var agents []*agent
	for _, a := range opened {
		if a != nil {
			agents = append(agents, a)
		}
	}
	return agents, err
}

// written is how many of the load's events the spools hold, or have held.
func (a *agent) written() uint64 {
	if least := a.pipe.Position(loadKey); len(least) == 8 {
		return binary.BigEndian.Uint64(least)
	}
	return 0
}

// write makes what is missing of n events durable in the spools.
func (a *agent) write(ctx context.Context, n int) error {
	done := a.written()
	if done >= uint64(n) {
		return nil
	}
	if a.pool == nil {
		a.pool = recordPool(a.fleet.timeline.Seed, a.host.Number, min(n, poolSize))
	}
	defer func() { a.pool = nil }()
	normaliser, number := winevent.Normaliser{}, uint64(0)
	// The record ids go on where a run before ended; the times are of this one.
	from := a.fleet.cfg.Now().Add(-time.Duration(n) * 100 * time.Microsecond)
	for r := range repeated(a.pool, from, n) {
		if number++; number <= done {
			continue
		}
		item := pipeline.Item{
			Event: normaliser.Normalise(r), Key: loadKey, Position: binary.BigEndian.AppendUint64(nil, number),
		}
		if err := a.pipe.Emit(ctx, item); err != nil {
			return err
		}
	}
	return a.pipe.Flush(ctx)
}
