package uplink_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/agent/internal/uplink"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is an agent without sources: a directory, spools and an uplink.
type host struct {
	t      *testing.T
	server *servertest.Server
	dir    string
	id     *enrol.Identity
	spools map[evidence.StreamKind]*spool.Spool
	acked  chan struct{}
	forks  atomic.Int32
	change func(*uplink.Config)

	uplink *uplink.Uplink
	cancel context.CancelFunc
	done   chan error
}

func newHost(t *testing.T, s *servertest.Server) *host {
	t.Helper()
	h := &host{t: t, server: s, dir: filepath.Join(t.TempDir(), "state"), acked: make(chan struct{}, 1)}
	var err error
	h.id, err = enrol.Enrol(t.Context(), enrol.Config{
		Dir: h.dir, Server: s.Address, CAHash: s.CAHash, Token: servertest.Token,
		Host: &enrol.Host{Name: "h"}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.open()
	t.Cleanup(h.stop)
	return h
}

func (h *host) open() {
	h.t.Helper()
	h.spools = map[evidence.StreamKind]*spool.Spool{}
	for _, kind := range []evidence.StreamKind{evidence.Control, evidence.Bulk} {
		dir := filepath.Join(h.dir, kind.String())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			h.t.Fatal(err)
		}
		sp, err := spool.Open(spool.Config{
			Dir: dir, Kind: kind, Limit: spool.MinLimit, SegmentSize: 2000, Sign: h.id.Sign, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			h.t.Fatal(err)
		}
		h.spools[kind] = sp
	}
}

func (h *host) closeSpools() {
	h.t.Helper()
	for _, sp := range h.spools {
		if err := sp.Close(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// batch is a draft whose one event is value.
func batch(value int) spool.Draft {
	payload := binary.BigEndian.AppendUint64(make([]byte, 0, 200), uint64(value))
	payload = append(payload, make([]byte, 150)...)
	return spool.Draft{
		Payload: payload, PayloadSHA256: sha256.Sum256(payload), RawSize: uint32(len(payload)), EventCount: 1,
		ObservedFrom: int64(value), ObservedTo: int64(value), Sign: value%4 == 0,
		Progress: map[string][]byte{"log": binary.BigEndian.AppendUint64(nil, uint64(value))},
	}
}

func (h *host) append(kind evidence.StreamKind, from, to int) {
	h.t.Helper()
	for i := from; i <= to; i++ {
		if err := h.spools[kind].Append(batch(i)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) start() {
	h.t.Helper()
	cfg := uplink.Config{
		Server: h.server.Address, TLS: h.id.TLS, Spools: h.spools, StateFile: filepath.Join(h.dir, "uplink.json"),
		AgentID: h.id.Info().AgentID, LedgerKey: h.id.Info().LedgerKey, AgentVersion: "test", BootID: "boot",
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
		BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, Upkeep: 5 * time.Millisecond,
		CheckpointMin: time.Hour, CheckpointMax: time.Hour,
		LedgerForked: func(string) {
			h.forks.Add(1)
			// Killed right here, the agent must tell it again when it starts.
			if state := h.state(); state.Fork != "" {
				h.t.Errorf("recorded as told before it is: %s", state.Fork)
			}
		},
		Acked: func(evidence.StreamKind) {
			select {
			case h.acked <- struct{}{}:
			default:
			}
		},
	}
	if h.change != nil {
		h.change(&cfg)
	}
	u, err := uplink.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.uplink = u
	ctx, cancel := context.WithCancel(h.t.Context())
	h.cancel, h.done = cancel, make(chan error, 1)
	go func() { h.done <- u.Run(ctx) }()
}

func (h *host) stop() {
	if h.cancel == nil {
		return
	}
	h.cancel()
	if err := <-h.done; err != nil {
		h.t.Errorf("run: %v", err)
	}
	h.cancel = nil
}

// drained waits until every batch is acknowledged.
func (h *host) drained() {
	h.t.Helper()
	h.until("all batches acknowledged", func() bool {
		for _, sp := range h.spools {
			if st := sp.Stats(); st.Unsent > 0 || st.Number > 0 && !st.Granted {
				return false
			}
		}
		return true
	})
}

func (h *host) until(what string, reached func() bool) {
	h.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-h.acked:
		case <-tick.C:
		case <-deadline.C:
			h.t.Fatalf("not reached: %s", what)
		}
	}
}

// committed are the values the server has of a stream, in its order.
func (h *host) committed(kind evidence.StreamKind) []int {
	var values []int
	for _, c := range h.server.Commits() {
		if c.Header.Kind == kind {
			values = append(values, int(binary.BigEndian.Uint64(c.Frame.GetPayload())))
		}
	}
	return values
}

func (h *host) check(kind evidence.StreamKind, want []int) {
	h.t.Helper()
	if got := h.committed(kind); !slices.Equal(got, want) {
		h.t.Fatalf("the server has %v of %s, want %v", got, kind, want)
	}
}

func sequence(from, to int) []int {
	var v []int
	for i := from; i <= to; i++ {
		v = append(v, i)
	}
	return v
}

func TestSendsControlFirstAndAll(t *testing.T) {
	t.Parallel()
	h := newHost(t, servertest.New(t, time.Now))
	h.append(evidence.Bulk, 1, 30)
	h.append(evidence.Control, 101, 110)
	h.start()
	h.drained()
	h.append(evidence.Bulk, 31, 40)
	h.drained()
	h.check(evidence.Bulk, sequence(1, 40))
	h.check(evidence.Control, sequence(101, 110))
	if reasons, forks := h.server.Reasons(); len(reasons) != 2 || reasons[0] != "first" || forks != 0 {
		t.Fatalf("epochs %v, forks %d", reasons, forks)
	}
	for _, c := range h.server.Commits() {
		if (len(c.Frame.GetHeadSignature()) > 0) != (c.Header.ObservedFrom%4 == 0) {
			t.Fatal("head signatures did not travel with their batches")
		}
	}
}

// The connection breaks at every frame in turn, in both directions: before the
// server handles it, and after, so that the answer is lost. Everything arrives
// once and in order.
func TestDisconnectAtEveryFrame(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"received", "sending"} {
		for n := int32(1); n <= 24; n++ {
			t.Run(fmt.Sprintf("%s %d", direction, n), func(t *testing.T) {
				t.Parallel()
				s := servertest.New(t, time.Now)
				var count atomic.Int32
				cut := func() error {
					if count.Add(1) == n {
						return status.Error(codes.Unavailable, "cut")
					}
					return nil
				}
				if direction == "received" {
					s.Received = func(*agentv1.ConnectRequest) error { return cut() }
				} else {
					s.Sending = func(*agentv1.ConnectResponse) error { return cut() }
				}
				h := newHost(t, s)
				h.append(evidence.Bulk, 1, 10)
				h.append(evidence.Control, 101, 104)
				h.start()
				h.drained()
				h.check(evidence.Bulk, sequence(1, 10))
				h.check(evidence.Control, sequence(101, 104))
				if _, forks := s.Reasons(); forks != 0 {
					t.Fatalf("%d forks", forks)
				}
			})
		}
	}
}

// A server that cuts every few frames for ever still gets everything once,
// while the agent is restarted in between.
func TestRestartsAndCuts(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	var count atomic.Int32
	s.Sending = func(*agentv1.ConnectResponse) error {
		if count.Add(1)%7 == 0 {
			return status.Error(codes.Unavailable, "cut")
		}
		return nil
	}
	h := newHost(t, s)
	next := 1
	for range 6 {
		h.append(evidence.Bulk, next, next+14)
		next += 15
		h.start()
		h.until("some acks", func() bool { return h.spools[evidence.Bulk].Head().Committed > 0 })
		h.stop()
		h.closeSpools()
		h.open()
	}
	h.start()
	h.drained()
	h.check(evidence.Bulk, sequence(1, next-1))
}

// A batch lost on the way makes a hole: the server asks, the agent goes back.
func TestResend(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	var batches atomic.Int32
	s.Received = func(r *agentv1.ConnectRequest) error {
		if r.GetBatch() != nil && batches.Add(1)%9 == 4 {
			r.Frame = nil
		}
		return nil
	}
	h := newHost(t, s)
	h.change = impatient
	h.append(evidence.Bulk, 1, 40)
	h.start()
	h.drained()
	h.check(evidence.Bulk, sequence(1, 40))
	if reasons, forks := s.Reasons(); len(reasons) != 1 || forks != 0 {
		t.Fatalf("epochs %v, forks %d", reasons, forks)
	}
}

func TestReplayedAndForeignAcks(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	var acks atomic.Int32
	s.Sending = func(r *agentv1.ConnectResponse) error {
		a := r.GetAck()
		if a == nil {
			return nil
		}
		switch acks.Add(1) {
		case 3: // of a fork
			a.Hash = slices.Repeat([]byte{1}, 32)
		case 6: // of another stream
			a.StreamId = slices.Repeat([]byte{2}, 16)
		case 9: // of an epoch that is over
			a.Epoch = 77
		case 12:
			a.Hash = []byte("short")
		case 15: // of a batch that was never sent
			a.Number += 1000
		}
		return nil
	}
	h := newHost(t, s)
	h.change = impatient
	h.append(evidence.Bulk, 1, 30)
	h.start()
	h.drained()
	h.check(evidence.Bulk, sequence(1, 30))
}

// impatient gives up soon where an answer never comes.
func impatient(c *uplink.Config) { c.AckTimeout = time.Second }

// A slow server closes its window; the agent waits and holds little.
func TestSlowServerAndWindow(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	s.Limits = &agentv1.Limits{WindowBatches: 3, WindowBytes: 1200}
	var inflight, most atomic.Int32
	gate := make(chan struct{}, 1)
	s.Received = func(r *agentv1.ConnectRequest) error {
		if r.GetHello() != nil {
			inflight.Store(0)
		}
		if r.GetBatch() != nil {
			if n := inflight.Add(1); n > most.Load() {
				most.Store(n)
			}
			select {
			case gate <- struct{}{}:
			default:
			}
		}
		return nil
	}
	s.Sending = func(r *agentv1.ConnectResponse) error {
		if r.GetAck() != nil {
			inflight.Add(-1)
		}
		return nil
	}
	h := newHost(t, s)
	paced := 0
	var settled atomic.Int64
	h.change = func(c *uplink.Config) {
		c.Pace = func(_ uint32, n int) <-chan struct{} { paced += n; return nil }
		c.Settled = func(events uint32, took time.Duration) {
			if took < 0 {
				t.Errorf("an acknowledgement came %s before its batch was sent", -took)
			}
			settled.Add(int64(events))
		}
	}
	h.append(evidence.Bulk, 1, 30)
	h.start()
	h.drained()
	h.stop()
	if most.Load() > 3 || paced < 30*150 {
		t.Fatalf("%d batches in flight, %d bytes paced", most.Load(), paced)
	}
	if settled.Load() != 30 {
		t.Errorf("%d events were settled, want 30", settled.Load())
	}
	h.check(evidence.Bulk, sequence(1, 30))
}

func TestDrainReconnects(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	var drained atomic.Bool
	s.Sending = func(r *agentv1.ConnectResponse) error {
		if r.GetAck() != nil && drained.CompareAndSwap(false, true) {
			r.Frame = &agentv1.ConnectResponse_Drain{Drain: &agentv1.Drain{Reason: "upgrade"}}
		}
		return nil
	}
	h := newHost(t, s)
	h.append(evidence.Bulk, 1, 10)
	h.start()
	h.drained()
	h.check(evidence.Bulk, sequence(1, 10))
	if !drained.Load() {
		t.Fatal("never drained")
	}
}

// lines counts log records.
type lines struct {
	slog.Handler
	n *atomic.Int32
}

func (l lines) Handle(context.Context, slog.Record) error { l.n.Add(1); return nil }
func (l lines) Enabled(context.Context, slog.Level) bool  { return true }

func TestUnreachableServerIsSaidOnce(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	h := newHost(t, s)
	var said, tries atomic.Int32
	h.change = func(c *uplink.Config) {
		c.Log = slog.New(lines{slog.DiscardHandler, &said})
		c.Server = "127.0.0.1:1"
		c.Admit = func(context.Context) error { tries.Add(1); return nil }
	}
	h.start()
	h.until("twenty tries", func() bool { return tries.Load() > 20 })
	h.stop()
	if said.Load() != 1 {
		t.Fatalf("%d lines for %d failures", said.Load(), tries.Load())
	}
}
