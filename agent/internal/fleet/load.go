package fleet

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

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
		pool := recordPool(seed, host, min(n, poolSize))
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

// LoadResult is what a load run did.
type LoadResult struct {
	Hosts int `json:"hosts"`
	// Events is how many were committed by this run.
	Events int `json:"events"`
	// Seconds is the time from when all hosts were ready until the last event was
	// committed.
	Seconds float64 `json:"seconds"`
}

// loadKey names a load in the spools' progress.
const loadKey = "load"

// Load sends a number of generated events from each host, as fast as server and
// disk allow, and waits until all are committed. The number is the folder's: a
// run that was killed is completed by the next one with the same number, without
// loss or repetition, and a larger number adds what is missing.
func Load(ctx context.Context, cfg Config, events int) (LoadResult, error) {
	f, release, err := prepare(ctx, cfg)
	if err != nil {
		return LoadResult{}, err
	}
	defer release()
	// A full spool would wait for what is safe to delete, which takes a day.
	f.limit += int64(events) << 10
	agents, err := f.openAll(ctx)
	defer func() {
		for _, a := range agents {
			_ = a.close()
		}
	}()
	if err != nil {
		return LoadResult{}, err
	}
	result := LoadResult{Hosts: cfg.Hosts}
	counts := make([]int, len(agents))
	began := cfg.Now()
	g, gctx := errgroup.WithContext(ctx)
	for i, a := range agents {
		a.connect(ctx)
		g.Go(func() error {
			n, err := a.load(gctx, events)
			counts[i] = n
			if err != nil {
				return fmt.Errorf("loading from host %s: %w", a.host.Name, err)
			}
			return nil
		})
	}
	err = g.Wait()
	for _, n := range counts {
		result.Events += n
	}
	result.Seconds = cfg.Now().Sub(began).Seconds()
	return result, err
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

// load emits what is missing of n events and waits until all are committed. It
// returns how many were missing.
func (a *agent) load(ctx context.Context, n int) (int, error) {
	done := uint64(0)
	if least := a.pipe.Position(loadKey); len(least) == 8 {
		done = binary.BigEndian.Uint64(least)
	}
	normaliser, number, stored := winevent.Normaliser{}, uint64(0), a.stored()
	// The record ids go on where a run before ended; the times are of this one.
	from := a.fleet.cfg.Now().Add(-time.Duration(n) * 100 * time.Microsecond)
	for r := range Records(a.fleet.timeline.Seed, a.host.Number, from, n) {
		if number++; number <= done {
			continue
		}
		item := pipeline.Item{
			Event: normaliser.Normalise(r), Key: loadKey, Position: binary.BigEndian.AppendUint64(nil, number),
		}
		if err := a.pipe.Emit(ctx, item); err != nil {
			return 0, err
		}
	}
	if err := a.pipe.Flush(ctx); err != nil {
		return 0, err
	}
	// What the pipeline knew already is not counted again.
	return int(a.stored() - stored), a.committed(ctx)
}

// stored is how many events the spools' chains have held so far.
func (a *agent) stored() uint64 {
	var n uint64
	for _, s := range a.spools {
		n += s.Head().NextSequence
	}
	return n
}
