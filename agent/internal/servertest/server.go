package servertest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// Token is the enrolment token that a Server takes.
const Token = "test-token"

// Server is a running server. Its hooks must be set before an agent connects.
type Server struct {
	agentv1.UnimplementedEnrolmentServiceServer
	agentv1.UnimplementedAgentServiceServer

	Address   string
	CAHash    string
	LedgerKey string
	// CertificateLife is that of issued certificates.
	CertificateLife time.Duration

	// Received is called for each frame from an agent, before it is handled; an
	// error ends the stream. Sending is called for each answer; an error ends the
	// stream without it. Both may be nil and may change the frame.
	Received func(*agentv1.ConnectRequest) error
	Sending  func(*agentv1.ConnectResponse) error
	// Limits are stated in Welcome. SafeAfter likewise, in seconds; 0: every
	// batch is safe with its ack.
	Limits    *agentv1.Limits
	SafeAfter uint32

	ca     *authority
	signer note.Signer
	old    note.Signer // signs too after Rotate; nil: it does not
	grpc   *grpc.Server

	mu       sync.Mutex
	streams  map[streamKey]*stream
	leaves   [][]byte
	hashes   []tlog.Hash
	commits  []Commit
	reasons  []string
	lost     [][2]uint64 // by agents' own word
	forks    int
	cosigned []*agentv1.Cosignature
	changes  []keyChange
}

type streamKey struct {
	agent evidence.ID
	kind  evidence.StreamKind
}

type stream struct {
	id       evidence.StreamID
	epoch    uint32
	number   uint64
	hash     evidence.Hash
	sequence uint64
	position uint64 // of the newest batch
	past     map[[2]uint64]evidence.Hash
}

// Commit is a batch as committed.
type Commit struct {
	Agent  evidence.ID
	Header evidence.Header
	Frame  *agentv1.Batch
}

// New starts a server on loopback that ends with the test.
func New(t testing.TB, now func() time.Time) *Server {
	t.Helper()
	s := &Server{ca: newAuthority(t, now), streams: map[streamKey]*stream{}, CertificateLife: 7 * 24 * time.Hour}
	s.CAHash = s.ca.hash()
	secret, public, err := note.GenerateKey(rand.Reader, "test.example/ledger")
	if err != nil {
		t.Fatal(err)
	}
	if s.signer, err = note.NewSigner(secret); err != nil {
		t.Fatal(err)
	}
	s.LedgerKey = public
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = listener.Addr().String()
	s.grpc = grpc.NewServer(grpc.Creds(credentials.NewTLS(s.ca.serverTLS(t))),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}))
	agentv1.RegisterEnrolmentServiceServer(s.grpc, s)
	agentv1.RegisterAgentServiceServer(s.grpc, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.grpc.Serve(listener) })
	t.Cleanup(func() {
		s.grpc.Stop()
		serving.Wait()
	})
	return s
}

// Enrol implements EnrolmentService.
func (s *Server) Enrol(_ context.Context, r *agentv1.EnrolRequest) (*agentv1.EnrolResponse, error) {
	if r.GetToken() != Token {
		return nil, status.Error(codes.PermissionDenied, "the token is unknown or used up")
	}
	csr, err := x509.ParseCertificateRequest(r.GetCsr())
	if err != nil || csr.CheckSignature() != nil {
		return nil, status.Error(codes.InvalidArgument, "no valid certificate request")
	}
	var id, host evidence.ID
	_, _ = rand.Read(id[:])
	_, _ = rand.Read(host[:])
	der, err := s.ca.issueAgent(id, csr.PublicKey, s.CertificateLife)
	if err != nil {
		return nil, err
	}
	return &agentv1.EnrolResponse{
		AgentId: id[:], HostId: host[:], Certificate: der, CaCertificates: [][]byte{s.ca.root.Raw},
		LedgerKey: s.LedgerKey, Rights: []string{"enrol", "import"},
	}, nil
}

// Renew implements EnrolmentService.
func (s *Server) Renew(_ context.Context, r *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	csr, err := x509.ParseCertificateRequest(r.GetCsr())
	if err != nil || csr.CheckSignature() != nil {
		return nil, status.Error(codes.InvalidArgument, "no valid certificate request")
	}
	old, err := x509.ParseCertificate(r.GetCertificate())
	if err != nil || old.CheckSignatureFrom(s.ca.root) != nil || !equalKeys(old.PublicKey, csr.PublicKey) {
		return nil, status.Error(codes.PermissionDenied, "the certificate is not one of ours")
	}
	id, err := agentID(old)
	if err != nil {
		return nil, err
	}
	der, err := s.ca.issueAgent(id, csr.PublicKey, s.CertificateLife)
	if err != nil {
		return nil, err
	}
	return &agentv1.RenewResponse{Certificate: der, CaCertificates: [][]byte{s.ca.root.Raw}, LedgerKey: s.LedgerKey}, nil
}

func equalKeys(a, b any) bool {
	x, err1 := x509.MarshalPKIXPublicKey(a)
	y, err2 := x509.MarshalPKIXPublicKey(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

func agentID(leaf *x509.Certificate) (id evidence.ID, err error) {
	if len(leaf.URIs) != 1 {
		return id, status.Error(codes.Unauthenticated, "no agent's certificate")
	}
	return id, id.UnmarshalText([]byte(strings.TrimPrefix(leaf.URIs[0].String(), "assay:agent:")))
}

func caller(ctx context.Context) (evidence.ID, error) {
	p, _ := peer.FromContext(ctx)
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return evidence.ID{}, status.Error(codes.Unauthenticated, "no client certificate")
	}
	return agentID(info.State.PeerCertificates[0])
}
