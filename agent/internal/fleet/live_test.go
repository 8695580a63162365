package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/service"
	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// offline makes the agent of a host without identity and server: what it emits
// stays in its spools, which lie in dir.
func offline(t *testing.T, f *fleet, h *Host, dir string) *agent {
	t.Helper()
	a := &agent{
		fleet: f, host: h, dir: dir, log: f.cfg.Log, spools: map[evidence.StreamKind]*spool.Spool{},
		acked: make(chan struct{}, 1), broken: make(chan error, 1),
		disconnect: func() error { return nil }, // as if it were connected
	}
	stores := map[evidence.StreamKind]pipeline.Store{}
	for _, kind := range streams {
		if err := os.MkdirAll(service.SpoolDir(dir, kind), 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := spool.Open(spool.Config{
			Dir: service.SpoolDir(dir, kind), Kind: kind, Limit: spoolLimit, Log: f.cfg.Log,
			Sign: func(evidence.Hash) ([]byte, error) { return []byte("signature"), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		a.spools[kind], stores[kind] = s, s
	}
	var err error
	a.pipe, err = pipeline.New(pipeline.Config{Stores: stores, Log: f.cfg.Log, Now: f.cfg.Now, QuietLinger: quietLinger})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// In real time every event is emitted when it happens, and only then.
func TestLiveKeepsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{cfg: Config{Hosts: 1, Live: true, Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
		f.timeline = timeline{Seed: 7, Start: time.Now().UTC().Truncate(time.Minute), Backfill: time.Hour, Rate: 1}
		a := offline(t, f, Hosts(7, 1)[0], t.TempDir())
		p, err := newPlayer(a)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := p.catchUp(ctx); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- p.live(ctx) }()
		const lived = 3 * time.Hour
		time.Sleep(lived)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := a.pipe.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		statements, live := 0, 0
		for _, ev := range spooled(t, a) {
			at := evidence.Time(ev.GetObservedAt())
			if at.After(began.Add(lived)) {
				t.Errorf("an event of %v before its time", at)
			}
			if (ev.GetMode() == telemetryv1.Mode_MODE_LIVE) == at.Before(began) {
				t.Errorf("an event of %v is %v", at, ev.GetMode())
			}
			if at.Before(began) {
				continue
			}
			live++
			if ev.GetSourceHealth() != nil {
				statements++
			}
		}
		if statements < 179 || statements > 180 || live < 2*statements {
			t.Errorf("%d live events, %d of them health", live, statements)
		}
		for _, s := range a.spools {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// spooled decodes what an agent's spools hold.
func spooled(t *testing.T, a *agent) []*telemetryv1.Event {
	t.Helper()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var events []*telemetryv1.Event
	for _, s := range a.spools {
		cursor, err := s.Cursor(0)
		if err != nil {
			t.Fatal(err)
		}
		for {
			batch, err := cursor.Next()
			if errors.Is(err, spool.ErrEnd) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			raw, err := dec.DecodeAll(batch.Payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			var block telemetryv1.Block
			if err := proto.Unmarshal(raw, &block); err != nil {
				t.Fatal(err)
			}
			for _, b := range block.GetEvents() {
				ev := &telemetryv1.Event{}
				if err := proto.Unmarshal(b, ev); err != nil {
					t.Fatal(err)
				}
				events = append(events, ev)
			}
		}
		if err := cursor.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

// countdown is a context that ends when it has been asked so often, which the
// pipeline does for every event.
type countdown struct {
	context.Context
	left atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}

// A host that is killed, so that its streams end at different moments, goes on
// from the earlier one and repeats nothing of the later one.
func TestKilledHostGoesOn(t *testing.T) {
	t.Parallel()
	c := &clock{}
	f := &fleet{cfg: Config{Hosts: 1, Log: slog.New(slog.DiscardHandler), Now: c.now}}
	f.timeline = timeline{Seed: 7, Start: c.now().UTC().Truncate(time.Minute), Backfill: 24 * time.Hour, Rate: 1}
	dir, apart := t.TempDir(), 0
	for n := range int64(8) {
		a := offline(t, f, Hosts(7, 1)[0], dir)
		ctx := &countdown{Context: t.Context()}
		ctx.left.Store(700 + 130*n)
		p, err := newPlayer(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.catchUp(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		// As a kill does it: what is in memory finds no spool any more.
		for _, s := range a.spools {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_ = a.pipe.Close(ctx)
		if string(a.spools[evidence.Control].Position(sourceKey)) != string(a.spools[evidence.Bulk].Position(sourceKey)) {
			apart++
		}
	}
	if apart == 0 {
		t.Error("no kill left the streams apart")
	}
	a := offline(t, f, Hosts(7, 1)[0], dir)
	p, err := newPlayer(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.pipe.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, ev := range spooled(t, a) {
		seen[fmt.Sprint(ev.GetPosition().GetChannel(), ev.GetPosition().GetRecordId(), ev.GetSourceHealth() != nil, ev.GetObservedAt())]++
	}
	want := past(newMachine(Hosts(7, 1)[0], &f.timeline), f.timeline.Start)
	for i := range want {
		key := fmt.Sprint("", 0, true, evidence.Ticks(want[i].at))
		if r := want[i].record; r != nil {
			key = fmt.Sprint(r.Channel, r.RecordID, false, evidence.Ticks(r.Time))
		}
		if seen[key] != 1 {
			t.Errorf("%s is there %d times", key, seen[key])
		}
	}
	for _, s := range a.spools {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
