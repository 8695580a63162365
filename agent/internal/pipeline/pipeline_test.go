package pipeline

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryStore is a queue in memory that can be full.
type memoryStore struct {
	mu       sync.Mutex
	drafts   []spool.Draft
	progress map[string][]byte
	err      error // of the next Appends
	space    chan struct{}
	losses   []spool.Loss
}

func newMemoryStore() *memoryStore {
	return &memoryStore{progress: map[string][]byte{}, space: make(chan struct{}, 1)}
}

func (m *memoryStore) Append(drafts ...spool.Draft) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for _, d := range drafts {
		m.drafts = append(m.drafts, d)
		for key, p := range d.Progress {
			if bytes.Compare(p, m.progress[key]) < 0 {
				return errors.New("progress went back")
			}
			m.progress[key] = p
		}
	}
	return nil
}

func (m *memoryStore) Position(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.progress[key]
}

func (m *memoryStore) Space() <-chan struct{} { return m.space }
func (m *memoryStore) Stats() spool.Stats     { return spool.Stats{} }

func (m *memoryStore) Losses() []spool.Loss {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]spool.Loss(nil), m.losses...)
}

func (m *memoryStore) LossReported(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.losses = nil
	return nil
}

func (m *memoryStore) setErr(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
	if err == nil {
		m.space <- struct{}{}
	}
}

// events decodes everything stored and checks each draft against its header fields.
func (m *memoryStore) events(t *testing.T) []*telemetryv1.Event {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var events []*telemetryv1.Event
	for _, d := range m.drafts {
		raw, err := dec.DecodeAll(d.Payload, nil)
		if err != nil || len(raw) != int(d.RawSize) {
			t.Fatalf("payload of %d raw bytes, header says %d: %v", len(raw), d.RawSize, err)
		}
		var block telemetryv1.Block
		if err := proto.Unmarshal(raw, &block); err != nil {
			t.Fatal(err)
		}
		if len(block.Events) != int(d.EventCount) ||
			evidence.CommitmentRoot(evidence.Commitments(block.Seed, block.Events)) != d.Commitments {
			t.Fatal("count or commitments differ")
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

type rig struct {
	*Pipeline
	control, bulk *memoryStore
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{control: newMemoryStore(), bulk: newMemoryStore()}
	cfg := Config{
		Stores: map[evidence.StreamKind]Store{evidence.Control: r.control, evidence.Bulk: r.bulk},
		Log:    slog.New(slog.DiscardHandler), Now: time.Now,
	}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Pipeline = p
	return r
}

func (r *rig) close(t *testing.T) {
	t.Helper()
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func pos(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func bulkItem(n int, text string) Item {
	return Item{
		Key: "log", Position: pos(n),
		Event: &telemetryv1.Event{
			ObservedAt: int64(n), Position: &telemetryv1.Position{RecordId: uint64(n)},
			Raw:  &telemetryv1.Raw{Data: []*telemetryv1.Field{{Name: "text", Value: text}}},
			Body: &telemetryv1.Event_LogRecord{LogRecord: &telemetryv1.LogRecord{}},
		},
	}
}

func controlItem(n int) Item {
	item := bulkItem(n, "")
	item.Event.Body = &telemetryv1.Event_Power{Power: &telemetryv1.PowerEvent{}}
	return item
}

func mustEmit(t *testing.T, p *Pipeline, items ...Item) {
	t.Helper()
	for _, item := range items {
		if err := p.Emit(t.Context(), item); err != nil {
			t.Fatal(err)
		}
	}
}

func randomText(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b)
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// Blocks keep the limits whatever the events look like, and no event is lost
// or out of order.
func TestBlockLimits(t *testing.T) {
	t.Parallel()
	shapes := map[string]func(i int) string{
		"tiny":           func(int) string { return "x" },
		"compressible":   func(int) string { return strings.Repeat("abcdefgh", 500) },
		"incompressible": func(int) string { return randomText(3000) },
		"turning": func(i int) string {
			if i < 1500 {
				return strings.Repeat("a", 900)
			}
			return randomText(900)
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			for i := range 3000 {
				mustEmit(t, r.Pipeline, bulkItem(i+1, shape(i)))
			}
			r.close(t)
			for _, d := range r.bulk.drafts {
				if d.EventCount > maxEvents || d.RawSize > maxRawBlock || len(d.Payload) > targetPayload {
					t.Errorf("block of %d events, %d raw, %d compressed", d.EventCount, d.RawSize, len(d.Payload))
				}
			}
			events := r.bulk.events(t)
			if len(events) != 3000 {
				t.Fatalf("%d events", len(events))
			}
			for i, ev := range events {
				if ev.GetPosition().GetRecordId() != uint64(i+1) {
					t.Fatalf("event %d is record %d", i, ev.GetPosition().GetRecordId())
				}
			}
			if !bytes.Equal(r.bulk.Position("log"), pos(3000)) {
				t.Fatal("position is not the last event's")
			}
		})
	}
}

func TestLargeEventsStandAloneOrAreCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	mustEmit(t, r.Pipeline, bulkItem(1, "small"), bulkItem(2, strings.Repeat("y", 700<<10)), bulkItem(3, "small"),
		bulkItem(4, strings.Repeat("z", 5<<20)), bulkItem(5, "bad \xff text"))
	r.close(t)
	events := r.bulk.events(t)
	if len(events) != 5 || len(r.bulk.drafts) != 5 {
		t.Fatalf("%d events in %d blocks, want 5 in 5", len(events), len(r.bulk.drafts))
	}
	if got := len(events[1].Raw.Data[0].Value); got != 700<<10 {
		t.Errorf("an event within the server's bound was cut to %d", got)
	}
	if r.bulk.drafts[3].RawSize > defaultMaxRaw {
		t.Errorf("the cut event has %d raw bytes", r.bulk.drafts[3].RawSize)
	}
	data := events[3].Raw.Data
	if flag := data[len(data)-1]; flag.Name != TruncatedField || flag.Value == "" || events[3].GetPosition().GetRecordId() != 4 {
		t.Errorf("the cut event does not say so: %v", flag)
	}
	if events[4].Raw.Data[0].Value != "bad \uFFFD text" {
		t.Errorf("bad text became %q", events[4].Raw.Data[0].Value)
	}
}

func TestLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.HealthEvery = time.Minute })
		count := func(m *memoryStore) int { m.mu.Lock(); defer m.mu.Unlock(); return len(m.drafts) }
		mustEmit(t, r.Pipeline, bulkItem(1, "a"))
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if count(r.bulk) != 0 {
			t.Fatal("closed before its second was over")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if count(r.bulk) != 1 || !r.bulk.drafts[0].Sign {
			t.Fatal("not closed and signed after a second")
		}
		mustEmit(t, r.Pipeline, bulkItem(2, "a"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if count(r.bulk) != 2 || r.bulk.drafts[1].Sign {
			t.Fatal("a second signature in one minute")
		}
		// Health alone waits two minutes after the first one, which comes after one.
		time.Sleep(3*time.Minute - 4*time.Second)
		synctest.Wait()
		if count(r.control) != 0 {
			t.Fatal("health did not wait for more")
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if count(r.control) != 1 || r.control.drafts[0].EventCount < 2 {
			t.Fatalf("%d control blocks", count(r.control))
		}
		time.Sleep(90 * time.Second)
		mustEmit(t, r.Pipeline, controlItem(3))
		time.Sleep(time.Second)
		synctest.Wait()
		if count(r.control) != 2 {
			t.Fatal("another event does not take waiting health along within a second")
		}
		r.close(t)
	})
}

type dropLong struct{}

func (dropLong) Keep(ev *telemetryv1.Event) (string, bool) {
	return "short", len(ev.GetRaw().GetData()[0].GetValue()) < 3
}

func TestFilterCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Filter = dropLong{} })
	meter := r.Meter("event_log", "Security")
	for i, text := range []string{"a", "long", "b"} {
		item := bulkItem(i+1, text)
		item.Meter = meter
		mustEmit(t, r.Pipeline, item)
	}
	r.close(t)
	events, state := r.bulk.events(t), meter.snapshot()
	if len(events) != 2 || events[0].RuleName != "short" || state.Seen != 3 || state.Filtered != 1 || state.Position != 3 {
		t.Fatalf("%d events, state %v", len(events), state)
	}
}

// What the agent says of itself has the grade that the registry gives it, so
// that the server, the simulated fleet and the agent agree.
func TestOwnEventsHaveTheRegistrysGrade(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	defer r.close(t)
	want := telemetry.GradeOf(telemetryv1.Source_SOURCE_AGENT, "", 0, 0)
	if got := r.ownEvent().GetGrade(); got != want {
		t.Errorf("graded %v, want %v", got, want)
	}
}
