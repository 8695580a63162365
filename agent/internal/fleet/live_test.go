package fleet

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// offline makes the agent of a host without identity and server: what it emits
// stays in its spools.
func offline(t *testing.T, f *fleet, h *Host) *agent {
	t.Helper()
	a := &agent{
		fleet: f, host: h, dir: t.TempDir(), log: f.cfg.Log, spools: map[evidence.StreamKind]*spool.Spool{},
		acked: make(chan struct{}, 1), broken: make(chan error, 1),
		disconnect: func() error { return nil }, // as if it were connected
	}
	stores := map[evidence.StreamKind]pipeline.Store{}
	for _, kind := range streams {
		s, err := spool.Open(spool.Config{
			Dir: t.TempDir(), Kind: kind, Limit: spoolLimit, Log: f.cfg.Log,
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
		a := offline(t, f, Hosts(7, 1)[0])
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
