package agentapi_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/pgtest"
)

// guests knows which connections a server has open.
type guests struct {
	net.Listener

	mu   sync.Mutex
	open map[string]bool // by the caller's address; under mu
}

func (g *guests) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[conn.RemoteAddr().String()] = true
	return &guest{Conn: conn, of: g}, nil
}

type guest struct {
	net.Conn
	of *guests
}

func (c *guest) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c.RemoteAddr().String())
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// dribble is a connection that sends a byte at a time.
type dribble struct {
	net.Conn
	ctx context.Context
}

func (d *dribble) Write(p []byte) (int, error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for i := range p {
		select {
		case <-d.ctx.Done():
			return i, d.ctx.Err()
		case <-ticker.C:
		}
		if n, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(p), nil
}

// slow is a client that means no good, on a connection of its own. It speaks
// HTTP/2 in bytes, as no library would hold back what it does.
type slow struct {
	h     *harness
	ctx   context.Context
	agent *evidencetest.Agent // nil: nobody
	raw   net.Conn
}

// shake is the TLS handshake, over the connection or one that dribbles.
func (s *slow) shake(over net.Conn) (*tls.Conn, error) {
	root, err := x509.ParseCertificate(s.h.authority.Chain()[1])
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1", NextProtos: []string{"h2"}, Time: s.h.clock.now}
	config.RootCAs.AddCert(root)
	if s.agent != nil {
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{s.agent.Certificate.DER}, PrivateKey: s.agent.Key}}
	}
	conn := tls.Client(over, config)
	return conn, conn.HandshakeContext(s.ctx)
}

// preface begins HTTP/2, with settings that ask for nothing.
func preface() []byte {
	return append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), http2Frame(4, 0, 0, nil)...)
}

func http2Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// beginCall begins a call, whose request is still to come.
func beginCall(method string) []byte {
	var block []byte
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", method}, {":authority", "127.0.0.1"},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		block = append(block, 0) // literal, not indexed, with a new name
		for _, text := range field {
			block = append(append(block, byte(len(text))), text...)
		}
	}
	return append(preface(), http2Frame(1, 4, 1, block)...)
}

// message is a message of gRPC in frames that hold so many bytes of it each.
func message(m proto.Message, each int) (frames [][]byte) {
	body, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	for part := range slices.Chunk(body, each) {
		frames = append(frames, http2Frame(0, 0, 1, part))
	}
	return frames
}

// slowKinds are what slow clients do once they have a connection. Each returns
// when it has done all that it ever will.
var slowKinds = map[string]func(s *slow, more func(func())) error{
	"silent": func(*slow, func(func())) error { return nil },
	"handshakes a byte at a time": func(s *slow, more func(func())) error {
		more(func() { _, _ = s.shake(&dribble{s.raw, s.ctx}) })
		return nil
	},
	"silent after the handshake": func(s *slow, _ func(func())) error { return s.say() },
	"begins HTTP/2 a byte at a time": func(s *slow, more func(func())) error {
		return s.sayBytes(more, preface())
	},
	"silent without a call": func(s *slow, _ func(func())) error { return s.say(preface()) },
	"answers and never calls": func(s *slow, more func(func())) error {
		conn, err := s.shake(s.raw)
		if err != nil {
			return err
		}
		if _, err := conn.Write(preface()); err != nil {
			return err
		}
		more(func() { answerPings(conn) })
		return nil
	},
	"enrols without a request": func(s *slow, _ func(func())) error {
		return s.say(beginCall(agentv1.EnrolmentService_Enrol_FullMethodName))
	},
	"enrols a byte at a time": func(s *slow, more func(func())) error {
		request := message(&agentv1.EnrolRequest{AgentVersion: string(make([]byte, 4000))}, 1)
		return s.sayFrames(more, agentv1.EnrolmentService_Enrol_FullMethodName, request)
	},
	"connects without a Hello": func(s *slow, _ func(func())) error {
		return s.say(beginCall(agentv1.AgentService_Connect_FullMethodName))
	},
	"says Hello a byte at a time": func(s *slow, more func(func())) error {
		hello := message(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{
			Format: evidence.Format, AgentVersion: string(make([]byte, 4000))}}}, 1)
		return s.sayFrames(more, agentv1.AgentService_Connect_FullMethodName, hello)
	},
	"reads nothing after Hello": func(s *slow, _ func(func())) error {
		hello := message(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{
			Format: evidence.Format, AgentVersion: "1"}}}, 1000)
		return s.say(append([][]byte{beginCall(agentv1.AgentService_Connect_FullMethodName)}, hello...)...)
	},
}

// answerPings says that it lives whenever it is asked, until it is cut.
func answerPings(conn net.Conn) {
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		if head[3] == 6 && head[4]&1 == 0 {
			if _, err := conn.Write(http2Frame(6, 1, 0, body)); err != nil {
				return
			}
		}
	}
}

// say shakes hands and sends all of that; nothing is ever read.
func (s *slow) say(parts ...[]byte) error {
	conn, err := s.shake(s.raw)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := conn.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// sayBytes shakes hands and has more send the rest byte by byte.
func (s *slow) sayBytes(more func(func()), rest []byte) error {
	conn, err := s.shake(s.raw)
	if err != nil {
		return err
	}
	more(func() { _, _ = (&dribble{conn, s.ctx}).Write(rest) })
	return nil
}

// sayFrames begins a call and has more send its request frame by frame.
func (s *slow) sayFrames(more func(func()), method string, frames [][]byte) error {
	conn, err := s.shake(s.raw)
	if err != nil {
		return err
	}
	if _, err := conn.Write(beginCall(method)); err != nil {
		return err
	}
	more(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for _, frame := range frames {
			select {
			case <-s.ctx.Done():
				return
			case <-ticker.C:
			}
			if _, err := conn.Write(frame); err != nil {
				return
			}
		}
	})
	return nil
}

// TestSlowClients has 500 clients that are slow or silent in every way while
// agents deliver. What agents send is acknowledged, the slow ones cost a bounded
// amount of memory, and every one of them is cut by the server's own bounds.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const each, honest, batches = 46, 4, 40 // 506 of 11 kinds
	doors := &guests{open: map[string]bool{}}
	h := newHarness(t, pgtest.Pool(t))
	h.listen = func(l net.Listener) net.Listener { doors.Listener = l; return doors }
	h.serve(t, func(cfg *agentapi.Config) {
		cfg.ArrivalWait, cfg.IdleWait, cfg.SilentWait = 3*time.Second, 2*time.Second, time.Second
	})
	clients, chains := make([]*client, honest), make([]*evidencetest.Chain, honest)
	for i := range clients {
		clients[i] = h.connect(t, h.enrol(t))
		chains[i] = clients[i].open(t, evidence.Bulk, assay.ReasonFirst)
	}
	before := memoryInUse()
	began := time.Now()
	crowd := h.crowd(t, each)
	t.Logf("%.1f s: all slow clients are there", time.Since(began).Seconds())
	if grown := memoryInUse() - before; grown > 128<<20 {
		t.Errorf("%d slow clients take %d MiB", len(crowd), grown>>20)
	}
	late := evidencetest.Open(t, h.store, h.enrol(t), evidence.Bulk, assay.ReasonFirst)
	var deliveries sync.WaitGroup
	all := []*assay.Batch{late.Next(t, 1), late.Next(t, 1)}
	deliveries.Go(func() { h.persist(t, late.Agent, all[:2:2]) })
	for i, c := range clients {
		mine := make([]*assay.Batch, batches)
		for n := range mine {
			mine[n] = chains[i].Next(t, 2)
		}
		all = append(all, mine...)
		deliveries.Go(func() {
			c.sendBatches(t, mine...)
			c.acked(t, batches)
		})
	}
	deliveries.Wait()
	t.Logf("%.1f s: all is acknowledged", time.Since(began).Seconds())
	doors.awaitCut(t, crowd)
	t.Logf("%.1f s: all slow clients are cut", time.Since(began).Seconds())
	for i, c := range clients {
		last := chains[i].Next(t, 1)
		all = append(all, last)
		c.sendBatches(t, last)
		c.acked(t, batches+1)
	}
	h.holdsExactly(t, acknowledged(all...))
	if n := h.metric(t, "assay_agent_streams"); n != honest {
		t.Errorf("%v streams are open, want %d", n, honest)
	}
}

// crowd opens so many slow clients of each kind, and returns what each does by
// its address.
func (h *harness) crowd(t *testing.T, each int) map[string]string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var lasting sync.WaitGroup
	t.Cleanup(lasting.Wait)
	t.Cleanup(cancel)
	var mu sync.Mutex
	crowd := map[string]string{}
	var arriving sync.WaitGroup
	places := make(chan struct{}, 16) // as many handshakes at a time
	for _, kind := range slices.Sorted(maps.Keys(slowKinds)) {
		shared := h.enrol(t)
		for range each {
			s := &slow{h: h, ctx: ctx, agent: shared}
			if kind == "reads nothing after Hello" {
				s.agent = h.enrol(t) // a second stream would end the first
			}
			places <- struct{}{}
			arriving.Go(func() {
				defer func() { <-places }()
				conn, err := net.Dial("tcp", h.address)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { conn.Close() })
				s.raw = conn
				mu.Lock()
				crowd[conn.LocalAddr().String()] = kind
				mu.Unlock()
				if err := slowKinds[kind](s, lasting.Go); err != nil {
					t.Errorf("a client that %s: %v", kind, err)
				}
			})
		}
	}
	arriving.Wait()
	return crowd
}

// awaitCut waits until the server has closed all of these connections.
func (g *guests) awaitCut(t *testing.T, crowd map[string]string) {
	t.Helper()
	ticker, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer ticker.Stop()
	for {
		left := map[string]int{}
		g.mu.Lock()
		for address, kind := range crowd {
			if g.open[address] {
				left[kind]++
			}
		}
		g.mu.Unlock()
		if len(left) == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-late:
			t.Fatal(fmt.Sprint("not cut: ", left))
		}
	}
}

// memoryInUse is what the process holds, its stacks too.
func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
