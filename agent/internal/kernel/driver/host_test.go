package driver_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/driver"
	"github.com/assay-audit/assay/agent/internal/kernel/drivertest"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// disk is what outlives an agent: a stream's queue, which can be full.
type disk struct {
	mu       sync.Mutex
	drafts   []spool.Draft
	progress map[string][]byte
	full     bool
	space    chan struct{}
	changed  chan struct{}
}

func newDisk() *disk {
	return &disk{progress: map[string][]byte{}, space: make(chan struct{}, 1), changed: make(chan struct{})}
}

func (d *disk) Append(drafts ...spool.Draft) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return spool.ErrFull
	}
	for _, draft := range drafts {
		d.drafts = append(d.drafts, draft)
		maps.Copy(d.progress, draft.Progress)
	}
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

func (d *disk) Position(key string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.progress[key]
}

func (d *disk) setFull(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
	if !full {
		select {
		case d.space <- struct{}{}:
		default:
		}
	}
}

func (d *disk) Space() <-chan struct{}    { return d.space }
func (d *disk) Stats() spool.Stats        { return spool.Stats{} }
func (d *disk) Losses() []spool.Loss      { return nil }
func (d *disk) LossReported(string) error { return nil }

// events are all that is stored.
func (d *disk) events(t *testing.T) (events []*telemetryv1.Event) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	for _, draft := range d.drafts {
		raw, err := decoder.DecodeAll(draft.Payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		var block telemetryv1.Block
		if err := proto.Unmarshal(raw, &block); err != nil {
			t.Fatal(err)
		}
		for _, b := range block.Events {
			ev := &telemetryv1.Event{}
			if err := proto.Unmarshal(b, ev); err != nil {
				t.Fatal(err)
			}
			events = append(events, ev)
		}
	}
	return events
}

// host is a machine: disks that stay, a driver that may be loaded, an agent that
// runs or not.
type host struct {
	t             *testing.T
	control, bulk *disk
	filter        pipeline.Filter
	filters       func([]event.Drive) (*kernel.FilterBlob, error)

	mu     sync.Mutex
	driver *drivertest.Driver

	pipeline *pipeline.Pipeline
	stop     context.CancelFunc
	ended    chan error
}

func newHost(t *testing.T, d *drivertest.Driver) *host {
	return &host{t: t, control: newDisk(), bulk: newDisk(), driver: d}
}

func (h *host) open() (driver.Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.driver == nil {
		return nil, driver.ErrAbsent
	}
	return h.driver.Open()
}

func (h *host) load(d *drivertest.Driver) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.driver = d
}

func (h *host) start() {
	h.t.Helper()
	p, err := pipeline.New(pipeline.Config{
		Stores: map[evidence.StreamKind]pipeline.Store{evidence.Control: h.control, evidence.Bulk: h.bulk}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Filter: h.filter, HealthEvery: 10 * time.Millisecond, Linger: time.Millisecond, QuietLinger: time.Millisecond, RetryMin: time.Millisecond, RetryMax: time.Millisecond,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	c := driver.New(driver.Config{
		Open: h.open, Host: [16]byte{1}, Meter: func(class string) *pipeline.Meter { return p.Meter(driver.Source, class) }, Filters: h.filters,
		Now: time.Now, Log: slog.New(slog.DiscardHandler), RetryEvery: time.Millisecond, LookEvery: 5 * time.Millisecond,
	})
	ctx, stop := context.WithCancel(context.Background())
	h.pipeline, h.stop, h.ended = p, stop, make(chan error, 1)
	go func() { h.ended <- p.Run(ctx, c) }()
}

// kill ends the agent at once: what is not on disk is gone.
func (h *host) kill() {
	h.t.Helper()
	h.stop()
	if err := <-h.ended; !errors.Is(err, context.Canceled) {
		h.t.Fatalf("the collector ended with %v", err)
	}
	dead, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.pipeline.Close(dead)
}
