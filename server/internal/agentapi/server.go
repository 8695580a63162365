package agentapi

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// DefaultSafeAfter is the stated retention where no standby confirms a commit:
// the backups of the database must be younger.
const DefaultSafeAfter = 24 * time.Hour

// Config is what a Server needs. What has a default may be zero.
type Config struct {
	Store     *postgres.Store
	Authority *ca.Authority
	// Certificate is the server's own.
	Certificate *ca.Server
	Prover      *ledger.Prover
	Registry    prometheus.Registerer
	Log         *slog.Logger
	Now         func() time.Time

	Limits Limits
	// SafeAfter is how long after its commit a batch survives a restored
	// database; 0: DefaultSafeAfter.
	SafeAfter time.Duration
	// CommitIsSafe: a commit waits for a synchronous standby, so that what is
	// committed is safe at once and SafeAfter is not used.
	CommitIsSafe bool
	// Writers is the number of write transactions at a time; 0: 2.
	Writers int
	// QueueBytes bounds what is received and not settled, of all agents; 0: 64 MiB.
	QueueBytes int64
	// Linger is how long a busy writer waits for more; 0: 5 ms.
	Linger time.Duration
	// RevocationPoll is how often open streams are checked; 0: 5 s.
	RevocationPoll time.Duration
	// DrainWait bounds an orderly end; 0: 10 s.
	DrainWait time.Duration
	// ArrivalWait is how long a caller may take to shake hands, and then to send all
	// of a call's request, or of a stream's Hello; 0: 20 s.
	ArrivalWait time.Duration
	// IdleWait is how long a connection may be open without a call or stream; 0:
	// a minute.
	IdleWait time.Duration
	// SilentWait is after how long a peer that sends nothing at all is asked for a
	// sign of life, which has ArrivalWait to come; 0: 2 minutes.
	SilentWait time.Duration
	// AddressBurst is how many enrolments and renewals an address may make at
	// once; it may make AddressPerMinute more each minute. 0: 60 and 60.
	AddressBurst, AddressPerMinute int
	// AgentBurst is how many streams an agent may open one after the other; it
	// may open AgentPerMinute more each minute. 0: 60 and 60.
	AgentBurst, AgentPerMinute int
	// Arrivals is how many streams may ask the database who they are and where they
	// stand at a time; the others wait. A fleet that comes back as one, after a
	// restart, then takes no connection from those who are being served. 0: 8.
	Arrivals int
}

// Server is the agents' API.
type Server struct {
	agentv1.UnimplementedAgentServiceServer
	agentv1.UnimplementedEnrolmentServiceServer

	cfg       Config
	metrics   *metrics
	addresses *limiter[netip.Addr]
	agents    *limiter[assay.AgentID]
	// memory counts the bytes of all batches that are received and not settled.
	memory *semaphore.Weighted
	// held compares what agents have verified before with the ledger.
	held ledger.Held
	// arrivals bounds what streams ask of the database before they are open.
	arrivals *semaphore.Weighted
	writers  []*writer
	// goroutines are those of streams; they end after the streams do.
	goroutines sync.WaitGroup

	mu       sync.Mutex
	sessions map[assay.AgentID]*session // under mu
	draining bool                       // under mu
}

// New returns a server that Run starts. Its metrics are registered once.
func New(cfg Config) (*Server, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.SafeAfter = cmp.Or(cfg.SafeAfter, DefaultSafeAfter)
	cfg.Writers = cmp.Or(cfg.Writers, 2)
	cfg.QueueBytes = cmp.Or(cfg.QueueBytes, 64<<20)
	cfg.Linger = cmp.Or(cfg.Linger, 5*time.Millisecond)
	cfg.RevocationPoll = cmp.Or(cfg.RevocationPoll, 5*time.Second)
	cfg.DrainWait = cmp.Or(cfg.DrainWait, 10*time.Second)
	cfg.ArrivalWait = cmp.Or(cfg.ArrivalWait, usualWaits().arrival)
	cfg.IdleWait = cmp.Or(cfg.IdleWait, usualWaits().idle)
	cfg.SilentWait = cmp.Or(cfg.SilentWait, usualWaits().silent)
	cfg.AddressBurst = cmp.Or(cfg.AddressBurst, 60)
	cfg.AddressPerMinute = cmp.Or(cfg.AddressPerMinute, 60)
	cfg.AgentBurst = cmp.Or(cfg.AgentBurst, 60)
	cfg.AgentPerMinute = cmp.Or(cfg.AgentPerMinute, 60)
	cfg.Arrivals = cmp.Or(cfg.Arrivals, 8)
	if minimum := int64(cfg.Limits.MaxPayload) * 4; cfg.QueueBytes < minimum {
		return nil, fmt.Errorf("creating agent server: a queue of %d bytes, at least %d", cfg.QueueBytes, minimum)
	}
	m, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	s := &Server{
		cfg: cfg, metrics: m, addresses: newLimiter[netip.Addr](cfg.AddressBurst, cfg.AddressPerMinute),
		agents:   newLimiter[assay.AgentID](cfg.AgentBurst, cfg.AgentPerMinute),
		memory:   semaphore.NewWeighted(cfg.QueueBytes),
		arrivals: semaphore.NewWeighted(int64(cfg.Arrivals)),
		held:     ledger.Held{Store: cfg.Store, Keys: cfg.Authority},
		sessions: map[assay.AgentID]*session{},
	}
	for range cfg.Writers {
		s.writers = append(s.writers, &writer{server: s, queue: make(chan *item, maxCommitBatches)})
	}
	return s, nil
}

// writerOf gives all batches of a stream to one writer, so that they keep their order.
func (s *Server) writerOf(stream [16]byte) *writer {
	return s.writers[int(stream[0])%len(s.writers)]
}

// Run serves agents on listener until ctx ends, then lets what is under way be
// committed and acknowledged, and returns. It closes the listener.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	server := s.newGRPC()
	// The writers outlive ctx: they end when the streams have.
	lasting := context.WithoutCancel(ctx)
	var writers sync.WaitGroup
	for _, w := range s.writers {
		writers.Go(func() { w.run(lasting) })
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		s.watch(running)
		return nil
	})
	group.Go(func() error {
		if err := server.Serve(listener); err != nil {
			return fmt.Errorf("serving agents: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-running.Done()
		s.stop(server)
		return nil
	})
	err := group.Wait()
	s.goroutines.Wait()
	for _, w := range s.writers {
		close(w.queue)
	}
	writers.Wait()
	return err
}

// stop ends all streams in order, and those that do not heed it without.
func (s *Server) stop(server *grpc.Server) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, sess := range s.open() {
		sess.startDrain()
	}
	stopped := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		server.GracefulStop()
		close(stopped)
	})
	late := time.NewTimer(s.cfg.DrainWait + time.Second)
	defer late.Stop()
	select {
	case <-stopped:
	case <-late.C:
		server.Stop()
	}
	wait.Wait()
}

const (
	kib = 1 << 10
	// maxMessage is above what any frame within the limits has.
	maxMessage = 256 * kib
)

func (s *Server) newGRPC() *grpc.Server {
	wait := waits{arrival: s.cfg.ArrivalWait, idle: s.cfg.IdleWait, silent: s.cfg.SilentWait}
	server := newGRPC(s.cfg.Certificate, wait, max(maxMessage, int(s.cfg.Limits.MaxPayload)+4*kib),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream))
	agentv1.RegisterAgentServiceServer(server, s)
	agentv1.RegisterEnrolmentServiceServer(server, s)
	return server
}

// newGRPC returns a server for agents, whose messages have at most so many bytes.
func newGRPC(certificate *ca.Server, wait waits, messageBytes int, more ...grpc.ServerOption) *grpc.Server {
	// The standard pool gives every message over 32 KiB a buffer of 1 MiB.
	pool := mem.NewTieredBufferPool(256, 4*kib, 16*kib, 32*kib, 64*kib, 128*kib, 256*kib, 1024*kib)
	// TLS holds a record of what was read already: a buffer over it is 4 KiB an agent for nothing.
	return grpc.NewServer(append(more,
		grpc.Creds(credentials.NewTLS(certificate.TLS())),
		grpc.MaxRecvMsgSize(messageBytes), grpc.MaxHeaderListSize(16*kib),
		grpc.MaxConcurrentStreams(8), grpc.WaitForHandlers(true), grpc.ConnectionTimeout(wait.arrival), grpc.InTapHandle(wait.arrive),
		grpc.ReadBufferSize(0), grpc.WriteBufferSize(4*kib), experimental.BufferPool(pool),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: wait.idle, Time: wait.silent, Timeout: wait.arrival}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}),
	)...)
}

// arriving has one of the places in which the database may be asked on behalf of a
// stream that is not open yet.
func (s *Server) arriving(ctx context.Context, ask func() error) error {
	if err := s.arrivals.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.arrivals.Release(1)
	return apart(ask)
}

// apart runs f on a goroutine of its own and waits for it. An agent's goroutine waits
// for frames below some 4 KiB of gRPC's calls, and a stack is made smaller only when
// three quarters of it are unused: one that was 16 KiB once, because it went on to ask
// the database or to check a signature, would be so for good.
func apart(f func() error) (err error) {
	var wait sync.WaitGroup
	wait.Go(func() { err = f() })
	wait.Wait()
	return err
}
