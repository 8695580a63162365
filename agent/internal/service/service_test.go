package service_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/service"
	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func enrolled(t *testing.T, s *servertest.Server) service.Config {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	_, err := enrol.Enrol(t.Context(), enrol.Config{
		Dir: dir, Server: s.Address, CAHash: s.CAHash, Token: servertest.Token,
		Host: &enrol.Host{Name: "h"}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return service.Config{Dir: dir, Holder: "test", AgentVersion: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

// counter emits events 1..n that do not compress, from where it was.
type counter struct {
	n    int
	stop func()
	wait func(ctx context.Context) error
}

func (c *counter) Run(ctx context.Context, resume pipeline.Resume, emit pipeline.Emit) error {
	next := 1
	if p := resume.Position("counter"); p != nil {
		next = int(binary.BigEndian.Uint64(p)) + 1
	}
	text := make([]byte, 150)
	for ; next <= c.n; next++ {
		_, _ = rand.Read(text)
		err := emit(ctx, pipeline.Item{
			Key: "counter", Position: binary.BigEndian.AppendUint64(nil, uint64(next)),
			Event: &telemetryv1.Event{
				Position: &telemetryv1.Position{RecordId: uint64(next)}, ObservedAt: int64(next),
				Raw:  &telemetryv1.Raw{Data: []*telemetryv1.Field{{Value: hex.EncodeToString(text)}}},
				Body: &telemetryv1.Event_LogRecord{LogRecord: &telemetryv1.LogRecord{}},
			},
		})
		if err != nil {
			return err
		}
	}
	if c.wait != nil {
		defer c.stop()
		return c.wait(ctx)
	}
	return nil
}

func checkCounted(t *testing.T, s *servertest.Server, n int) {
	t.Helper()
	events, err := s.Events(evidence.Bulk)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != n {
		t.Fatalf("%d events arrived, want %d", len(events), n)
	}
	for i, ev := range events {
		if ev.GetPosition().GetRecordId() != uint64(i+1) {
			t.Fatalf("event %d is record %d", i, ev.GetPosition().GetRecordId())
		}
	}
}

// More than the spool holds passes through it: sources wait, acknowledged and
// covered segments go, nothing is lost.
func TestMorePassesThanTheSpoolHolds(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	cfg := enrolled(t, s)
	cfg.Limits = map[evidence.StreamKind]int64{evidence.Bulk: spool.MinLimit}
	agent, err := service.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const n = 20000 // about 4 MiB compressed
	source := &counter{n: n, stop: cancel}
	source.wait = func(ctx context.Context) error {
		return errors.Join(agent.Pipeline.Flush(ctx), agent.WaitCommitted(ctx))
	}
	if err := agent.Run(ctx, source); err != nil {
		t.Fatal(err)
	}
	checkCounted(t, s, n)
}

// Many agents live in one process, each with its own directory.
func TestManyAgentsInOneProcess(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	encoder, err := pipeline.NewEncoder(2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = encoder.Close() }()
	const agents, events = 20, 50
	var running sync.WaitGroup
	for range agents {
		cfg := enrolled(t, s)
		cfg.Encoder, cfg.HealthEvery = encoder, time.Hour
		agent, err := service.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			source := &counter{n: events, stop: cancel}
			source.wait = func(ctx context.Context) error {
				return errors.Join(agent.Pipeline.Flush(ctx), agent.WaitCommitted(ctx))
			}
			if err := agent.Run(ctx, source); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	got := map[evidence.ID]int{}
	for _, c := range s.Commits() {
		if c.Header.Kind == evidence.Bulk {
			got[c.Agent] += int(c.Header.EventCount)
		}
	}
	if len(got) != agents {
		t.Fatalf("%d agents arrived", len(got))
	}
	for id, n := range got {
		if n != events {
			t.Fatalf("agent %s: %d events", id, n)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	cfg := enrolled(t, s)
	agent, err := service.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var inUse *spool.InUseError
	if _, err := service.Open(cfg); !errors.As(err, &inUse) {
		t.Fatalf("opening twice: %v", err)
	}
	if err := agent.Close(); err != nil {
		t.Fatal(err)
	}
	late := cfg
	late.Now = func() time.Time { return time.Now().AddDate(0, 0, 98) }
	if _, err := service.Open(late); !errors.Is(err, enrol.ErrExpired) {
		t.Fatalf("91 days after expiry: %v", err)
	}
	cfg.Dir = t.TempDir()
	if _, err := service.Open(cfg); !errors.Is(err, enrol.ErrNotEnrolled) {
		t.Fatalf("an empty directory: %v", err)
	}
}
