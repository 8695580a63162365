package agentapi

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// maxNote bounds a checkpoint that an agent shows, in bytes.
const maxNote = 64 << 10

// remembered compares the checkpoint that the agent has verified before with the
// ledger. One that the ledger does not have is kept: from then on the tree does not
// grow, lest other leaves be signed at positions that were signed before.
func (s *session) remembered(signed []byte) error {
	if len(signed) == 0 {
		return nil
	}
	c, standing, err := s.server.held.Examine(s.ctx, signed)
	if err != nil || standing != ledger.Missing {
		return err
	}
	agent := s.caller.agent.ID
	first, err := s.server.cfg.Store.KeepHeld(s.ctx, &postgres.HeldCheckpoint{
		Tree: postgres.Tree{Size: c.Size, Root: c.Root}, Note: signed, Holder: "agent " + agent.String(), Agent: agent})
	if err != nil {
		return err
	}
	s.server.metrics.missing.Inc()
	if first {
		s.server.cfg.Log.ErrorContext(s.ctx, "an agent holds a checkpoint that this ledger does not have: the database was restored from an older backup. The ledger grows no more until all servers are stopped and assay-server recover is run",
			"agent_id", agent.String(), "size", c.Size)
	}
	return nil
}

// CollectorConfig is what a Collector needs.
type CollectorConfig struct {
	Certificate *ca.Server
	Log         *slog.Logger
	// Shown is told what each agent shows; many may at once. Its error is told to the
	// operator alone.
	Shown func(ctx context.Context, s Showing) error
}

// Showing is what an agent says of itself as it connects.
type Showing struct {
	// Agent is by the word of its certificate: a restored database need not know it.
	Agent   assay.AgentID
	Address string
	// Checkpoint is the newest that it has verified, signed; empty: none.
	Checkpoint []byte
}

// Collector listens to what agents hold of a ledger that is being recovered. It
// takes nothing else from them: they are asked to come back.
type Collector struct {
	agentv1.UnimplementedAgentServiceServer
	agentv1.UnimplementedEnrolmentServiceServer
	cfg CollectorConfig
}

// NewCollector returns one that Run starts.
func NewCollector(cfg CollectorConfig) *Collector { return &Collector{cfg: cfg} }

// collectDrain bounds how long an orderly end waits for agents.
const collectDrain = 5 * time.Second

// Run listens until ctx ends. It closes the listener.
func (c *Collector) Run(ctx context.Context, listener net.Listener) error {
	server := newGRPC(c.cfg.Certificate, maxMessage)
	agentv1.RegisterAgentServiceServer(server, c)
	agentv1.RegisterEnrolmentServiceServer(server, c)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); err != nil {
			return fmt.Errorf("listening to agents: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-running.Done()
		late := time.AfterFunc(collectDrain, server.Stop)
		defer late.Stop()
		server.GracefulStop()
		return nil
	})
	return group.Wait()
}

// Connect implements AgentService.
func (c *Collector) Connect(stream connectStream) error {
	ctx := stream.Context()
	leaf := verifiedLeaf(ctx)
	if leaf == nil {
		return c.refuse(ctx, assay.Errorf(assay.Unauthentic, "an agent's certificate is needed"))
	}
	id, err := ca.AgentOf(leaf)
	if err != nil {
		return c.refuse(ctx, err)
	}
	hello, err := firstHello(ctx, stream)
	if err != nil {
		return c.refuse(ctx, err)
	}
	if err := c.cfg.Shown(ctx, Showing{Agent: id, Address: addressOf(ctx).String(), Checkpoint: hello.GetCheckpoint()}); err != nil {
		c.cfg.Log.ErrorContext(ctx, "what an agent holds was not kept", "agent_id", id.String(), "error", assay.Cause(err).Error())
	}
	// Soon, and not all at once: the servers are to be back by then.
	return stream.Send(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Drain{
		Drain: &agentv1.Drain{ReconnectAfterSeconds: uint32(15 + int(id[0])*30/256), Reason: "the server is being recovered from a backup"}}})
}

// Enrol implements EnrolmentService: not now.
func (c *Collector) Enrol(ctx context.Context, _ *agentv1.EnrolRequest) (*agentv1.EnrolResponse, error) {
	return nil, c.refuse(ctx, errRecovering)
}

// Renew implements EnrolmentService: not now.
func (c *Collector) Renew(ctx context.Context, _ *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	return nil, c.refuse(ctx, errRecovering)
}

var errRecovering = assay.Errorf(assay.Unavailable, "the server is being recovered from a backup: try again later")

// firstHello waits for Hello, not for ever. Receiving ends with the stream.
func firstHello(ctx context.Context, stream connectStream) (*agentv1.Hello, error) {
	received, failed := make(chan *agentv1.ConnectRequest, 1), make(chan error, 1)
	go func() {
		frame, err := stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		received <- frame
	}()
	late := time.NewTimer(helloTimeout)
	defer late.Stop()
	select {
	case frame := <-received:
		hello := frame.GetHello()
		if hello == nil || hello.GetFormat() < evidence.Format || len(hello.GetCheckpoint()) > maxNote {
			return nil, assay.Errorf(assay.Invalid, "the first frame must be Hello, with a checkpoint of at most %d bytes", maxNote)
		}
		return hello, nil
	case err := <-failed:
		return nil, err
	case <-late.C:
		return nil, assay.Errorf(assay.Invalid, "no Hello came")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Collector) refuse(ctx context.Context, err error) error {
	return statusOf(ctx, c.cfg.Log, "recovery", err)
}
