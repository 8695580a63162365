package agentapi

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

type connectStream = grpc.BidiStreamingServer[agentv1.ConnectRequest, agentv1.ConnectResponse]

const (
	// maxHeads bounds the heads in a Hello and the streams asked for in a
	// CheckpointRequest: an agent has one stream of each kind.
	maxHeads = 16
	// helloTimeout bounds how long a stream may be open without a Hello.
	helloTimeout = 20 * time.Second
	// An agent may open so many epochs at once, and one more each minute.
	epochBurst     = 8
	epochPerSecond = 1.0 / 60
	// Likewise cosignatures: it is asked for one each 10 minutes or more.
	cosignatureBurst     = 8
	cosignaturePerSecond = 1.0 / 60
)

// Connect implements AgentService. Receiving and sending block without regard
// for our context, so both have goroutines that end when this returns: receiving
// one for good, sending one while there is something to send, for idle agents are
// many and a goroutine is most of what one costs.
func (s *Server) Connect(stream connectStream) error {
	ctx, end := context.WithCancelCause(stream.Context())
	defer end(nil)
	sess := &session{
		server: s, caller: callerOf(stream.Context()), out: newOutbox(), ctx: ctx, end: end, drain: make(chan struct{}),
		slots: make(chan struct{}, s.cfg.Limits.WindowBatches), whole: make(chan struct{}, 1), tails: map[assay.StreamID]*tail{},
		epochs: bucket{tokens: epochBurst, at: s.cfg.Now()}, cosignatures: bucket{tokens: cosignatureBurst, at: s.cfg.Now()},
	}
	received, out := make(chan error, 1), &sender{session: sess, stream: stream, ended: make(chan error, 1)}
	s.goroutines.Go(func() { received <- sess.receive(stream) })
	defer s.forget(sess)
	for {
		select {
		case err := <-received:
			if errors.Is(err, io.EOF) {
				return sess.finish(out, false) // the agent has said all, and waits for its acks
			}
			return ended(ctx, err)
		case <-sess.out.ready:
			out.start()
		case err := <-out.ended:
			if err != nil {
				return ended(ctx, err)
			}
			out.rest()
		case <-ctx.Done():
			return ended(ctx, nil)
		case <-sess.drain:
			return sess.finish(out, true)
		}
	}
}

// ended prefers the reason for which we ended the stream to its consequences.
func ended(ctx context.Context, err error) error {
	var ours *assay.Error
	if cause := context.Cause(ctx); errors.As(cause, &ours) {
		return cause
	}
	return err
}

// finish lets what is under way be settled and sent. When it is the server that
// ends the stream it asks the agent to come back, all of them spread over a while.
func (s *session) finish(out *sender, drain bool) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.server.cfg.DrainWait)
	defer cancel()
	settled := make(chan struct{})
	s.server.goroutines.Go(func() {
		defer close(settled)
		_ = s.acquireAll() // fails only when the session ends, which is seen below
	})
	for waiting := true; waiting; {
		select {
		case <-settled:
			waiting = false
		case <-late.Done():
			waiting = false
		case <-s.out.ready:
			out.start()
		case err := <-out.ended:
			if err != nil {
				return s.unsent(err)
			}
			out.rest()
		case <-s.ctx.Done():
			return ended(s.ctx, nil)
		}
	}
	if drain {
		s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Drain{
			Drain: &agentv1.Drain{ReconnectAfterSeconds: uint32(1 + int(s.caller.agent.ID[0])*30/256), Reason: "the server is stopping"}}})
	}
	s.out.close()
	for out.start(); out.running; {
		select {
		case err := <-out.ended:
			if err != nil {
				return s.unsent(err)
			}
			out.rest()
		case <-late.Done():
			return nil
		}
	}
	return nil
}

func (s *session) unsent(err error) error {
	s.server.cfg.Log.DebugContext(s.ctx, "sending what was left failed", "agent_id", s.caller.agent.ID.String(), "error", err.Error())
	return nil
}

// sender sends what is in the outbox by a goroutine that lasts until it is empty. The
// goroutine of Connect owns it.
type sender struct {
	session *session
	stream  connectStream
	running bool
	again   bool       // something was pushed after start found it running
	ended   chan error // a value for each goroutine
}

func (o *sender) start() {
	if o.running {
		o.again = true
		return
	}
	o.running, o.again = true, false
	o.session.server.goroutines.Go(func() { o.ended <- o.send() })
}

// rest is called when a goroutine has ended well.
func (o *sender) rest() {
	o.running = false
	if o.again {
		o.start()
	}
}

func (o *sender) send() error {
	for {
		frames := o.session.out.take()
		if len(frames) == 0 {
			return nil
		}
		for _, frame := range frames {
			if err := o.stream.Send(frame); err != nil {
				return err
			}
		}
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
		if err := s.handle(frame); err != nil {
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
	late := time.AfterFunc(helloTimeout, func() { s.end(assay.Errorf(assay.Invalid, "no Hello came")) })
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
	if err := s.acquire(); err != nil {
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
	if err := s.acquireAll(); err != nil {
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
