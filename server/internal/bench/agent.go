package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// agent replays a load over a stream of its own.
type agent struct {
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[agentv1.ConnectRequest, agentv1.ConnectResponse]
	frames []frame
	window chan struct{} // a token for each batch that is not acknowledged
	counts map[evidence.StreamID]uint64

	mu        sync.Mutex
	sent      map[evidence.StreamID][]time.Time // under mu: when number i+1 was sent
	acked     map[evidence.StreamID]int         // under mu: how many are acknowledged
	latencies []time.Duration                   // of the receiving goroutine
}

// frame is a batch ready to be sent.
type frame struct {
	stream  evidence.StreamID
	request *agentv1.ConnectRequest
}

// newAgent enrols an agent, connects it, opens its streams and seals its batches.
func newAgent(ctx context.Context, s *server, number int, l *load) (*agent, error) {
	certificate, err := enrol(ctx, s, number)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(s.authority.Chain()[1])
	if err != nil {
		return nil, fmt.Errorf("reading root certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}}
	pool := mem.NewTieredBufferPool(256, 4<<10, 16<<10, 32<<10, 64<<10, 128<<10)
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(config)), experimental.WithBufferPool(pool))
	if err != nil {
		return nil, fmt.Errorf("making client: %w", err)
	}
	a := &agent{conn: conn, counts: map[evidence.StreamID]uint64{}, sent: map[evidence.StreamID][]time.Time{}, acked: map[evidence.StreamID]int{}}
	if err := a.open(ctx, l); err != nil {
		_ = conn.Close() // the first error is the one to tell
		return nil, err
	}
	return a, nil
}

// enrol makes the agent by the store: enrolment is not what is measured.
func enrol(ctx context.Context, s *server, number int) (tls.Certificate, error) {
	now := s.db.cluster.now()
	secret, hash := assay.NewTokenSecret()
	token := assay.Token{Name: "bench", SecretHash: hash, Rights: []assay.Right{assay.RightEnrol}, UsesLeft: 1,
		CreatedAt: now, CreatedBy: "bench", ExpiresAt: now.Add(time.Hour)}
	_, _ = rand.Read(token.ID[:])
	if err := s.db.CreateToken(ctx, token); err != nil {
		return tls.Certificate{}, err
	}
	secretHash, err := assay.HashTokenSecret(secret)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making key: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("encoding key: %w", err)
	}
	var id assay.AgentID
	var host assay.HostID
	_, _ = rand.Read(id[:])
	_, _ = rand.Read(host[:])
	_, issued, err := s.db.Enrol(ctx, id, postgres.Enrolment{
		SecretHash: secretHash[:], Host: assay.Host{ID: host, Name: fmt.Sprintf("WS-%04d", number)}, KeyKind: assay.SoftwareKey, PublicKey: spki, Version: "1.0.0",
		Issue: func(id assay.AgentID) (assay.Certificate, error) { return s.authority.IssueAgent(id, key.Public()) },
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{issued.DER}, PrivateKey: key}, nil
}

func (a *agent) open(ctx context.Context, l *load) (err error) {
	if a.stream, err = agentv1.NewAgentServiceClient(a.conn).Connect(ctx); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	hello := &agentv1.Hello{Format: evidence.Format, AgentVersion: "1.0.0", SentAt: evidence.Ticks(time.Now())}
	if err := a.stream.Send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{Hello: hello}}); err != nil {
		return fmt.Errorf("saying hello: %w", err)
	}
	response, err := a.stream.Recv()
	if err != nil {
		return fmt.Errorf("receiving welcome: %w", err)
	}
	a.window = make(chan struct{}, max(1, int(response.GetWelcome().GetLimits().GetWindowBatches())))
	heads := map[evidence.StreamKind]*assay.Head{}
	for i := range l.drafts {
		d := &l.drafts[i]
		head := heads[d.header.Kind]
		if head == nil {
			if head, err = a.openEpoch(d.header.Kind); err != nil {
				return err
			}
			heads[d.header.Kind] = head
		}
		a.seal(head, d)
	}
	return nil
}

func (a *agent) openEpoch(kind evidence.StreamKind) (*assay.Head, error) {
	err := a.stream.Send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_OpenEpoch{
		OpenEpoch: &agentv1.OpenEpoch{Kind: agentv1.StreamKind(kind), Reason: assay.ReasonFirst, BootId: "boot"}}})
	if err != nil {
		return nil, fmt.Errorf("opening epoch: %w", err)
	}
	response, err := a.stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("opening epoch: %w", err)
	}
	sent := response.GetEpochOpened().GetHead()
	head := &assay.Head{Kind: kind, Epoch: sent.GetEpoch(), Number: sent.GetNumber(), NextSequence: sent.GetNextSequence()}
	if len(sent.GetStreamId()) != len(head.Stream) || len(sent.GetHash()) != len(head.Hash) {
		return nil, fmt.Errorf("opening epoch: instead of a head came %v", response)
	}
	copy(head.Stream[:], sent.GetStreamId())
	copy(head.Hash[:], sent.GetHash())
	return head, nil
}

// seal gives a draft its place after head, and moves head.
func (a *agent) seal(head *assay.Head, d *draft) {
	header := d.header
	header.Stream, header.Epoch, header.Number = evidence.StreamID(head.Stream), head.Epoch, head.Number+1
	header.FirstSequence, header.Previous = head.NextSequence, head.Hash
	canonical := header.Canonical()
	*head = head.After(&header, evidence.HashHeader(canonical))
	a.counts[header.Stream]++
	a.frames = append(a.frames, frame{header.Stream, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{
		Batch: &agentv1.Batch{Header: canonical, Payload: d.payload}}}})
}

// replay sends all frames and returns when all are acknowledged.
func (a *agent) replay(ctx context.Context) error {
	received := make(chan error, 1)
	var wait sync.WaitGroup
	wait.Go(func() { received <- a.receive() })
	defer wait.Wait()
	for i := range a.frames {
		select {
		case a.window <- struct{}{}:
		case err := <-received:
			return fmt.Errorf("the stream ended early: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
		f := &a.frames[i]
		a.mu.Lock()
		a.sent[f.stream] = append(a.sent[f.stream], time.Now())
		a.mu.Unlock()
		if err := a.stream.Send(f.request); err != nil {
			return fmt.Errorf("sending batch: %w", err)
		}
	}
	return <-received
}

// receive takes acks until all is acknowledged.
func (a *agent) receive() error {
	left := len(a.frames)
	for left > 0 {
		response, err := a.stream.Recv()
		if err != nil {
			return fmt.Errorf("receiving ack: %w", err)
		}
		ack := response.GetAck()
		if ack == nil || len(ack.GetStreamId()) != len(evidence.StreamID{}) {
			return fmt.Errorf("receiving ack: instead came %v", response)
		}
		left -= a.acknowledge(evidence.StreamID(ack.GetStreamId()), int(ack.GetNumber()))
	}
	return nil
}

// acknowledge settles all of the stream up to number and returns how many.
func (a *agent) acknowledge(stream evidence.StreamID, number int) int {
	now := time.Now()
	a.mu.Lock()
	sent := a.sent[stream]
	first := a.acked[stream]
	number = min(number, len(sent))
	a.acked[stream] = max(first, number)
	a.mu.Unlock()
	n := 0
	for i := first; i < number; i++ {
		a.latencies = append(a.latencies, now.Sub(sent[i]))
		<-a.window
		n++
	}
	return n
}
