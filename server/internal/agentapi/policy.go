package agentapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
)

// requirement is what a method asks of its caller.
type requirement uint8

const (
	denied     requirement = iota // the zero value: a method that is not named below
	addressed                     // anyone, within the limits of their address
	identified                    // an enrolled agent that is not revoked
)

// requirements is what every method asks. A method that is not here is refused.
func requirements(method string) requirement {
	switch method {
	case agentv1.EnrolmentService_Enrol_FullMethodName, agentv1.EnrolmentService_Renew_FullMethodName:
		return addressed
	case agentv1.AgentService_Connect_FullMethodName:
		return identified
	}
	return denied
}

// caller is who calls: an agent where the method asks for one.
type caller struct {
	address             netip.Addr
	agent               assay.Agent
	serial              []byte
	key                 *ecdsa.PublicKey
	notBefore, notAfter time.Time
}

type callerKey struct{}

func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// admit decides on a call before its handler is reached.
func (s *Server) admit(ctx context.Context, method string) (context.Context, error) {
	c := &caller{address: addressOf(ctx)}
	var err error
	switch requirements(method) {
	case addressed:
		if !s.addresses.allow(neighbourhood(c.address), s.cfg.Now()) {
			s.metrics.refused("rate")
			err = assay.Errorf(assay.Limited, "too many requests from this address: try again later")
		}
	case identified:
		err = s.identify(ctx, c)
	case denied:
		err = assay.Errorf(assay.Denied, "the method is not open to anyone")
	}
	if err != nil {
		return nil, s.status(ctx, "admission", err)
	}
	return context.WithValue(ctx, callerKey{}, c), nil
}

// identify reads the caller's identity off the chain that TLS has verified, and
// nothing else.
func (s *Server) identify(ctx context.Context, c *caller) error {
	leaf := verifiedLeaf(ctx)
	if leaf == nil {
		return assay.Errorf(assay.Unauthentic, "an agent's certificate is needed")
	}
	id, err := ca.AgentOf(leaf)
	if err != nil {
		return err
	}
	// Limited by the certificate's word, before the database is asked.
	if !s.agents.allow(id, s.cfg.Now()) {
		s.metrics.refused("rate")
		return assay.Errorf(assay.Limited, "too many streams of this agent: try again later")
	}
	c.serial, c.notBefore, c.notAfter = ca.SerialBytes(leaf.SerialNumber), leaf.NotBefore, leaf.NotAfter
	err = s.arriving(ctx, func() (err error) {
		c.agent, err = s.cfg.Store.AgentByCertificate(ctx, c.serial, leaf.Raw)
		return err
	})
	if err != nil {
		return err
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || c.agent.ID != id {
		return assay.Errorf(assay.Unauthentic, "the certificate is not this agent's")
	}
	c.key = key
	if c.agent.Revoked() {
		s.metrics.refused("revoked")
		return assay.Errorf(assay.Denied, "the agent is revoked")
	}
	return nil
}

func verifiedLeaf(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

// addressOf is the peer's address, unmapped; the zero Addr where it has none.
func addressOf(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(p.Addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := s.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	res, err := handler(ctx, req)
	if err != nil {
		return nil, s.status(ctx, "call", err)
	}
	return res, nil
}

// admitted is a stream whose context knows the caller.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a *admitted) Context() context.Context { return a.ctx }

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := s.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	if err := handler(srv, &admitted{stream, ctx}); err != nil {
		return s.status(ctx, "stream", err)
	}
	return nil
}

// codeOf is the one table from our kinds of error to gRPC's.
func codeOf(kind assay.Kind) codes.Code {
	switch kind {
	case assay.Invalid:
		return codes.InvalidArgument
	case assay.NotFound:
		return codes.NotFound
	case assay.Conflict:
		return codes.FailedPrecondition
	case assay.Unauthentic:
		return codes.Unauthenticated
	case assay.Denied:
		return codes.PermissionDenied
	case assay.Limited:
		return codes.ResourceExhausted
	case assay.Unavailable:
		return codes.Unavailable
	case assay.Internal:
	}
	return codes.Internal
}

// status makes what the caller sees of err and logs what it does not. step is
// what ended with err: admission, call or stream.
func (s *Server) status(ctx context.Context, step string, err error) error {
	return statusOf(ctx, s.cfg.Log, step, err)
}

func statusOf(ctx context.Context, log *slog.Logger, step string, err error) error {
	if _, ok := status.FromError(err); ok {
		return err // gRPC's own: the connection ended
	}
	var ours *assay.Error
	if !errors.As(err, &ours) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return status.FromContextError(err).Err()
	}
	kind := assay.KindOf(err)
	attrs := []any{"step", step, "error", assay.Cause(err).Error(), "kind", kind.String(), "address", addressOf(ctx).String()}
	if c := callerOf(ctx); c != nil && c.agent.ID != (assay.AgentID{}) {
		attrs = append(attrs, "agent_id", c.agent.ID.String())
	}
	switch kind {
	case assay.Internal:
		log.ErrorContext(ctx, "agent not served", attrs...)
	case assay.Invalid, assay.NotFound, assay.Conflict, assay.Unauthentic, assay.Denied, assay.Limited, assay.Unavailable:
		log.WarnContext(ctx, "agent not served", attrs...)
	}
	return shown(err).Err()
}

// shown is what the caller sees of an error.
func shown(err error) *status.Status {
	return status.New(codeOf(assay.KindOf(err)), assay.Message(err))
}
