package agentapi

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

type connectStream = grpc.BidiStreamingServer[agentv1.ConnectRequest, agentv1.ConnectResponse]

const (
	// maxHeads bounds the heads in a Hello and the streams asked for in a
	// CheckpointRequest: an agent has one stream of each kind.
	maxHeads = 16
	// An agent may open so many epochs at once, and one more each minute.
	epochBurst     = 8
	epochPerSecond = 1.0 / 60
	// Likewise cosignatures: it is asked for one each 10 minutes or more.
	cosignatureBurst     = 8
	cosignaturePerSecond = 1.0 / 60
)

// Connect implements AgentService. It receives, in gRPC's own goroutine, and nothing
// else of an idle agent has one: a goroutine is most of what such an agent costs.
// Sending has one while there is something to send, an orderly end while it lasts,
// and each frame while it is handled, for the sake of its stack (see apart).
func (s *Server) Connect(stream connectStream) error {
	sess, err := s.newSession(stream)
	if err != nil {
		return err
	}
	defer sess.close()
	if err = sess.receive(stream); errors.Is(err, io.EOF) {
		sess.finish(false) // the agent has said all, and waits for its acks
		err = nil
	}
	return ended(sess.ctx, err)
}

func (s *Server) newSession(stream connectStream) (*session, error) {
	transport, ok := grpc.ServerTransportStreamFromContext(stream.Context()).(transportStream)
	if !ok {
		return nil, assay.Errorf(assay.Internal, "this release of gRPC has no streams that can be ended while they are received from")
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	sess := &session{
		server: s, caller: callerOf(ctx), ctx: ctx, cancel: cancel, transport: transport, drain: make(chan struct{}),
		slots: make(chan struct{}, s.cfg.Limits.WindowBatches), whole: make(chan struct{}, 1), tails: map[assay.StreamID]*tail{},
		epochs: bucket{tokens: epochBurst, at: s.cfg.Now()}, cosignatures: bucket{tokens: cosignatureBurst, at: s.cfg.Now()},
	}
	sess.out = newOutbox(sess.goroutine, stream.Send, cancel)
	return sess, nil
}

func (s *session) close() {
	s.server.forget(s)
	s.out.close() // from here on what is pushed starts no goroutine
	s.cancel(nil)
}

// transportStream is gRPC's stream below its handler.
type transportStream interface {
	// WriteStatus ends the stream, if it has not ended: what is being received and
	// sent by it fails, and the client gets the status.
	WriteStatus(st *status.Status) error
}

// errDrained is why a stream ended that the server has ended in order.
var errDrained = errors.New("the stream was drained")

// end ends the stream at once with what an agent may see of cause, which is an
// assay.Error or errDrained. The first cause counts.
func (s *session) end(cause error) {
	s.cancel(cause)
	answer := status.New(codes.OK, "")
	if err := ended(s.ctx, nil); err != nil {
		answer = shown(err)
	}
	// Receiving looks at no context of ours. If the status cannot be written the
	// connection is gone, and receiving has failed.
	_ = s.transport.WriteStatus(answer)
}

// ended prefers the reason for which we ended the stream to its consequences.
func ended(ctx context.Context, err error) error {
	var ours *assay.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errDrained):
		return nil
	case errors.As(cause, &ours):
		return cause
	}
	return err
}

// finish lets what is under way be settled and sent. When it is the server that
// ends the stream it asks the agent to come back, all of them spread over a while.
func (s *session) finish(drain bool) {
	late, cancel := context.WithTimeout(s.ctx, s.server.cfg.DrainWait)
	defer cancel()
	_ = s.acquireAll(late) // fails only when the session ends or it is late: then what there is, is sent
	if drain {
		s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Drain{
			Drain: &agentv1.Drain{ReconnectAfterSeconds: uint32(1 + int(s.caller.agent.ID[0])*30/256), Reason: "the server is stopping"}}})
	}
	s.out.close()
	select {
	case <-s.out.sent:
	case <-late.Done():
	}
}

func (s *session) receive(stream connectStream) error {
	if err := s.hello(stream); err != nil {
		return err
	}
	for {
		frame, err := stream.Recv()
		if err != nil {
			return err
		}
		if s.draining() {
			continue // what comes now is sent again to whoever is next
		}
		if err := apart(func() error { return s.handle(frame) }); err != nil {
			return err
		}
		for s.out.full() {
			select {
			case <-s.out.room:
			case <-s.ctx.Done():
				return context.Cause(s.ctx)
			}
		}
	}
}

func (s *session) handle(frame *agentv1.ConnectRequest) error {
	switch f := frame.GetFrame().(type) {
	case *agentv1.ConnectRequest_Batch:
		return s.batch(f.Batch)
	case *agentv1.ConnectRequest_OpenEpoch:
		return s.openEpoch(f.OpenEpoch)
	case *agentv1.ConnectRequest_CheckpointRequest:
		return s.checkpoint(f.CheckpointRequest)
	case *agentv1.ConnectRequest_Cosignature:
		return s.cosignature(f.Cosignature)
	case *agentv1.ConnectRequest_Hello:
		return assay.Errorf(assay.Invalid, "Hello came twice")
	}
	return assay.Errorf(assay.Invalid, "the frame is not one that this server knows")
}

// hello receives Hello and answers with Welcome.
func (s *session) hello(stream connectStream) error {
	// The wait for a first frame is bounded by ending the stream.
	late := time.AfterFunc(s.server.cfg.ArrivalWait, func() { s.end(assay.Errorf(assay.Invalid, "no Hello came")) })
	frame, err := stream.Recv()
	late.Stop()
	receivedAt := s.server.cfg.Now()
	if err != nil {
		return err
	}
	hello := frame.GetHello()
	switch {
	case hello == nil:
		return assay.Errorf(assay.Invalid, "the first frame must be Hello")
	case hello.GetFormat() < evidence.Format:
		return assay.Errorf(assay.Invalid, "evidence format %d is older than this server takes: upgrade the agent", hello.GetFormat())
	case len(hello.GetHeads()) > maxHeads:
		return assay.Errorf(assay.Invalid, "Hello has %d heads, at most %d", len(hello.GetHeads()), maxHeads)
	case len(hello.GetCheckpoint()) > maxNote:
		return assay.Errorf(assay.Invalid, "Hello has a checkpoint of %d bytes, at most %d", len(hello.GetCheckpoint()), maxNote)
	}
	if err := assay.CheckText("agent version", hello.GetAgentVersion(), 64); err != nil {
		return err
	}
	s.version = hello.GetAgentVersion()
	// Whatever stream of this agent was open before is ended first, so that what
	// it had under way cannot move the heads that are read next by much; what
	// still does is met by the writer's fence.
	s.server.remember(s)
	var heads []assay.Head
	err = s.server.arriving(s.ctx, func() (err error) {
		if err := s.remembered(hello.GetCheckpoint()); err != nil {
			return err
		}
		heads, err = s.server.cfg.Store.Heads(s.ctx, s.caller.agent.ID)
		return err
	})
	if err != nil {
		return err
	}
	welcome := &agentv1.Welcome{Limits: s.server.cfg.Limits.message(), ReceivedAt: evidence.Ticks(receivedAt),
		SafeAfterSeconds: uint32(s.server.cfg.SafeAfter / time.Second)}
	if s.server.cfg.CommitIsSafe {
		welcome.SafeAfterSeconds = 0
	}
	for i := range heads {
		s.setHead(heads[i])
		welcome.Heads = append(welcome.Heads, headMessage(&heads[i]))
	}
	welcome.SentAt = evidence.Ticks(s.server.cfg.Now())
	s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Welcome{Welcome: welcome}})
	return nil
}

func (s *session) batch(sent *agentv1.Batch) error {
	received := s.server.cfg.Now()
	b, reason, err := s.server.cfg.Limits.check(sent, s.caller)
	if err != nil {
		s.server.metrics.refused(reason)
		return err
	}
	switch p, round := s.judge(&b.Header, b.Hash); p {
	case drop:
		return nil
	case unknown:
		s.server.metrics.refused("unknown_stream")
		return assay.Errorf(assay.Conflict, "batch %d: the stream is not known: open an epoch", b.Header.Number)
	case enqueue:
		return s.enqueue(&item{batch: b, session: s, round: round, received: received, size: b.Size()})
	}
	return nil
}

// enqueue hands an item to its writer once there is room in the window, in the
// server's memory and in the queue. Until then nothing is received.
func (s *session) enqueue(it *item) error {
	if err := s.acquire(s.ctx); err != nil {
		return err
	}
	if err := s.server.memory.Acquire(s.ctx, it.size); err != nil {
		s.release()
		return err
	}
	s.server.metrics.queued.Add(float64(it.size))
	w := s.server.writerOf(it.batch.Header.Stream)
	select {
	case w.queue <- it:
		return nil
	case <-s.ctx.Done():
		w.done(it)
		return context.Cause(s.ctx)
	}
}

// openEpoch waits until nothing of this agent is under way, so that the new
// epoch's predecessor is the head that the agent will be told.
func (s *session) openEpoch(req *agentv1.OpenEpoch) error {
	if !s.epochs.take(s.server.cfg.Now(), epochBurst, epochPerSecond) {
		s.server.metrics.refused("rate")
		return assay.Errorf(assay.Limited, "too many epochs: try again later")
	}
	if err := s.acquireAll(s.ctx); err != nil {
		return err
	}
	defer s.releaseAll()
	head, opening, err := s.server.cfg.Store.OpenEpoch(s.ctx, assay.EpochRequest{
		Agent: s.caller.agent.ID, Kind: streamKind(req.GetKind()), Reason: req.GetReason(),
		BootID: req.GetBootId(), VMGenerationID: req.GetVmGenerationId(), TPMResetCount: req.GetTpmResetCount(),
		LostFrom: req.GetLostFrom(), LostTo: req.GetLostTo(),
	})
	if err != nil {
		return err
	}
	s.setHead(head)
	s.server.cfg.Log.InfoContext(s.ctx, "epoch opened", "agent_id", s.caller.agent.ID.String(), "stream_id", head.Stream.String(),
		"kind", head.Kind.String(), "epoch", head.Epoch)
	s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_EpochOpened{
		EpochOpened: &agentv1.EpochOpened{Head: headMessage(&head), Opening: opening}}})
	return nil
}

// streamKind is 0, which is no kind, for what is not one.
func streamKind(kind agentv1.StreamKind) evidence.StreamKind {
	if kind < 0 || kind > agentv1.StreamKind_STREAM_KIND_IMPORT {
		return 0
	}
	return evidence.StreamKind(kind)
}
