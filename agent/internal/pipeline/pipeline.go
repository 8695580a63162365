package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// Store is a stream's durable queue.
type Store interface {
	Append(drafts ...spool.Draft) error
	Position(key string) []byte
	// Space receives when room may have become.
	Space() <-chan struct{}
	Losses() []spool.Loss
	LossReported(key string) error
	Stats() spool.Stats
}

// Config says what a pipeline writes to and how.
type Config struct {
	// Stores are the streams this pipeline has. An event of a stream that is
	// not there is an error of its Emit.
	Stores map[evidence.StreamKind]Store
	// Encoder compresses; nil: one of its own. See NewEncoder.
	Encoder *zstd.Encoder
	// Filter decides what is kept; nil keeps all. The agent's own events and
	// imports are never filtered.
	Filter Filter
	Log    *slog.Logger
	Now    func() time.Time

	// BootID names the host's present boot, and Uptime is how long it has run
	// since, without sleep; "" and nil where the host cannot tell. Together they
	// let a shutdown explain a silence.
	BootID string
	Uptime func() time.Duration
	// AgentVersion is stated in health and agent events.
	AgentVersion string
	// HealthEvery is the interval of SourceHealth events; 0: none.
	HealthEvery time.Duration

	// Linger is the longest that an event waits in an open block (1 s), and
	// QuietLinger where there is nothing but health (2 min: well
	// within the five that forwarding may take).
	Linger, QuietLinger time.Duration
	// RetryMin and RetryMax bound the pause before a full or failing disk is
	// tried again (1 s, 30 s).
	RetryMin, RetryMax time.Duration
}

// ErrClosed: the pipeline takes no more events.
var ErrClosed = errors.New("pipeline is closed")

// defaultMaxRaw is the largest event before the server has said its own bound.
const defaultMaxRaw = 1 << 20

// Pipeline takes events from many sources. Its methods may be called by any
// goroutine.
type Pipeline struct {
	cfg     Config
	encoder *zstd.Encoder
	own     bool // encoder is ours to close
	streams map[evidence.StreamKind]*stream
	health  *health

	limitRaw    atomic.Int64
	limitEvents atomic.Int64

	movedMu sync.Mutex
	moved   chan struct{} // closed and made anew when positions became durable

	failed   chan struct{} // closed once err is set
	failOnce sync.Once
	err      error
	stop     chan struct{} // closed by Close when its patience has ended
	stopOnce sync.Once
}

// New starts a pipeline. The caller must Close it.
func New(cfg Config) (*Pipeline, error) {
	setDefault(&cfg.Linger, time.Second)
	setDefault(&cfg.QuietLinger, 2*time.Minute)
	setDefault(&cfg.RetryMin, time.Second)
	setDefault(&cfg.RetryMax, 30*time.Second)
	p := &Pipeline{
		cfg: cfg, encoder: cfg.Encoder, streams: map[evidence.StreamKind]*stream{},
		moved: make(chan struct{}), failed: make(chan struct{}), stop: make(chan struct{}),
	}
	p.limitRaw.Store(defaultMaxRaw)
	p.limitEvents.Store(maxEvents)
	if p.encoder == nil {
		enc, err := NewEncoder(1)
		if err != nil {
			return nil, err
		}
		p.encoder, p.own = enc, true
	}
	for kind, store := range cfg.Stores {
		p.streams[kind] = newStream(p, kind, store)
	}
	p.health = newHealth(p)
	for _, s := range p.streams {
		go s.pack()
		go s.write()
	}
	return p, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// SetLimits takes over the server's bounds of a batch; 0 keeps ours.
func (p *Pipeline) SetLimits(maxRaw, events uint32) {
	if maxRaw > 0 {
		p.limitRaw.Store(int64(max(maxRaw, 64<<10)))
	}
	if events > 0 {
		p.limitEvents.Store(min(int64(events), maxEvents))
	}
}

func (p *Pipeline) maxEvents() int { return int(p.limitEvents.Load()) }

// fail ends the pipeline: nothing can be stored any more.
func (p *Pipeline) fail(err error) {
	p.failOnce.Do(func() {
		p.err = fmt.Errorf("storing events: %w", err)
		close(p.failed)
	})
}

// Failed is closed when events can no longer be stored; Err then says why.
func (p *Pipeline) Failed() <-chan struct{} { return p.failed }

// Err is nil until Failed.
func (p *Pipeline) Err() error {
	select {
	case <-p.failed:
		return p.err
	default:
		return nil
	}
}

// Run runs a source with this pipeline's Resume and Emit.
func (p *Pipeline) Run(ctx context.Context, source Source) error { return source.Run(ctx, p, p.Emit) }

// Position implements Resume: the least of what the key's streams hold durable.
func (p *Pipeline) Position(key string) []byte {
	// Read before what waits: an event that this has seen was added before, so a
	// stream in which nothing of the key waits then holds all up to here.
	newest := p.newest(key)
	var least []byte
	for i, kind := range []evidence.StreamKind{evidence.Control, evidence.Bulk} {
		position := p.durable(kind, key)
		if s := p.streams[kind]; s != nil && bytes.Compare(position, newest) < 0 && !s.waiting(key) {
			position = newest
		}
		if i == 0 || bytes.Compare(position, least) < 0 {
			least = position
		}
	}
	// What is imported takes one stream, and nothing else says how far it is.
	if imports := p.cfg.Stores[evidence.Import]; imports != nil {
		if position := imports.Position(key); position != nil {
			return position
		}
	}
	return least
}

// newest is the newest position of key that any stream has taken.
func (p *Pipeline) newest(key string) []byte {
	var newest []byte
	for _, s := range p.streams {
		if position := s.newest(key); bytes.Compare(position, newest) > 0 {
			newest = position
		}
	}
	return newest
}

// Moved implements Resume.
func (p *Pipeline) Moved() <-chan struct{} {
	p.movedMu.Lock()
	defer p.movedMu.Unlock()
	return p.moved
}

// wake tells whoever waits on Moved. A stream calls it after its positions are
// durable and what waited for them is counted.
func (p *Pipeline) wake() {
	p.movedMu.Lock()
	defer p.movedMu.Unlock()
	close(p.moved)
	p.moved = make(chan struct{})
}

// durable is the newest position of key up to which kind's events are stored.
func (p *Pipeline) durable(kind evidence.StreamKind, key string) []byte {
	var newest []byte
	for k, store := range p.cfg.Stores {
		name := key
		if k != kind {
			name = crossKey(kind, key)
		}
		if position := store.Position(name); bytes.Compare(position, newest) > 0 {
			newest = position
		}
	}
	return newest
}

// Emit implements Emit.
func (p *Pipeline) Emit(ctx context.Context, item Item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if item.Event == nil {
		s := p.streams[item.Stream]
		if s == nil {
			return fmt.Errorf("emitting position: no %s stream here", item.Stream)
		}
		s.move(item.Key, item.Position)
		return nil
	}
	ev := item.Event
	if item.Meter != nil && !item.Meter.saw(p, ev) {
		return nil
	}
	taken, err := p.emit(ctx, item)
	if err == nil && item.Meter != nil {
		item.Meter.settled(ctx, p, ev, taken)
	}
	return err
}

// emit routes, serialises and stores an event that is kept. It is false where
// there was no room for a live one.
func (p *Pipeline) emit(ctx context.Context, item Item) (bool, error) {
	ev, kind := item.Event, item.Stream
	if kind == 0 {
		kind = evidence.Bulk
		if telemetry.Control(ev) {
			kind = evidence.Control
		}
	}
	s := p.streams[kind]
	if s == nil {
		return false, fmt.Errorf("emitting event: no %s stream here", kind)
	}
	b, err := p.serialise(ev)
	if err != nil {
		return false, err
	}
	_, quiet := ev.GetBody().(*telemetryv1.Event_SourceHealth)
	e := encoded{bytes: b, observedAt: ev.GetObservedAt(), key: item.Key, position: item.Position, auto: item.Stream == 0}
	return s.add(ctx, e, quiet, !item.Live)
}

// serialise returns the event's bytes, once and for all. An event beyond the
// server's bound is cut, and says so.
func (p *Pipeline) serialise(ev *telemetryv1.Event) ([]byte, error) {
	b, err := proto.Marshal(ev)
	if err != nil {
		// The one thing that Marshal refuses is text that is not UTF-8.
		makeValid(ev.ProtoReflect())
		if b, err = proto.Marshal(ev); err != nil {
			return nil, fmt.Errorf("serialising event: %w", err)
		}
	}
	if limit := int(p.limitRaw.Load()) - seedSize - 16; len(b) > limit {
		return cut(ev, len(b), limit)
	}
	return b, nil
}

// Flush makes everything emitted before durable, and signs the heads.
func (p *Pipeline) Flush(ctx context.Context) error {
	var errs []error
	for _, s := range p.streams {
		errs = append(errs, s.flush(ctx))
	}
	return errors.Join(errs...)
}

// Close flushes within ctx and ends. What could not be flushed is lost together
// with its positions, so that sources give it again.
func (p *Pipeline) Close(ctx context.Context) error {
	p.health.end()
	err := p.Flush(ctx)
	for _, s := range p.streams {
		s.end()
	}
	if err != nil {
		p.stopOnce.Do(func() { close(p.stop) })
	}
	for _, s := range p.streams {
		<-s.done
	}
	if p.own {
		err = errors.Join(err, p.encoder.Close())
	}
	return err
}
