package agentapi

import (
	"context"
	"sync"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
)

// outbox holds what is to be sent to one agent, in order, and sends it by a goroutine
// that lasts until it is empty. Acks of one stream that nothing stands between become
// one. Its length is bounded by who fills it: receipts by the window, the rest by the
// receiving goroutine's wait.
type outbox struct {
	spawn func(func())                         // starts a goroutine
	send  func(*agentv1.ConnectResponse) error // blocks until the stream's context ends
	fail  context.CancelCauseFunc              // is told why send failed

	mu      sync.Mutex
	frames  []*agentv1.ConnectResponse // under mu
	sending bool                       // under mu: the goroutine is there
	closed  bool                       // under mu: nothing is added any more

	// room holds a token after frames were taken.
	room chan struct{}
	// sent is closed when the outbox is and nothing of it is being sent.
	sent chan struct{}
}

// outboxRoom is how many frames may wait before nothing more is received.
const outboxRoom = 64

func newOutbox(spawn func(func()), send func(*agentv1.ConnectResponse) error, fail context.CancelCauseFunc) *outbox {
	return &outbox{spawn: spawn, send: send, fail: fail, room: make(chan struct{}, 1), sent: make(chan struct{})}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push sends a frame when it can; it never blocks. After close it does nothing.
func (o *outbox) push(frame *agentv1.ConnectResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if !o.merge(frame.GetAck()) {
		o.frames = append(o.frames, frame)
	}
	if !o.sending {
		o.sending = true
		o.spawn(o.sendAll)
	}
}

// sendAll is the goroutine. There is one at a time: only it takes sending back.
func (o *outbox) sendAll() {
	for {
		frames := o.take()
		if len(frames) == 0 {
			return
		}
		for _, frame := range frames {
			if err := o.send(frame); err != nil {
				o.fail(err)
				o.drop()
				return
			}
		}
	}
}

// merge finds ack a place in the acks at the end of the queue.
func (o *outbox) merge(ack *agentv1.Ack) bool {
	if ack == nil {
		return false
	}
	for i := len(o.frames) - 1; i >= 0; i-- {
		waiting := o.frames[i].GetAck()
		if waiting == nil {
			return false
		}
		if string(waiting.GetStreamId()) != string(ack.GetStreamId()) || waiting.GetEpoch() != ack.GetEpoch() {
			continue
		}
		if ack.GetNumber() > waiting.GetNumber() {
			o.frames[i] = ackFrame(ack)
		}
		return true
	}
	return false
}

func ackFrame(ack *agentv1.Ack) *agentv1.ConnectResponse {
	return &agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Ack{Ack: ack}}
}

// take empties the outbox. If it is empty the goroutine is at its end.
func (o *outbox) take() (frames []*agentv1.ConnectResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames, o.frames = o.frames, nil
	if len(frames) == 0 {
		o.rest()
	}
	notify(o.room)
	return frames
}

// drop ends the goroutine and all taking of frames: they cannot be sent.
func (o *outbox) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.frames = true, nil
	o.rest()
}

// rest is called under mu when nothing is being sent any more.
func (o *outbox) rest() {
	o.sending = false
	if o.closed {
		close(o.sent)
	}
}

// full reports whether the agent reads too slowly to be listened to.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.frames) >= outboxRoom
}

// close ends the taking of frames; those that are there are still sent.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	if !o.sending {
		close(o.sent)
	}
}
