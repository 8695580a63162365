package agentapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
)

// signedTree is a checkpoint by the ledger's key, of whatever tree.
func (h *harness) signedTree(t *testing.T, size int64, root string) []byte {
	t.Helper()
	signed, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: h.authority.Origin(), Size: size, Root: evidence.HashLeaf([]byte(root))}, h.authority.LedgerSigners()...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// greet opens the agent's stream and says that it has verified a checkpoint.
func (h *harness) greet(t *testing.T, agent *evidencetest.Agent, checkpoint []byte) (*agentv1.ConnectResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := agentv1.NewAgentServiceClient(h.dial(t, agent)).Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{
		Hello: &agentv1.Hello{Format: evidence.Format, SentAt: evidence.Ticks(h.clock.now()), Checkpoint: checkpoint}}})
	return stream.Recv()
}

// An agent that remembers more of the ledger than there is keeps it from being
// signed over; one that remembers what there is, or another ledger, does not.
func TestRestoredLedgerIsNoticed(t *testing.T) {
	t.Parallel()
	h := start(t)
	agent := h.enrol(t)
	h.grow(t)
	latest, err := h.store.LatestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: "assay/other", Size: 99, Root: evidence.HashLeaf(nil)}, evidencetest.Authority(t, h.clock.now).LedgerSigners()...)
	if err == nil {
		t.Fatal("a checkpoint was signed under a name that is not the key's")
	}
	for name, signed := range map[string][]byte{"nothing": nil, "the newest checkpoint": latest.Note, "another ledger's": foreign, "no note": []byte("no note")} {
		if frame, err := h.greet(t, agent, signed); err != nil || frame.GetWelcome() == nil {
			t.Errorf("one who shows %s is answered %v, %v", name, frame, err)
		}
	}
	if n := h.count(t, `SELECT count(*) FROM held_checkpoint`); n != 0 {
		t.Fatalf("%d checkpoints are said to be missing", n)
	}
	if frame, err := h.greet(t, agent, h.signedTree(t, latest.Size+5, "gone")); err != nil || frame.GetWelcome() == nil {
		t.Fatalf("one who shows a larger one is answered %v, %v", frame, err)
	}
	if n := h.count(t, `SELECT count(*) FROM held_checkpoint WHERE settled_at IS NULL AND agent_id IS NOT NULL`); n != 1 {
		t.Fatalf("%d checkpoints are said to be missing", n)
	}
	h.enrol(t) // a leaf
	growing := ledger.NewGrowing(ledger.GrowConfig{Store: h.store, Keys: h.authority, Log: slog.New(slog.DiscardHandler)})
	if err := growing.RunOnce(t.Context()); err == nil {
		t.Error("the ledger grows while an agent holds another tree")
	}
	if _, err := h.greet(t, agent, make([]byte, 65<<10)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a checkpoint of 65 KiB: %v", err)
	}
}

// A collector hears what agents hold, known or not, and takes nothing else.
func TestCollector(t *testing.T) {
	t.Parallel()
	h := start(t)
	agent := h.enrol(t)
	h.stopServer(t)
	certificate, err := h.authority.NewServer([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan agentapi.Showing, 1)
	collector := agentapi.NewCollector(agentapi.CollectorConfig{Certificate: certificate, Log: slog.New(slog.DiscardHandler),
		Shown: func(_ context.Context, s agentapi.Showing) error {
			shown <- s
			return errors.New("told to the operator alone")
		}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- collector.Run(ctx, listener) }()
	signed := h.signedTree(t, 7, "gone")
	frame, err := h.greet(t, agent, signed)
	if err != nil || frame.GetDrain().GetReconnectAfterSeconds() < 15 {
		t.Fatalf("the answer is %v, %v", frame, err)
	}
	if s := <-shown; s.Agent != agent.ID || string(s.Checkpoint) != string(signed) || s.Address != "127.0.0.1" {
		t.Errorf("heard %+v", s)
	}
	if _, err := h.greet(t, nil, signed); status.Code(err) != codes.Unauthenticated {
		t.Errorf("one without a certificate: %v", err)
	}
	if _, err := agentv1.NewEnrolmentServiceClient(h.dial(t, nil)).Enrol(t.Context(), &agentv1.EnrolRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("an enrolment: %v", err)
	}
	stop()
	if err := <-done; err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
