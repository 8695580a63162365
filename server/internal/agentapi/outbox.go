package agentapi

import (
	"sync"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
)

// outbox holds what is to be sent to one agent, in order. Acks of one stream
// that nothing stands between become one. Its length is bounded by who fills
// it: receipts by the window, the rest by the receiving goroutine's wait.
type outbox struct {
	mu     sync.Mutex
	frames []*agentv1.ConnectResponse // under mu
	closed bool                       // under mu: nothing is added any more

	// ready holds a token when there is something to look at.
	ready chan struct{}
	// room holds a token after frames were taken.
	room chan struct{}
}

// outboxRoom is how many frames may wait before nothing more is received.
const outboxRoom = 64

func newOutbox() *outbox {
	return &outbox{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (o *outbox) push(frame *agentv1.ConnectResponse) {
	o.mu.Lock()
	if !o.closed && !o.merge(frame.GetAck()) {
		o.frames = append(o.frames, frame)
	}
	o.mu.Unlock()
	notify(o.ready)
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

// take empties the outbox.
func (o *outbox) take() (frames []*agentv1.ConnectResponse) {
	o.mu.Lock()
	frames, o.frames = o.frames, nil
	o.mu.Unlock()
	notify(o.room)
	return frames
}

// full reports whether the agent reads too slowly to be listened to.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.frames) >= outboxRoom
}

// close ends the taking of frames; those that are there can still be sent.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}
