package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// lightAgent speaks the agents' protocol with a key and a chain of its own, without
// the spool and pipeline of a real one, thousands of which would not fit beside the
// server. It sends one control batch each minute and keeps it until it is acknowledged.
type lightAgent struct {
	id          assay.AgentID
	certificate tls.Certificate
	source      net.IP        // that it connects from
	phase       time.Duration // of its minute

	// Owned by the goroutine of run.
	head    assay.Head // as acknowledged; Epoch 0: no stream yet
	pending *agentv1.Batch
	next    assay.Head // after pending
	due     time.Time  // of pending
	welcome bool       // the stream is open
}

// crew is what all light agents share.
type crew struct {
	address string
	roots   *x509.CertPool
	encoder *zstd.Encoder
	beat    time.Duration // from one batch of an agent to its next
	beating atomic.Bool   // heartbeats are due

	connected atomic.Int64
	batches   atomic.Int64 // acknowledged
	late      atomic.Int64 // acknowledged after their minute
	lost      atomic.Int64 // acknowledged by the server once, and not known to it later
	failed    atomic.Int64 // attempts to connect
}

// enrolLight makes an agent by the store: enrolment is not what is measured.
func (s *stage) enrolLight(ctx context.Context, db *database, number int, secret [sha256.Size]byte) (*lightAgent, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making key: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding key: %w", err)
	}
	a := &lightAgent{source: net.IPv4(127, 0, 1, byte(1+number%sources))}
	var host assay.HostID
	_, _ = rand.Read(a.id[:])
	_, _ = rand.Read(host[:])
	_, issued, err := db.Enrol(ctx, a.id, postgres.Enrolment{
		SecretHash: secret[:], Host: assay.Host{ID: host, Name: fmt.Sprintf("WS-%05d", number)}, KeyKind: assay.SoftwareKey, PublicKey: spki, Version: "1.0.0",
		Issue: func(id assay.AgentID) (assay.Certificate, error) {
			a.id = id
			return s.authority.IssueAgent(id, key.Public())
		},
	})
	if err != nil {
		return nil, err
	}
	a.certificate = tls.Certificate{Certificate: [][]byte{issued.DER}, PrivateKey: key}
	return a, nil
}

// sources is how many loopback addresses agents connect from: one alone has fewer
// ports than two generations of connections need.
const sources = 16

const (
	lightBuffer = 2 << 10
	// A lost connection is tried again as the agent's uplink does.
	backoffMin, backoffMax = time.Second, time.Minute
	welcomeTimeout         = 30 * time.Second
)

// run keeps a stream open until ctx ends.
func (a *lightAgent) run(ctx context.Context, c *crew) {
	for failures := 0; ctx.Err() == nil; {
		after, err := a.session(ctx, c)
		pause := after + mathrand.N(backoffMin)
		if a.welcome {
			a.welcome, failures = false, 0
			c.connected.Add(-1)
		}
		if err != nil {
			c.failed.Add(1)
			bound := min(backoffMin<<min(failures, 6), backoffMax)
			pause = max(mathrand.N(bound+1), backoffMin/2)
			failures++
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (c *crew) dial(a *lightAgent) (*grpc.ClientConn, error) {
	config := &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{a.certificate}}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: a.source}}
	conn, err := grpc.NewClient("passthrough:///"+c.address, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithReadBufferSize(lightBuffer), grpc.WithWriteBufferSize(lightBuffer), grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		return nil, fmt.Errorf("making client: %w", err)
	}
	return conn, nil
}

type connectClient = grpc.BidiStreamingClient[agentv1.ConnectRequest, agentv1.ConnectResponse]

// session is one connection. The error is why it ended; after a drain it is nil and
// the server has said when to come back.
func (a *lightAgent) session(ctx context.Context, c *crew) (after time.Duration, err error) {
	conn, err := c.dial(a)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := agentv1.NewAgentServiceClient(conn).Connect(ctx)
	if err != nil {
		return 0, err
	}
	late := time.AfterFunc(welcomeTimeout, cancel)
	err = a.hello(stream, c)
	late.Stop()
	if err != nil {
		return 0, err
	}
	a.welcome = true
	c.connected.Add(1)
	frames, ended := make(chan *agentv1.ConnectResponse), make(chan error, 1)
	go func() {
		for {
			frame, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case frames <- frame:
			case <-ctx.Done():
				return
			}
		}
	}()
	return a.beat(ctx, c, stream, frames, ended)
}

// hello says hello, compares heads, opens the stream where there is none, and sends
// again what was not acknowledged.
func (a *lightAgent) hello(stream connectClient, c *crew) error {
	hello := &agentv1.Hello{Format: evidence.Format, AgentVersion: "1.0.0", SentAt: evidence.Ticks(time.Now())}
	if err := stream.Send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	response, err := stream.Recv()
	if err != nil {
		return err
	}
	if response.GetWelcome() == nil {
		return errors.New("the first frame is no welcome")
	}
	for _, head := range response.GetWelcome().GetHeads() {
		a.compare(head, c)
	}
	if a.head.Epoch == 0 {
		open := &agentv1.OpenEpoch{Kind: agentv1.StreamKind(evidence.Control), Reason: assay.ReasonFirst, BootId: "boot"}
		if err := stream.Send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_OpenEpoch{OpenEpoch: open}}); err != nil {
			return err
		}
		if response, err = stream.Recv(); err != nil {
			return err
		}
		if response.GetEpochOpened() == nil {
			return errors.New("no epoch was opened")
		}
		a.head = headOf(response.GetEpochOpened().GetHead())
	}
	if a.pending != nil {
		return a.send(stream)
	}
	return nil
}

// compare takes the server's head. What was acknowledged and is not there any more
// is lost.
func (a *lightAgent) compare(stated *agentv1.Head, c *crew) {
	there := headOf(stated)
	switch {
	case a.head.Epoch == 0:
		a.head = there // the epoch was granted and the answer did not come
	case there.Number < a.head.Number || there.Number == a.head.Number && there.Hash != a.head.Hash:
		c.lost.Add(1)
		a.head, a.pending = there, nil
	case a.pending != nil && there.Number == a.next.Number && there.Hash == a.next.Hash:
		a.settle(c) // it was committed and the ack did not come
	}
}

func headOf(h *agentv1.Head) assay.Head {
	head := assay.Head{Kind: evidence.StreamKind(h.GetKind()), Epoch: h.GetEpoch(), Number: h.GetNumber(), NextSequence: h.GetNextSequence()}
	copy(head.Stream[:], h.GetStreamId())
	copy(head.Hash[:], h.GetHash())
	return head
}

// beat sends a batch each minute until the stream ends.
func (a *lightAgent) beat(ctx context.Context, c *crew, stream connectClient, frames <-chan *agentv1.ConnectResponse, ended <-chan error) (time.Duration, error) {
	timer := time.NewTimer(a.untilDue(time.Now(), c.beat))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case err := <-ended:
			return 0, err
		case frame := <-frames:
			if drain := frame.GetDrain(); drain != nil {
				return time.Duration(drain.GetReconnectAfterSeconds()) * time.Second, nil
			}
			if ack := frame.GetAck(); ack != nil && a.pending != nil && ack.GetNumber() == a.next.Number {
				a.settle(c)
			}
		case now := <-timer.C:
			timer.Reset(a.untilDue(now.Add(c.beat/60), c.beat))
			if !c.beating.Load() || a.pending != nil {
				continue // one that is not acknowledged is counted as late when it is
			}
			if err := a.make(now, c); err != nil {
				return 0, err
			}
			if err := a.send(stream); err != nil {
				return 0, err
			}
		}
	}
}

// untilDue is how long it is to the agent's next moment in the minute, or what stands for one.
func (a *lightAgent) untilDue(now time.Time, beat time.Duration) time.Duration {
	next := now.Truncate(beat).Add(a.phase)
	if !next.After(now) {
		next = next.Add(beat)
	}
	return next.Sub(now)
}

func (a *lightAgent) send(stream connectClient) error {
	return stream.Send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{Batch: a.pending}})
}

// make seals the next batch: a statement of health.
func (a *lightAgent) make(now time.Time, c *crew) error {
	encoded, err := proto.Marshal(&telemetryv1.Event{
		ObservedAt: evidence.Ticks(now), BootId: "boot", Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF},
		Source: telemetryv1.Source_SOURCE_AGENT, Mode: telemetryv1.Mode_MODE_LIVE,
		Body: &telemetryv1.Event_SourceHealth{SourceHealth: &telemetryv1.SourceHealth{AgentVersion: "1.0.0", StartedAt: evidence.Ticks(now.Truncate(24 * time.Hour)),
			Sources: []*telemetryv1.SourceState{{Source: "event_log", Channel: securityChannel, Running: true, Capabilities: []string{"log.security"}}}}},
	})
	if err != nil {
		return fmt.Errorf("encoding event: %w", err)
	}
	block := &telemetryv1.Block{Seed: make([]byte, evidence.SeedSize), Events: [][]byte{encoded}}
	_, _ = rand.Read(block.Seed)
	raw, err := proto.Marshal(block)
	if err != nil {
		return fmt.Errorf("encoding block: %w", err)
	}
	payload := c.encoder.EncodeAll(raw, nil)
	header := evidence.Header{Kind: evidence.Control, Stream: evidence.StreamID(a.head.Stream), Epoch: a.head.Epoch, Number: a.head.Number + 1,
		FirstSequence: a.head.NextSequence, Previous: a.head.Hash, EventCount: 1, ObservedFrom: evidence.Ticks(now), ObservedTo: evidence.Ticks(now),
		PayloadSHA256: sha256.Sum256(payload), PayloadSize: uint32(len(payload)), RawSize: uint32(len(raw)),
		Commitments: evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents()))}
	canonical := header.Canonical()
	hash := evidence.HashHeader(canonical)
	a.next, a.due = a.head.After(&header, hash), now
	key, ok := a.certificate.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("the key is not of ECDSA")
	}
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		return fmt.Errorf("signing head: %w", err)
	}
	a.pending = &agentv1.Batch{Header: canonical, Payload: payload, HeadSignature: signature}
	return nil
}

// settle books the pending batch as acknowledged.
func (a *lightAgent) settle(c *crew) {
	c.batches.Add(1)
	if time.Since(a.due) > c.beat {
		c.late.Add(1)
	}
	a.head, a.pending = a.next, nil
}
