package agentapi_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
)

func codeOf(err error) codes.Code { return status.Code(err) }

func (h *harness) grow(t *testing.T) {
	t.Helper()
	growing := ledger.NewGrowing(ledger.GrowConfig{Store: h.store, Keys: h.authority, Log: slog.New(slog.DiscardHandler)})
	if err := growing.RunOnce(t.Context()); err != nil {
		t.Fatal(assay.Cause(err))
	}
}

func hashesOf(raw [][]byte) []evidence.Hash {
	out := make([]evidence.Hash, len(raw))
	for i := range raw {
		out[i] = evidence.Hash(raw[i])
	}
	return out
}

func (h *harness) verifyCheckpoint(t *testing.T, answer *agentv1.Checkpoint, oldSize int64, oldRoot evidence.Hash) evidence.Checkpoint {
	t.Helper()
	verifier, err := note.NewVerifier(h.authority.LedgerKey())
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := evidence.OpenCheckpoint(answer.GetNote(), verifier)
	if err != nil {
		t.Fatal(err)
	}
	if err := evidence.CheckConsistency(checkpoint.Root, checkpoint.Size, oldRoot, oldSize, hashesOf(answer.GetConsistency())); err != nil {
		t.Error(err)
	}
	return checkpoint
}

func csr(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func enrolRequest(t *testing.T, token string, key *ecdsa.PrivateKey) *agentv1.EnrolRequest {
	t.Helper()
	return &agentv1.EnrolRequest{Token: token, Csr: csr(t, key), AgentVersion: "1.0",
		Host: &agentv1.HostIdentity{Hostname: "PC-1", Domain: "corp.example", Os: "Windows", OsVersion: "10.0.26100", KeyKind: "software", Simulated: true}}
}

func TestEnrolAndConnect(t *testing.T) {
	t.Parallel()
	h := start(t)
	token := evidencetest.Token(t, h.store, h.clock.now(), 1, assay.RightImport)
	key := evidencetest.NewKey(t)
	res, err := agentv1.NewEnrolmentServiceClient(h.dial(t, nil)).Enrol(t.Context(), enrolRequest(t, token, key))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(res.GetRights(), " ") != "enrol import" || res.GetLedgerKey() != h.authority.LedgerKey() || len(res.GetCaCertificates()) != 2 {
		t.Errorf("response %v", res)
	}
	host, err := h.store.Host(t.Context(), assay.HostID(res.GetHostId()))
	if err != nil || host.Name != "PC-1" || !host.Simulated || len(host.Tags) != 1 || host.Kind != assay.EnrolledHost {
		t.Errorf("host %+v, %v", host, err)
	}
	agent := &evidencetest.Agent{Key: key, Certificate: assay.Certificate{DER: res.GetCertificate()}}
	agent.ID = assay.AgentID(res.GetAgentId())
	c := h.connect(t, agent)
	chain := c.open(t, evidence.Control, assay.ReasonFirst)
	c.sendBatches(t, chain.Next(t, 1))
	c.acked(t, 1)
}

func TestEnrolRefuses(t *testing.T) {
	t.Parallel()
	h := start(t)
	client := agentv1.NewEnrolmentServiceClient(h.dial(t, nil))
	good := evidencetest.Token(t, h.store, h.clock.now(), 5)
	key := evidencetest.NewKey(t)
	for name, c := range map[string]struct {
		change func(*agentv1.EnrolRequest)
		want   codes.Code
	}{
		"unknown token": {func(r *agentv1.EnrolRequest) { r.Token, _ = assay.NewTokenSecret() }, codes.Unauthenticated},
		"no token":      {func(r *agentv1.EnrolRequest) { r.Token = "" }, codes.Unauthenticated},
		"no csr":        {func(r *agentv1.EnrolRequest) { r.Csr = nil }, codes.InvalidArgument},
		"no host":       {func(r *agentv1.EnrolRequest) { r.Host = nil }, codes.InvalidArgument},
		"control bytes": {func(r *agentv1.EnrolRequest) { r.Host.Domain = "a\x00b" }, codes.InvalidArgument},
		"long name":     {func(r *agentv1.EnrolRequest) { r.Host.Hostname = strings.Repeat("x", 256) }, codes.InvalidArgument},
		"key kind":      {func(r *agentv1.EnrolRequest) { r.Host.KeyKind = "magic" }, codes.InvalidArgument},
	} {
		req := enrolRequest(t, good, key)
		c.change(req)
		if _, err := client.Enrol(t.Context(), req); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if n := h.count(t, `SELECT uses_left FROM enrolment_token`); n != 5 {
		t.Errorf("refusals left %d uses of 5", n)
	}
	if n := h.count(t, `SELECT count(*) FROM host`); n != 0 {
		t.Errorf("refusals made %d hosts", n)
	}
	h.clock.advance(25 * time.Hour)
	if _, err := client.Enrol(t.Context(), enrolRequest(t, good, key)); codeOf(err) != codes.Unauthenticated {
		t.Errorf("an expired token: %v", err)
	}
}

// Ten who come at once with a token for three: three get in.
func TestTokenUses(t *testing.T) {
	t.Parallel()
	h := start(t)
	token := evidencetest.Token(t, h.store, h.clock.now(), 3)
	client := agentv1.NewEnrolmentServiceClient(h.dial(t, nil))
	var in, out atomic.Int32
	var wg sync.WaitGroup
	for range 10 {
		req := enrolRequest(t, token, evidencetest.NewKey(t))
		wg.Go(func() {
			switch _, err := client.Enrol(t.Context(), req); codeOf(err) {
			case codes.OK:
				in.Add(1)
			case codes.Unauthenticated:
				out.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if in.Load() != 3 || out.Load() != 7 {
		t.Errorf("%d in, %d out", in.Load(), out.Load())
	}
}

func TestRevokedToken(t *testing.T) {
	t.Parallel()
	h := start(t)
	token := evidencetest.Token(t, h.store, h.clock.now(), 3)
	tokens, err := h.store.Tokens(t.Context(), 10)
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	if err := h.store.RevokeToken(t.Context(), tokens[0].ID, "tester"); err != nil {
		t.Fatal(err)
	}
	if err := h.store.RevokeToken(t.Context(), tokens[0].ID, "tester"); assay.KindOf(err) != assay.NotFound {
		t.Errorf("revoked twice: %v", err)
	}
	client := agentv1.NewEnrolmentServiceClient(h.dial(t, nil))
	if _, err := client.Enrol(t.Context(), enrolRequest(t, token, evidencetest.NewKey(t))); codeOf(err) != codes.Unauthenticated {
		t.Errorf("a revoked token: %v", err)
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	h := start(t)
	agent := h.enrol(t)
	client := agentv1.NewEnrolmentServiceClient(h.dial(t, nil))
	renew := func(certificate []byte, key *ecdsa.PrivateKey) (*agentv1.RenewResponse, error) {
		return client.Renew(t.Context(), &agentv1.RenewRequest{Csr: csr(t, key), Certificate: certificate})
	}
	// Thirty days later the certificate has expired, and its key renews it.
	h.clock.advance(30 * 24 * time.Hour)
	if _, err := h.tryConnect(t, agent); err == nil {
		t.Error("an expired certificate connected")
	}
	res, err := renew(agent.Certificate.DER, agent.Key)
	if err != nil {
		t.Fatal(err)
	}
	renewed := *agent
	renewed.Certificate.DER = res.GetCertificate()
	h.connect(t, &renewed)

	if _, err := renew(agent.Certificate.DER, evidencetest.NewKey(t)); codeOf(err) != codes.PermissionDenied {
		t.Errorf("another key renewed: %v", err)
	}
	stranger, err := h.authority.IssueAgent(agent.ID, agent.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := renew(stranger.DER, agent.Key); codeOf(err) != codes.Unauthenticated {
		t.Errorf("a certificate that was never recorded renewed: %v", err)
	}
	if _, err := renew(bytes.Repeat([]byte{1}, 100), agent.Key); codeOf(err) != codes.InvalidArgument {
		t.Errorf("noise renewed: %v", err)
	}
	h.clock.advance(68 * 24 * time.Hour)
	if _, err := renew(agent.Certificate.DER, agent.Key); codeOf(err) != codes.Unauthenticated {
		t.Errorf("renewed more than 90 days after: %v", err)
	}
	if _, err := renew(res.GetCertificate(), agent.Key); err != nil {
		t.Errorf("the newer one: %v", err)
	}
	if _, err := h.store.RevokeAgent(t.Context(), assay.Revocation{Agent: agent.ID, Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	if _, err := renew(res.GetCertificate(), agent.Key); codeOf(err) != codes.PermissionDenied {
		t.Errorf("a revoked agent renewed: %v", err)
	}
}

func TestAddressLimit(t *testing.T) {
	t.Parallel()
	h := start(t, func(cfg *agentapi.Config) { cfg.AddressBurst, cfg.AddressPerMinute = 3, 1 })
	client := agentv1.NewEnrolmentServiceClient(h.dial(t, nil))
	for i := range 5 {
		_, err := client.Enrol(t.Context(), &agentv1.EnrolRequest{})
		want := codes.InvalidArgument
		if i >= 3 {
			want = codes.ResourceExhausted
		}
		if codeOf(err) != want {
			t.Errorf("request %d: %v, want %s", i, err, want)
		}
	}
	h.clock.advance(time.Minute)
	if _, err := client.Renew(t.Context(), &agentv1.RenewRequest{}); codeOf(err) != codes.InvalidArgument {
		t.Errorf("a minute later: %v", err)
	}
}

func TestAgentLimit(t *testing.T) {
	t.Parallel()
	h := start(t, func(cfg *agentapi.Config) { cfg.AgentBurst, cfg.AgentPerMinute = 2, 1 })
	agent := h.enrol(t)
	h.connect(t, agent)
	h.connect(t, agent)
	if _, err := h.tryConnect(t, agent); codeOf(err) != codes.ResourceExhausted {
		t.Errorf("a third stream at once: %v", err)
	}
	h.connect(t, h.enrol(t)) // another agent is not hindered
	h.clock.advance(time.Minute)
	h.connect(t, agent)
}

// Every method of every service is in the table, or is refused to everyone.
func TestEveryMethodHasARequirement(t *testing.T) {
	t.Parallel()
	h := start(t)
	nobody, agent := h.dial(t, nil), h.dial(t, h.enrol(t))
	open := map[string]bool{agentv1.EnrolmentService_Enrol_FullMethodName: true, agentv1.EnrolmentService_Renew_FullMethodName: true}
	for _, file := range []protoreflect.FileDescriptor{agentv1.File_assay_agent_v1_connect_proto, agentv1.File_assay_agent_v1_enrolment_proto} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				name := "/" + string(service.FullName()) + "/" + string(method.Name())
				if agentapi.Requirements(name) == agentapi.Denied {
					t.Errorf("%s asks nothing of its caller and is refused to all", name)
				}
				err := call(t, nobody, method, name)
				if unidentified := codeOf(err) == codes.Unauthenticated; unidentified == open[name] && codeOf(err) != codes.InvalidArgument {
					t.Errorf("%s by nobody: %v", name, err)
				}
				if !open[name] && codeOf(err) != codes.Unauthenticated {
					t.Errorf("%s by nobody: %v, want unauthenticated", name, err)
				}
				if err := call(t, agent, method, name); codeOf(err) != codes.InvalidArgument {
					t.Errorf("%s by an agent with an empty message: %v", name, err)
				}
			}
		}
	}
	if agentapi.Requirements("/assay.agent.v1.AgentService/Other") != agentapi.Denied {
		t.Error("a method that is not named is not refused")
	}
}

// call sends one empty message.
func call(t *testing.T, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, name string) error {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, name)
	if err != nil {
		return err
	}
	_ = method
	if err := stream.SendMsg(&agentv1.EnrolRequest{}); err == nil {
		_ = stream.CloseSend()
	}
	return stream.RecvMsg(&agentv1.EnrolResponse{})
}

// The server's clock is set back, to before the certificate of a stream that is open:
// what comes then is not recorded, as it would never verify, and is when the clock is
// right.
func TestClockBeforeTheCertificate(t *testing.T) {
	t.Parallel()
	h := start(t)
	agent := h.enrol(t)
	c := h.connect(t, agent)
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	c.sendBatches(t, chain.Next(t, 1))
	c.acked(t, 1)
	size := h.count(t, `SELECT size FROM ledger_head`)
	h.clock.advance(-3 * time.Hour)
	late := chain.Next(t, 1)
	c.sendBatches(t, late)
	c.ends(t, codes.Unauthenticated)
	if n := h.count(t, `SELECT size FROM ledger_head`); n != size {
		t.Errorf("the ledger grew from %d to %d", size, n)
	}
	h.clock.advance(3 * time.Hour)
	again := h.connect(t, agent)
	again.sendBatches(t, late)
	again.acked(t, 2)
}
