package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/spool"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// clock is the real one, moved ahead by what a test says.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func testConfig(t *testing.T, s *servertest.Server, c *clock) Config {
	t.Helper()
	return Config{
		Dir: filepath.Join(t.TempDir(), "fleet"), Server: s.Address, CAHash: s.CAHash, Token: servertest.Token, Hosts: 4, Seed: 7,
		Backfill: 3 * time.Hour, AgentVersion: "test", Now: c.now, Log: slog.New(slog.DiscardHandler),
	}
}

func run(t *testing.T, cfg Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := Run(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("the fleet did not end")
	}
}

// received is what the server holds of a host, by stream and in order.
type received map[evidence.StreamKind][]*telemetryv1.Event

// byAgent decodes what the server has committed.
func byAgent(t *testing.T, s *servertest.Server) map[evidence.ID]received {
	t.Helper()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	all := map[evidence.ID]received{}
	for _, c := range s.Commits() {
		raw, err := dec.DecodeAll(c.Frame.GetPayload(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var block telemetryv1.Block
		if err := proto.Unmarshal(raw, &block); err != nil {
			t.Fatal(err)
		}
		if all[c.Agent] == nil {
			all[c.Agent] = received{}
		}
		for _, b := range block.GetEvents() {
			ev := &telemetryv1.Event{}
			if err := proto.Unmarshal(b, ev); err != nil {
				t.Fatal(err)
			}
			all[c.Agent][c.Header.Kind] = append(all[c.Agent][c.Header.Kind], ev)
		}
	}
	return all
}

// checkOnce checks that each record of each host came once, and none is missing;
// a missing host's gap aside. It returns how many events there are.
func checkOnce(t *testing.T, all map[evidence.ID]received) int {
	t.Helper()
	total := 0
	for id, kinds := range all {
		ids := map[string]map[uint64]bool{}
		least, most := map[string]uint64{}, map[string]uint64{}
		for kind, events := range kinds {
			total += len(events)
			var at int64
			for _, ev := range events {
				if ev.GetObservedAt() < at {
					t.Errorf("%s %s: events out of order", id, kind)
				}
				at = ev.GetObservedAt()
				channel, n := ev.GetPosition().GetChannel(), ev.GetPosition().GetRecordId()
				if n == 0 {
					channel, n = "health", uint64(at)
				}
				if ids[channel] == nil {
					ids[channel], least[channel] = map[uint64]bool{}, n
				}
				if ids[channel][n] {
					t.Errorf("%s %s: %d came twice", id, channel, n)
				}
				ids[channel][n] = true
				least[channel], most[channel] = min(least[channel], n), max(most[channel], n)
			}
		}
		for channel, have := range ids {
			if want := most[channel] - least[channel] + 1; channel != "health" && uint64(len(have)) != want {
				t.Errorf("%s %s: %d of %d records", id, channel, len(have), want)
			}
		}
		checkHealth(t, id, kinds[evidence.Control])
	}
	return total
}

// checkHealth checks that the statements are a minute apart unless the host was off.
func checkHealth(t *testing.T, id evidence.ID, control []*telemetryv1.Event) {
	t.Helper()
	var before *telemetryv1.Event
	stopped := false
	for _, ev := range control {
		if ev.GetPower().GetAction() == "shutdown" {
			stopped = true
		}
		if ev.GetSourceHealth() == nil {
			continue
		}
		if before != nil {
			pause := evidence.Time(ev.GetObservedAt()).Sub(evidence.Time(before.GetObservedAt()))
			rebooted := ev.GetBootId() != before.GetBootId()
			if rebooted != stopped || !rebooted && pause > time.Minute {
				t.Errorf("%s: %v between statements, rebooted %v, shut down %v", id, pause, rebooted, stopped)
			}
		}
		before, stopped = ev, false
	}
	if before == nil {
		t.Errorf("%s: no health", id)
	}
}

func TestBackfillIsCommittedOnce(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := servertest.New(t, c.now)
	cfg := testConfig(t, s, c)
	var progress strings.Builder
	cfg.Progress = &progress
	run(t, cfg)
	all := byAgent(t, s)
	if len(all) != cfg.Hosts {
		t.Fatalf("%d agents", len(all))
	}
	n := checkOnce(t, all)
	if want := fmt.Sprintf("fleet: 4 of 4 hosts sent their backfill, %s events\n", grouped(uint64(n))); !strings.HasSuffix(progress.String(), want) {
		t.Errorf("progress is %q, not %q", progress.String(), want)
	}
	for id, kinds := range all {
		for _, events := range kinds {
			for _, ev := range events {
				if ev.GetMode() != telemetryv1.Mode_MODE_BACKFILL {
					t.Fatalf("%s: the past is not declared as such: %v", id, ev)
				}
			}
		}
	}
	run(t, cfg) // at once: there is nothing to add but what a moment brings
	checkOnce(t, byAgent(t, s))
}

// After a pause the fleet goes on: its hosts were off meanwhile, on record.
func TestRestartExplainsThePause(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := servertest.New(t, c.now)
	cfg := testConfig(t, s, c)
	run(t, cfg)
	const pauses = 2
	for range pauses {
		c.ahead.Add(int64(90 * time.Minute))
		run(t, cfg)
		checkOnce(t, byAgent(t, s))
	}
	for id, kinds := range byAgent(t, s) {
		actions := map[string]int{}
		for _, ev := range kinds[evidence.Control] {
			if p := ev.GetPower(); p != nil {
				actions[fmt.Sprint(p.GetAction(), ev.GetRaw().GetEventId())]++
			}
		}
		for _, want := range []string{"shutdown_requested1074", "shutdown13", "log_service_stop6006", "boot12", "log_service_start6005"} {
			if actions[want] != pauses {
				t.Errorf("%s: not %d %s: %v", id, pauses, want, actions)
			}
		}
	}
}

// A fleet that ends while it sends its past goes on without loss or repetition.
func TestInterruptedBackfillGoesOn(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := servertest.New(t, c.now)
	cfg := testConfig(t, s, c)
	cfg.Hosts, cfg.Backfill = 3, 12*time.Hour
	var batches atomic.Int64
	var calm atomic.Bool
	var end atomic.Pointer[context.CancelFunc]
	s.Received = func(r *agentv1.ConnectRequest) error {
		if r.GetBatch() != nil && batches.Add(1)%5 == 0 && !calm.Load() {
			(*end.Load())()
		}
		return nil
	}
	for range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		end.Store(&cancel)
		if err := Run(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	calm.Store(true)
	run(t, cfg)
	all := byAgent(t, s)
	if len(all) != cfg.Hosts {
		t.Fatalf("%d agents", len(all))
	}
	checkOnce(t, all)
}

// A prepared load is sent by the next run, from its start on and not before, and
// what is paced is all sent too.
func TestPreparedLoad(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := servertest.New(t, c.now)
	cfg := testConfig(t, s, c)
	cfg.Hosts = 3
	events := func() (n int) {
		for _, kinds := range byAgent(t, s) {
			for _, list := range kinds {
				n += len(list)
			}
		}
		return n
	}
	if _, err := Load(t.Context(), cfg, Loading{Events: 900, Prepare: true}); err != nil {
		t.Fatal(err)
	}
	if n := events(); n != 0 {
		t.Fatalf("%d events were sent by the preparation", n)
	}
	result, err := Load(t.Context(), cfg, Loading{Events: 900, Start: func(context.Context) error {
		if n := events(); n != 0 {
			t.Errorf("%d events were sent before the start", n)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := events(); n != 2700 || result.Events != 2700 || result.Batches == 0 || result.Bytes == 0 || result.AckP99Ms < result.AckP50Ms {
		t.Errorf("%d events are there; %+v", n, result)
	}
	if result, err = Load(t.Context(), cfg, Loading{Events: 1500, PerSecond: 100_000}); err != nil {
		t.Fatal(err)
	}
	if n := events(); n != 4500 || result.Events != 1800 {
		t.Errorf("%d events are there after a paced load; %+v", n, result)
	}
}

func TestLoadCommitsAll(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := servertest.New(t, c.now)
	cfg := testConfig(t, s, c)
	cfg.Hosts = 3
	for _, n := range []int{3000, 3000, 5000} {
		before := 0
		for _, kinds := range byAgent(t, s) {
			for _, events := range kinds {
				before += len(events)
			}
		}
		result, err := Load(t.Context(), cfg, Loading{Events: n})
		if err != nil {
			t.Fatal(err)
		}
		after := 0
		for id, kinds := range byAgent(t, s) {
			seen := map[string]bool{}
			for _, events := range kinds {
				for _, ev := range events {
					seen[fmt.Sprint(ev.GetPosition().GetChannel(), ev.GetPosition().GetRecordId())] = true
				}
				after += len(events)
			}
			if len(seen) != n {
				t.Errorf("%s: %d different records of %d", id, len(seen), n)
			}
		}
		if after != 3*n || result.Events != after-before || result.Hosts != 3 || result.Seconds <= 0 {
			t.Errorf("%d events after %d, result %+v", after, before, result)
		}
	}
}

func TestRecordsAreCheapAndContiguous(t *testing.T) {
	t.Parallel()
	from, n := testStart, 0
	ids := map[string]uint64{}
	at := from.Add(-1)
	for r := range Records(7, 3, from, 3*poolSize) {
		n++
		if ids[r.Channel]++; r.RecordID != ids[r.Channel] {
			t.Fatalf("record %d of %s after %d", r.RecordID, r.Channel, ids[r.Channel]-1)
		}
		if !r.Time.After(at) {
			t.Fatalf("%v after %v", r.Time, at)
		}
		at = r.Time
	}
	if n != 3*poolSize || len(ids) < 4 {
		t.Errorf("%d records of %d channels", n, len(ids))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := servertest.New(t, c.now)
	good := testConfig(t, s, c)
	bad := good
	bad.Hosts = 0
	if err := Run(t.Context(), bad); err == nil {
		t.Error("a fleet of no hosts runs")
	}
	bad = good
	bad.Server = "nowhere"
	if err := Run(t.Context(), bad); err == nil {
		t.Error("a server without a port is taken")
	}
	bad = good
	bad.Token = "wrong"
	if err := Run(t.Context(), bad); !errors.Is(err, enrol.ErrToken) {
		t.Errorf("a wrong token is %v", err)
	}
	run(t, good)
	bad = good
	bad.Seed = 8
	if err := Run(t.Context(), bad); err == nil {
		t.Error("another seed runs in the same folder")
	}
	lock, err := spool.AcquireLock(good.Dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	var inUse *spool.InUseError
	if err := Run(t.Context(), good); !errors.As(err, &inUse) {
		t.Errorf("a folder in use is %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRecords(b *testing.B) {
	b.ReportAllocs()
	for range Records(7, 3, testStart, b.N) {
	}
}

// BenchmarkBackfill is the demonstration's first start: 25 hosts, 48 hours.
func BenchmarkBackfill(b *testing.B) {
	for range b.N {
		c := &clock{}
		s := servertest.New(b, c.now)
		cfg := Config{
			Dir: filepath.Join(b.TempDir(), "fleet"), Server: s.Address, CAHash: s.CAHash, Token: servertest.Token, Hosts: fleetSize, Seed: 7,
			AgentVersion: "test", Now: c.now, Log: slog.New(slog.DiscardHandler),
			Backfilled: func(events uint64) { b.ReportMetric(float64(events), "events") },
		}
		if err := Run(b.Context(), cfg); err != nil {
			b.Fatal(err)
		}
	}
}
