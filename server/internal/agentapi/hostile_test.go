package agentapi_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
)

// hostile is an agent whose four batches were acknowledged, and which then does
// what no agent does.
type hostile struct {
	t     *testing.T
	h     *harness
	c     *client
	chain *evidencetest.Chain // after the four
	began evidencetest.Chain  // before them
	sent  []*assay.Batch
}

func (a *hostile) send(batches ...*assay.Batch) { a.c.sendBatches(a.t, batches...) }

// next makes and records batches that continue the chain.
func (a *hostile) next(n int) []*assay.Batch {
	for range n {
		a.sent = append(a.sent, a.chain.Next(a.t, 2))
	}
	return a.sent[len(a.sent)-n:]
}

// other makes a batch in the place of the one of that number, with another content.
func (a *hostile) other(number int) *assay.Batch {
	twin := a.began
	for _, b := range a.sent[:number-1] {
		twin.Head = twin.Head.After(&b.Header, b.Hash)
	}
	return twin.Peek(a.t, 2)
}

// altered sends the chain's next batch, changed on its way.
func (a *hostile) altered(change func(b *agentv1.Batch)) {
	b := wire(a.chain.Peek(a.t, 2))
	change(b)
	a.c.send(a.t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{Batch: b}})
}

// forged sends the chain's next batch with a header that agrees with its payload
// and not with the chain.
func (a *hostile) forged(change func(h *evidence.Header)) {
	b := a.chain.Peek(a.t, 2)
	change(&b.Header)
	a.send(a.chain.Seal(b.Header, b.Payload))
}

// hostilities are what it does, what it is answered in order, the code that its
// stream ends with (OK: it stays open), and how many of its batches are forks.
// What it sends beyond its chain is never kept.
var hostilities = map[string]struct {
	do      func(a *hostile)
	answers string
	ends    codes.Code
	forks   int
}{
	"the newest again and again": {do: func(a *hostile) { a.send(a.sent[3], a.sent[3], a.sent[3]) }, answers: "acks to 4"},
	"everything again":           {do: func(a *hostile) { a.send(a.sent...) }, answers: "acks to 4"},
	"everything again, backwards": {do: func(a *hostile) {
		back := slices.Clone(a.sent)
		slices.Reverse(back)
		a.send(back...)
	}, answers: "acks to 4"},
	"the next twice at once": {do: func(a *hostile) { b := a.next(1)[0]; a.send(b, b) }, answers: "acks to 5"},
	"a hole":                 {do: func(a *hostile) { b := a.next(2); a.send(b[1], b[1], b[0], b[1]) }, answers: "resend after 4, acks to 6"},
	"reordered":              {do: func(a *hostile) { b := a.next(3); a.send(b[2], b[0], b[1], b[2]) }, answers: "resend after 4, acks to 7"},
	"an epoch to come":       {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.Epoch = 9 }) }, answers: "resend after 4"},
	"an epoch that is not":   {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.Epoch = 0 }) }, ends: codes.InvalidArgument},
	"number 0":               {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.Number = 0 }) }, ends: codes.InvalidArgument},
	"the greatest number":    {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.Number = 1<<64 - 1 }) }, answers: "resend after 4"},
	"another first batch":    {do: func(a *hostile) { a.send(a.other(1)) }, answers: "forked at 1 after 4", forks: 1},
	"another newest batch":   {do: func(a *hostile) { a.send(a.other(4)) }, answers: "forked at 4 after 4", forks: 1},
	"two forks":              {do: func(a *hostile) { a.send(a.other(2), a.other(3)) }, answers: "forked at 2 after 4", forks: 2},
	"a next batch of another past": {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.Previous[7] ^= 1 }) },
		answers: "forked at 5 after 4", forks: 1},
	"sequences that were":  {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.FirstSequence -= 2 }) }, answers: "forked at 5 after 4", forks: 1},
	"sequences left out":   {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.FirstSequence += 2 }) }, answers: "forked at 5 after 4", forks: 1},
	"another stream's":     {do: func(a *hostile) { a.forged(func(h *evidence.Header) { h.Stream[0] ^= 1 }) }, ends: codes.FailedPrecondition},
	"half a header":        {do: func(a *hostile) { a.altered(func(b *agentv1.Batch) { b.Header = b.Header[:len(b.Header)/2] }) }, ends: codes.InvalidArgument},
	"half a payload":       {do: func(a *hostile) { a.altered(func(b *agentv1.Batch) { b.Payload = b.Payload[:len(b.Payload)/2] }) }, ends: codes.InvalidArgument},
	"no payload":           {do: func(a *hostile) { a.altered(func(b *agentv1.Batch) { b.Payload = nil }) }, ends: codes.InvalidArgument},
	"another's payload":    {do: func(a *hostile) { a.altered(func(b *agentv1.Batch) { b.Payload = a.sent[0].Payload }) }, ends: codes.InvalidArgument},
	"half a signature":     {do: func(a *hostile) { a.altered(func(b *agentv1.Batch) { b.HeadSignature = []byte{0x30, 0x45, 2} }) }, ends: codes.InvalidArgument},
	"more than a batch is": {do: func(a *hostile) { a.altered(func(b *agentv1.Batch) { b.Payload = make([]byte, 65<<10) }) }, ends: codes.InvalidArgument},
	"more than a frame is": {do: func(a *hostile) { a.altered(func(b *agentv1.Batch) { b.Payload = make([]byte, 300<<10) }) }, ends: codes.ResourceExhausted},
	"half a message, and gone": {do: func(a *hostile) {
		s := &slow{h: a.h, ctx: a.t.Context(), agent: a.c.agent}
		var err error
		if s.raw, err = net.Dial("tcp", a.h.address); err != nil {
			a.t.Fatal(err)
		}
		hello := &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{Format: evidence.Format, AgentVersion: "1"}}}
		batch := message(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{Batch: wire(a.chain.Peek(a.t, 2))}}, 100)
		parts := append([][]byte{beginCall(agentv1.AgentService_Connect_FullMethodName)}, message(hello, 1000)...)
		if err := s.say(append(parts, batch[:len(batch)-1]...)...); err != nil {
			a.t.Fatal(err)
		}
		a.c.ends(a.t, codes.Unavailable) // its second stream ends the first
		if err := s.raw.Close(); err != nil {
			a.t.Fatal(err)
		}
		a.c = a.h.connect(a.t, a.c.agent)
	}},
}

// tape is a log that is read.
type tape struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tape) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// TestHostileClient has clients with good certificates send batches twice, out of
// order, cut short, forged and forked. Each is refused or answered exactly so, a
// fork is kept, told and a leaf of its own, and no batch but those of the chain is
// stored, each once; the agent itself goes on from where it was.
func TestHostileClient(t *testing.T) {
	t.Parallel()
	told := &tape{}
	h := start(t, func(cfg *agentapi.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(told, nil))
		cfg.AgentBurst = 1000
	})
	kept := map[string]string{}
	var mu sync.Mutex
	forks := 0
	t.Run("all", func(t *testing.T) {
		for name, c := range hostilities {
			forks += c.forks
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a := &hostile{t: t, h: h, c: h.connect(t, h.enrol(t))}
				a.chain = a.c.open(t, evidence.Bulk, assay.ReasonFirst)
				a.began = *a.chain
				a.send(a.next(4)...)
				a.c.acked(t, 4)
				c.do(a)
				a.answered(c.answers, c.ends)
				a.goesOn(c.forks > 0)
				mu.Lock()
				defer mu.Unlock()
				for _, b := range a.sent {
					kept[b.Hash.String()] = name
				}
			})
		}
	})
	h.holdsExactly(t, kept)
	if n := h.count(t, `SELECT count(*) FROM fork`); n != forks {
		t.Errorf("%d forks are kept, want %d", n, forks)
	}
	if n := h.count(t, `SELECT count(*) FROM leaf WHERE kind = $1`, int16(evidence.LeafFork)); n != forks {
		t.Errorf("%d forks are in the ledger, want %d", n, forks)
	}
	told.mu.Lock()
	defer told.mu.Unlock()
	if n := strings.Count(told.text.String(), `msg="stream forked"`); n != forks-1 {
		t.Errorf("%d forks were told, want each but the one that follows another: %d", n, forks-1)
	}
}

// answered receives exactly those answers, and then the end of the stream.
func (a *hostile) answered(want string, ends codes.Code) {
	a.t.Helper()
	for _, answer := range strings.Split(want, ", ") {
		if want == "" {
			break
		}
		got := ""
		switch f := a.c.recv(a.t).GetFrame().(type) {
		case *agentv1.ConnectResponse_Ack:
			// Several that wait to be sent become one.
			for got = fmt.Sprintf("acks to %d", f.Ack.GetNumber()); got != answer; {
				got = fmt.Sprintf("acks to %d", a.ack())
			}
		case *agentv1.ConnectResponse_Resend:
			got = fmt.Sprintf("resend after %d", f.Resend.GetHead().GetNumber())
		case *agentv1.ConnectResponse_Forked:
			got = fmt.Sprintf("forked at %d after %d", f.Forked.GetNumber(), f.Forked.GetHead().GetNumber())
		}
		if got != answer {
			a.t.Fatalf("it is answered %q, want %q of %q", got, answer, want)
		}
	}
	if ends != codes.OK {
		a.c.ends(a.t, ends)
		a.c = a.h.connect(a.t, a.c.agent)
		if heads := a.c.welcome.GetHeads(); len(heads) != 1 || headOf(a.t, heads[0]).Hash != a.chain.Head.Hash {
			a.t.Errorf("after its refusal the heads are %v", heads)
		}
	}
}

// ack is the number of the ack that comes next.
func (a *hostile) ack() uint64 {
	a.t.Helper()
	frame := a.c.recv(a.t)
	if frame.GetAck() == nil {
		a.t.Fatalf("instead of an ack came %v", frame)
	}
	return frame.GetAck().GetNumber()
}

// goesOn has the agent continue its chain, in a new epoch after a fork.
func (a *hostile) goesOn(forked bool) {
	a.t.Helper()
	if forked {
		a.chain = a.c.open(a.t, evidence.Bulk, assay.ReasonRollback)
	}
	last := a.next(1)[0]
	a.send(last)
	if ack := a.c.acked(a.t, last.Header.Number); string(ack.GetHash()) != string(last.Hash[:]) {
		a.t.Errorf("what is acknowledged is another batch: %v", ack)
	}
	a.c.close()
}

// holdsExactly checks that these batches are stored, each once, no other is, and
// that the ledger verifies.
func (h *harness) holdsExactly(t *testing.T, want map[string]string) {
	t.Helper()
	rows, err := h.pool.Query(t.Context(), `SELECT header FROM batch`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := map[string]int{}
	for rows.Next() {
		var header []byte
		if err := rows.Scan(&header); err != nil {
			t.Fatal(err)
		}
		hash := evidence.HashHeader(header).String()
		if got[hash]++; want[hash] == "" || got[hash] > 1 {
			t.Errorf("batch %s is stored (%d times), want it not, or once: %q", hash, got[hash], want[hash])
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for hash, name := range want {
		if got[hash] == 0 {
			t.Errorf("%s: batch %s was acknowledged and is not stored", name, hash)
		}
	}
	h.grow(t)
	report, err := ledger.Verify(t.Context(), h.store, ledger.VerifyConfig{Certificates: h.authority, Key: h.verifier(t), Now: h.clock.now, Page: 100})
	if err != nil || !report.Good() || int(report.Batches) != len(want) {
		t.Fatalf("the ledger: %+v, %v", report, err)
	}
}
