package agentapi_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// clock is the real time plus what a test adds.
type clock struct {
	mu    sync.Mutex
	added time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.added)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added += d
}

// harness is a running server on a database of its own.
type harness struct {
	pool      *pgxpool.Pool
	store     *postgres.Store
	authority *ca.Authority
	clock     *clock
	registry  *prometheus.Registry
	address   string
	listen    func(net.Listener) net.Listener // nil: as it is
	stop      context.CancelFunc
	done      chan error
}

func start(t *testing.T, change ...func(*agentapi.Config)) *harness {
	t.Helper()
	h := newHarness(t, pgtest.Pool(t))
	h.serve(t, change...)
	return h
}

func newHarness(t *testing.T, pool *pgxpool.Pool) *harness {
	t.Helper()
	h := &harness{pool: pool, clock: &clock{}}
	h.store = postgres.New(postgres.Config{DB: h.pool, Now: h.clock.now})
	h.authority = evidencetest.Authority(t, h.clock.now)
	return h
}

// serve starts a server; stopServer, or the end of the test, stops it.
func (h *harness) serve(t *testing.T, change ...func(*agentapi.Config)) {
	t.Helper()
	certificate, err := h.authority.NewServer([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	h.registry = prometheus.NewRegistry()
	cfg := agentapi.Config{
		Store: h.store, Authority: h.authority, Certificate: certificate, Prover: &ledger.Prover{Store: h.store},
		Registry: h.registry, Log: slog.New(slog.DiscardHandler), Now: h.clock.now, RevocationPoll: 20 * time.Millisecond,
	}
	for _, c := range change {
		c(&cfg)
	}
	server, err := agentapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	if h.listen != nil {
		listener = h.listen(listener)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h.stop, h.done = stop, done
	go func() { done <- server.Run(ctx, listener) }()
	t.Cleanup(func() { h.stopServer(t) })
}

func (h *harness) stopServer(t *testing.T) {
	t.Helper()
	if h.done == nil {
		return
	}
	h.stop()
	if err := <-h.done; err != nil {
		t.Error(err)
	}
	h.done = nil
}

// dial connects as the agent, or as nobody.
func (h *harness) dial(t *testing.T, agent *evidencetest.Agent) *grpc.ClientConn {
	t.Helper()
	root, err := x509.ParseCertificate(h.authority.Chain()[1])
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13, Time: h.clock.now}
	config.RootCAs.AddCert(root)
	if agent != nil {
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{agent.Certificate.DER}, PrivateKey: agent.Key}}
	}
	conn, err := grpc.NewClient(h.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// client is an agent's open stream.
type client struct {
	grpc.BidiStreamingClient[agentv1.ConnectRequest, agentv1.ConnectResponse]
	agent   *evidencetest.Agent
	welcome *agentv1.Welcome
	close   func()
}

func (h *harness) enrol(t *testing.T, rights ...assay.Right) *evidencetest.Agent {
	t.Helper()
	return evidencetest.Enrol(t, h.store, h.authority, h.clock.now(), rights...)
}

// connect opens the agent's stream as far as Welcome.
func (h *harness) connect(t *testing.T, agent *evidencetest.Agent) *client {
	t.Helper()
	c, err := h.tryConnect(t, agent)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (h *harness) tryConnect(t *testing.T, agent *evidencetest.Agent) (*client, error) {
	t.Helper()
	conn := h.dial(t, agent)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	stream, err := agentv1.NewAgentServiceClient(conn).Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &client{BidiStreamingClient: stream, agent: agent, close: func() { cancel(); conn.Close() }}
	c.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{
		Hello: &agentv1.Hello{Format: evidence.Format, AgentVersion: "1.2.3", SentAt: evidence.Ticks(h.clock.now())}}})
	frame, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if c.welcome = frame.GetWelcome(); c.welcome == nil {
		t.Fatalf("instead of Welcome came %v", frame)
	}
	return c, nil
}

// send ignores the end of the stream: Recv tells why it ended.
func (c *client) send(t *testing.T, frame *agentv1.ConnectRequest) {
	t.Helper()
	_ = c.Send(frame)
}

func (c *client) sendBatches(t *testing.T, batches ...*assay.Batch) {
	t.Helper()
	for _, b := range batches {
		c.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{Batch: wire(b)}})
	}
}

func wire(b *assay.Batch) *agentv1.Batch {
	return &agentv1.Batch{Header: b.HeaderBytes, Payload: b.Payload, HeadSignature: b.HeadSignature}
}

func (c *client) recv(t *testing.T) *agentv1.ConnectResponse {
	t.Helper()
	frame, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// acked receives acks until one is of number.
func (c *client) acked(t *testing.T, number uint64) *agentv1.Ack {
	t.Helper()
	for {
		frame := c.recv(t)
		ack := frame.GetAck()
		if ack == nil {
			t.Fatalf("instead of an ack of %d came %v", number, frame)
		}
		if ack.GetNumber() == number {
			return ack
		}
	}
}

// open opens an epoch and returns its chain.
func (c *client) open(t *testing.T, kind evidence.StreamKind, reason string) *evidencetest.Chain {
	t.Helper()
	c.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_OpenEpoch{
		OpenEpoch: &agentv1.OpenEpoch{Kind: agentv1.StreamKind(kind), Reason: reason, BootId: "boot"}}})
	frame := c.recv(t)
	opened := frame.GetEpochOpened()
	if opened == nil {
		t.Fatalf("instead of EpochOpened came %v", frame)
	}
	if hash := evidence.HashOpening(opened.GetOpening()); string(hash[:]) != string(opened.GetHead().GetHash()) {
		t.Fatal("the head's hash is not the opening's")
	}
	return &evidencetest.Chain{Agent: c.agent, Head: headOf(t, opened.GetHead())}
}

func headOf(t *testing.T, h *agentv1.Head) assay.Head {
	t.Helper()
	head := assay.Head{Kind: evidence.StreamKind(h.GetKind()), Epoch: h.GetEpoch(), Number: h.GetNumber(), NextSequence: h.GetNextSequence()}
	if len(h.GetStreamId()) != 16 || len(h.GetHash()) != 32 {
		t.Fatalf("head %v", h)
	}
	copy(head.Stream[:], h.GetStreamId())
	copy(head.Hash[:], h.GetHash())
	return head
}

// ends receives until the stream ends, and wants that code. It returns the number of
// the last ack; 0: none came.
func (c *client) ends(t *testing.T, want codes.Code) (acked uint64) {
	t.Helper()
	for {
		frame, err := c.Recv()
		if ack := frame.GetAck(); ack != nil {
			acked = ack.GetNumber()
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if got := status.Code(err); got != want {
				t.Errorf("the stream ended with %s (%v), want %s", got, err, want)
			}
			return acked
		}
	}
}

func (h *harness) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := h.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
