package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

const (
	// smallBuffer keeps thousands of idle agents cheap for both sides, bytes.
	smallBuffer = 4 << 10
	// maxFrame bounds what the server may send in one frame, bytes.
	maxFrame = 4 << 20
	// A silent server is asked after a minute and given up 20 s later.
	keepaliveTime    = time.Minute
	keepaliveTimeout = 20 * time.Second
	welcomeTimeout   = 30 * time.Second

	defaultWindow      = 8
	defaultWindowBytes = 1 << 20
)

// priority is the order in which streams are sent.
var priority = [...]evidence.StreamKind{evidence.Control, evidence.Bulk, evidence.Import}

type drainError struct {
	after  time.Duration
	reason string
}

func (e *drainError) Error() string { return "the server asked to reconnect: " + oneLine(e.reason) }

// session is one connection. One goroutine owns it.
type session struct {
	u      *Uplink
	ctx    context.Context
	stream grpc.BidiStreamingClient[agentv1.ConnectRequest, agentv1.ConnectResponse]
	frames chan *agentv1.ConnectResponse
	ended  chan error // one value: why receiving ended
	lanes  []*lane    // in order of priority

	window      int
	windowBytes int
	permit      <-chan struct{} // to send the next batch; nil: nothing waits for one
	skew        time.Duration   // the server's clock minus ours
	// welcomed is the server's clock when it sent Welcome, uptime ours of then.
	welcomed  time.Time
	uptime    time.Duration
	safeAfter time.Duration
	asked     bool // a checkpoint is on its way
	askedAt   time.Time
	dirty     bool // acks not yet saved
}

// session runs one connection to its end. welcomed says that the server
// answered at all.
func (u *Uplink) session(ctx context.Context) (welcomed bool, err error) {
	if u.cfg.Admit != nil {
		if err := u.cfg.Admit(ctx); err != nil {
			return false, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	conn, err := u.dial()
	if err != nil {
		cancel()
		return false, err
	}
	var receiver sync.WaitGroup
	s := &session{u: u, ctx: ctx, frames: make(chan *agentv1.ConnectResponse), ended: make(chan error, 1)}
	defer func() {
		cancel()
		_ = conn.Close()
		receiver.Wait()
		s.close()
	}()
	if s.stream, err = agentv1.NewAgentServiceClient(conn).Connect(ctx); err != nil {
		return false, err
	}
	receiver.Go(func() { s.ended <- receive(ctx, s.stream, s.frames) })
	if err := s.hello(); err != nil {
		return false, err
	}
	u.setStatus(Status{Connected: true, Since: u.cfg.Now()})
	u.cfg.Log.Info("connected", "server", u.cfg.Server)
	return true, s.run()
}

func (u *Uplink) dial() (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(u.cfg.TLS())),
		grpc.WithReadBufferSize(smallBuffer), grpc.WithWriteBufferSize(smallBuffer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxFrame)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithDisableServiceConfig(),
	}
	if u.cfg.Dial != nil {
		options = append(options, grpc.WithContextDialer(u.cfg.Dial))
	}
	return grpc.NewClient("passthrough:///"+u.cfg.Server, options...)
}

// receive hands frames over until the stream ends.
func receive(ctx context.Context, stream grpc.BidiStreamingClient[agentv1.ConnectRequest, agentv1.ConnectResponse], frames chan<- *agentv1.ConnectResponse) error {
	for {
		frame, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case frames <- frame:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hello exchanges heads and takes the server's limits.
func (s *session) hello() error {
	u := s.u
	sentAt := u.cfg.Now()
	hello := &agentv1.Hello{Format: evidence.Format, AgentVersion: u.cfg.AgentVersion, SentAt: evidence.Ticks(sentAt), Checkpoint: []byte(u.State().Note)}
	for _, kind := range priority {
		sp := u.cfg.Spools[kind]
		if sp == nil {
			continue
		}
		s.lanes = append(s.lanes, &lane{kind: kind, spool: sp})
		if h := sp.Head(); h.Granted {
			hello.Heads = append(hello.Heads, &agentv1.Head{
				StreamId: h.Stream[:], Kind: agentv1.StreamKind(kind), Epoch: h.Epoch,
				Number: h.Number, Hash: h.Hash[:], NextSequence: h.NextSequence,
			})
		}
	}
	if err := s.send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	timer := time.NewTimer(welcomeTimeout)
	defer timer.Stop()
	select {
	case frame := <-s.frames:
		if frame.GetDrain() != nil {
			return s.drain(frame.GetDrain())
		}
		if frame.GetWelcome() == nil {
			return errors.New("the server's first frame is no welcome")
		}
		return s.welcome(frame.GetWelcome(), sentAt)
	case err := <-s.ended:
		return err
	case <-timer.C:
		return fmt.Errorf("the server did not answer within %s", welcomeTimeout)
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// serverNow is the server's clock. Ours may be set while we are connected, which
// must make no batch older than it is.
func (s *session) serverNow() time.Time {
	if s.u.cfg.Uptime == nil {
		return s.u.cfg.Now().Add(s.skew)
	}
	return s.welcomed.Add(s.u.cfg.Uptime() - s.uptime)
}

func (s *session) welcome(w *agentv1.Welcome, sentAt time.Time) error {
	u := s.u
	there := evidence.Time(w.GetReceivedAt()).Sub(sentAt)
	back := u.cfg.Now().Sub(evidence.Time(w.GetSentAt()))
	s.skew = (there - back) / 2
	if u.cfg.Uptime != nil {
		s.welcomed, s.uptime = evidence.Time(w.GetSentAt()), u.cfg.Uptime()
	}
	limits := w.GetLimits()
	s.window, s.windowBytes = defaultWindow, defaultWindowBytes
	if n := limits.GetWindowBatches(); n > 0 {
		s.window = int(min(n, 1<<10))
	}
	if n := limits.GetWindowBytes(); n > 0 {
		s.windowBytes = int(min(n, 64<<20))
	}
	s.safeAfter = time.Duration(w.GetSafeAfterSeconds()) * time.Second
	if u.cfg.Welcomed != nil {
		u.cfg.Welcomed(limits, s.skew)
	}
	for _, l := range s.lanes {
		var head *agentv1.Head
		for _, h := range w.GetHeads() {
			if h.GetKind() == agentv1.StreamKind(l.kind) {
				head = h
			}
		}
		if err := s.reconcile(l, head); err != nil {
			return err
		}
	}
	return nil
}

// send hands a frame to gRPC, which waits while the server's window is closed.
func (s *session) send(frame *agentv1.ConnectRequest) error {
	if err := s.stream.Send(frame); err != nil {
		// Send knows only that the stream has ended; Recv knows why, behind frames
		// that came before. Those may be dropped: the server says it all again.
		for {
			select {
			case <-s.frames:
			case why := <-s.ended:
				return why
			case <-s.ctx.Done():
				return s.ctx.Err()
			}
		}
	}
	return nil
}

// run is the session's loop.
func (s *session) run() error {
	cfg := &s.u.cfg
	var changed [len(priority)]<-chan struct{}
	for i, kind := range priority {
		if sp := cfg.Spools[kind]; sp != nil {
			changed[i] = sp.Changed()
		}
	}
	upkeep := time.NewTicker(cfg.Upkeep)
	defer upkeep.Stop()
	checkpoint := time.NewTimer(s.checkpointPause())
	defer checkpoint.Stop()
	if err := s.ask(true); err != nil {
		return err
	}
	for {
		if err := s.pump(); err != nil {
			return err
		}
		var err error
		select {
		case frame := <-s.frames:
			err = s.handle(frame)
		case err = <-s.ended:
		case <-changed[0]:
		case <-changed[1]:
		case <-changed[2]:
		case <-s.permit:
		case <-upkeep.C:
			err = s.upkeep()
		case <-checkpoint.C:
			checkpoint.Reset(s.checkpointPause())
			err = s.ask(true)
		case <-s.ctx.Done():
			err = s.ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) checkpointPause() time.Duration {
	cfg := &s.u.cfg
	return cfg.CheckpointMin + rand.N(cfg.CheckpointMax-cfg.CheckpointMin+1)
}

func (s *session) drain(d *agentv1.Drain) error {
	after := min(time.Duration(d.GetReconnectAfterSeconds())*time.Second, time.Hour)
	return &drainError{after: after, reason: d.GetReason()}
}

// close saves what the session learnt.
func (s *session) close() {
	for _, l := range s.lanes {
		l.reset()
	}
	s.save()
}

func (s *session) save() {
	if !s.dirty {
		return
	}
	s.dirty = false
	for _, l := range s.lanes {
		if err := l.spool.Flush(); err != nil {
			// The server says it again at the next connection.
			s.u.cfg.Log.Warn("saving acknowledgements failed", "stream", l.kind.String(), "error", err)
		}
	}
}

// describe is one line about why a session ended.
func describe(err error) string {
	if err == nil {
		return "the server closed the connection"
	}
	var drain *drainError
	if errors.As(err, &drain) {
		return drain.Error()
	}
	if s, ok := status.FromError(err); ok {
		return oneLine(s.Code().String() + ": " + s.Message())
	}
	return oneLine(err.Error())
}

const lineLimit = 300

func oneLine(s string) string {
	b := []rune(s)
	if len(b) > lineLimit {
		b = b[:lineLimit]
	}
	for i, r := range b {
		if r < ' ' || r == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}
