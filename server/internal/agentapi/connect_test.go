package agentapi_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
)

func TestConnect(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	if len(c.welcome.GetHeads()) != 0 || c.welcome.GetSafeAfterSeconds() != 86_400 || c.welcome.GetLimits().GetWindowBatches() != 8 {
		t.Errorf("welcome %v", c.welcome)
	}
	bulk, control := c.open(t, evidence.Bulk, assay.ReasonFirst), c.open(t, evidence.Control, assay.ReasonFirst)
	var last *assay.Batch
	for range 20 {
		last = bulk.Next(t, 3)
		c.sendBatches(t, last)
	}
	ack := c.acked(t, 20)
	if string(ack.GetHash()) != string(last.Hash[:]) || ack.GetEpoch() != 1 || ack.GetSafeNumber() != 0 {
		t.Errorf("ack %v", ack)
	}
	c.sendBatches(t, control.Signed(t, 1))
	c.acked(t, 1)
	if n := h.count(t, `SELECT count(*) FROM batch`); n != 21 {
		t.Errorf("%d batches, want 21", n)
	}
	// What was sent last is acknowledged even if the agent says no more.
	c.sendBatches(t, bulk.Next(t, 1))
	if err := c.CloseSend(); err != nil {
		t.Fatal(err)
	}
	c.acked(t, 21)
	if _, err := c.Recv(); err == nil || err.Error() != "EOF" {
		t.Errorf("after the last ack: %v", err)
	}
	again := h.connect(t, c.agent)
	if heads := again.welcome.GetHeads(); len(heads) != 2 || headOf(t, heads[1]).Hash != bulk.Head.Hash || heads[1].GetNextSequence() != 61 {
		t.Errorf("heads after all that: %v", heads)
	}
}

func TestReplaySkipReorderFork(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	beginning := *chain
	sent := []*assay.Batch{chain.Next(t, 1), chain.Next(t, 1), chain.Next(t, 1), chain.Next(t, 1)}

	// A skip is answered once with the head, however much follows it.
	c.sendBatches(t, sent[0])
	c.acked(t, 1)
	c.sendBatches(t, sent[2], sent[3])
	if head := c.recv(t).GetResend().GetHead(); head.GetNumber() != 1 || headOf(t, head).Hash != sent[0].Hash {
		t.Errorf("resend from %v", head)
	}
	// Out of order: 3 before 2 is a skip, then all is well.
	c.sendBatches(t, sent[1], sent[2], sent[3])
	c.acked(t, 4)
	// A replay is acknowledged again.
	c.sendBatches(t, sent[1])
	if ack := c.acked(t, 2); string(ack.GetHash()) != string(sent[1].Hash[:]) {
		t.Errorf("ack of a replay %v", ack)
	}
	// An epoch that is not: the head again.
	later := *chain
	later.Head.Epoch = 7
	c.sendBatches(t, later.Next(t, 1))
	if head := c.recv(t).GetResend().GetHead(); head.GetEpoch() != 1 || head.GetNumber() != 4 {
		t.Errorf("resend from %v", head)
	}
	// Another batch 1 is a fork: kept, told once, and the stream waits for an epoch.
	other := beginning
	c.sendBatches(t, other.Next(t, 1))
	forked := c.recv(t).GetForked()
	if forked.GetNumber() != 1 || forked.GetHead().GetNumber() != 4 || forked.GetMessage() == "" {
		t.Errorf("forked %v", forked)
	}
	c.sendBatches(t, chain.Next(t, 1), other.Next(t, 1))
	next := c.open(t, evidence.Bulk, assay.ReasonRollback)
	if next.Head.Epoch != 2 || next.Head.Stream != chain.Head.Stream {
		t.Errorf("next epoch %+v", next.Head)
	}
	// The old epoch is no more.
	c.sendBatches(t, chain.Next(t, 1))
	if head := c.recv(t).GetResend().GetHead(); head.GetEpoch() != 2 || head.GetNumber() != 0 {
		t.Errorf("resend from %v", head)
	}
	c.sendBatches(t, next.Next(t, 1))
	c.acked(t, 1)
	if n := h.count(t, `SELECT count(*) FROM fork`); n != 1 {
		t.Errorf("%d forks kept, want 1", n)
	}
	if n := h.count(t, `SELECT count(*) FROM batch`); n != 5 {
		t.Errorf("%d batches kept, want 5", n)
	}
}

// An agent that does not heed a resend is told again.
func TestResendAgain(t *testing.T) {
	t.Parallel()
	h := start(t, func(cfg *agentapi.Config) { cfg.Limits.WindowBatches = 3 })
	c := h.connect(t, h.enrol(t))
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	first := chain.Next(t, 1)
	_ = chain.Next(t, 1)
	for range 5 {
		c.sendBatches(t, chain.Next(t, 1))
	}
	for range 2 {
		if frame := c.recv(t); frame.GetResend() == nil {
			t.Errorf("instead of a resend came %v", frame)
		}
	}
	c.sendBatches(t, first)
	c.acked(t, 1)
}

func TestRefusedBatches(t *testing.T) {
	t.Parallel()
	h := start(t)
	for name, c := range map[string]struct {
		change func(t *testing.T, chain *evidencetest.Chain, b *agentv1.Batch)
		want   codes.Code
	}{
		"flipped payload": {func(_ *testing.T, _ *evidencetest.Chain, b *agentv1.Batch) { b.Payload[5] ^= 1 }, codes.InvalidArgument},
		"short payload":   {func(_ *testing.T, _ *evidencetest.Chain, b *agentv1.Batch) { b.Payload = b.Payload[1:] }, codes.InvalidArgument},
		"short header":    {func(_ *testing.T, _ *evidencetest.Chain, b *agentv1.Batch) { b.Header = b.Header[1:] }, codes.InvalidArgument},
		"newer header":    {func(_ *testing.T, _ *evidencetest.Chain, b *agentv1.Batch) { b.Header[1]++ }, codes.InvalidArgument},
		"no header":       {func(_ *testing.T, _ *evidencetest.Chain, b *agentv1.Batch) { b.Header = nil }, codes.InvalidArgument},
		"other's signature": {func(t *testing.T, chain *evidencetest.Chain, b *agentv1.Batch) {
			thief := *chain
			stranger := *chain.Agent
			stranger.Key = evidencetest.NewKey(t)
			thief.Agent = &stranger
			b.HeadSignature = thief.Signed(t, 1).HeadSignature
		}, codes.InvalidArgument},
		"unknown stream": {func(t *testing.T, chain *evidencetest.Chain, b *agentv1.Batch) {
			other := *chain
			other.Head.Stream[3] ^= 1
			sealed := other.Peek(t, 1)
			b.Header, b.Payload = sealed.HeaderBytes, sealed.Payload
		}, codes.FailedPrecondition},
		"raw size": {func(t *testing.T, chain *evidencetest.Chain, b *agentv1.Batch) {
			good := chain.Peek(t, 100)
			good.Header.RawSize++
			b.Header, b.Payload = good.Header.Canonical(), good.Payload
		}, codes.InvalidArgument},
		"too many events": {func(t *testing.T, chain *evidencetest.Chain, b *agentv1.Batch) {
			good := chain.Peek(t, 1)
			good.Header.EventCount = 5000
			b.Header, b.Payload = good.Header.Canonical(), good.Payload
		}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := h.connect(t, h.enrol(t))
			chain := conn.open(t, evidence.Bulk, assay.ReasonFirst)
			b := wire(chain.Next(t, 2))
			c.change(t, chain, b)
			conn.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{Batch: b}})
			conn.ends(t, c.want)
		})
	}
	t.Run("another agent's stream", func(t *testing.T) {
		t.Parallel()
		victim := h.connect(t, h.enrol(t))
		chain := victim.open(t, evidence.Bulk, assay.ReasonFirst)
		thief := h.connect(t, h.enrol(t))
		thief.sendBatches(t, chain.Peek(t, 1))
		thief.ends(t, codes.FailedPrecondition)
		victim.sendBatches(t, chain.Next(t, 1))
		victim.acked(t, 1)
	})
}

func TestProtocol(t *testing.T) {
	t.Parallel()
	h := start(t)
	hello := func(change func(*agentv1.Hello)) *agentv1.ConnectRequest {
		m := &agentv1.Hello{Format: evidence.Format, AgentVersion: "1"}
		change(m)
		return &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Hello{Hello: m}}
	}
	for name, frame := range map[string]*agentv1.ConnectRequest{
		"no frame":     {},
		"not Hello":    {Frame: &agentv1.ConnectRequest_CheckpointRequest{}},
		"no format":    hello(func(m *agentv1.Hello) { m.Format = 0 }),
		"long version": hello(func(m *agentv1.Hello) { m.AgentVersion = string(make([]byte, 65)) }),
		"many heads":   hello(func(m *agentv1.Hello) { m.Heads = make([]*agentv1.Head, 17) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if m := frame.GetHello(); m != nil {
				for i := range m.GetHeads() {
					m.Heads[i] = &agentv1.Head{}
				}
			}
			stream, err := agentv1.NewAgentServiceClient(h.dial(t, h.enrol(t))).Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := &client{BidiStreamingClient: stream}
			c.send(t, frame)
			c.ends(t, codes.InvalidArgument)
		})
	}
	for name, frame := range map[string]*agentv1.ConnectRequest{
		"second Hello": hello(func(*agentv1.Hello) {}),
		"no frame":     {},
		"no reason":    {Frame: &agentv1.ConnectRequest_OpenEpoch{OpenEpoch: &agentv1.OpenEpoch{Kind: 1}}},
		"no kind":      {Frame: &agentv1.ConnectRequest_OpenEpoch{OpenEpoch: &agentv1.OpenEpoch{Kind: 77, Reason: "first"}}},
		"stream id":    {Frame: &agentv1.ConnectRequest_CheckpointRequest{CheckpointRequest: &agentv1.CheckpointRequest{StreamIds: [][]byte{{1}}}}},
	} {
		t.Run(name+" later", func(t *testing.T) {
			t.Parallel()
			c := h.connect(t, h.enrol(t))
			c.send(t, frame)
			c.ends(t, codes.InvalidArgument)
		})
	}
}

func TestImportNeedsItsRight(t *testing.T) {
	t.Parallel()
	h := start(t)
	without := h.connect(t, h.enrol(t))
	without.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_OpenEpoch{
		OpenEpoch: &agentv1.OpenEpoch{Kind: agentv1.StreamKind_STREAM_KIND_IMPORT, Reason: "first"}}})
	without.ends(t, codes.PermissionDenied)
	with := h.connect(t, h.enrol(t, assay.RightImport))
	chain := with.open(t, evidence.Import, assay.ReasonFirst)
	with.sendBatches(t, chain.Next(t, 1))
	with.acked(t, 1)
}

func TestTooManyEpochs(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	for range 8 {
		c.open(t, evidence.Bulk, assay.ReasonRollback)
	}
	c.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_OpenEpoch{
		OpenEpoch: &agentv1.OpenEpoch{Kind: agentv1.StreamKind_STREAM_KIND_BULK, Reason: "rollback"}}})
	c.ends(t, codes.ResourceExhausted)
}

// A second stream of an agent ends its first: a dead connection is no hindrance.
func TestSecondStreamEndsFirst(t *testing.T) {
	t.Parallel()
	h := start(t)
	first := h.connect(t, h.enrol(t))
	chain := first.open(t, evidence.Bulk, assay.ReasonFirst)
	second := h.connect(t, first.agent)
	first.ends(t, codes.Unavailable)
	second.sendBatches(t, chain.Next(t, 1))
	second.acked(t, 1)
}

func TestRevocationEndsOpenStreams(t *testing.T) {
	t.Parallel()
	for name, speak := range map[string]bool{"silent": false, "speaking": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, func(cfg *agentapi.Config) {
				if speak {
					cfg.RevocationPoll = time.Hour // the writer's lock must tell
				}
			})
			c := h.connect(t, h.enrol(t))
			chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
			c.sendBatches(t, chain.Next(t, 1))
			c.acked(t, 1)
			if _, err := h.store.RevokeAgent(t.Context(), assay.Revocation{Agent: c.agent.ID, Reason: "stolen"}); err != nil {
				t.Fatal(err)
			}
			if speak {
				c.sendBatches(t, chain.Next(t, 1))
			}
			c.ends(t, codes.PermissionDenied)
			if n := h.count(t, `SELECT count(*) FROM batch`); n != 1 {
				t.Errorf("%d batches, want 1", n)
			}
			if _, err := h.tryConnect(t, c.agent); codeOf(err) != codes.PermissionDenied {
				t.Errorf("a revoked agent connected: %v", err)
			}
		})
	}
}

// TestRevocationWithBatchesUnderWay revokes an agent whose batches are with the writer.
// What is acknowledged is stored; what came to the stream's row behind the revocation is
// not, and the batch that was before it is, whether or not its ack could still be sent.
func TestRevocationWithBatchesUnderWay(t *testing.T) {
	t.Parallel()
	for name, batchesFirst := range map[string]bool{"batches first": true, "revocation first": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, func(cfg *agentapi.Config) { cfg.RevocationPoll = time.Hour })
			c := h.connect(t, h.enrol(t))
			chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
			batches := []*assay.Batch{chain.Next(t, 1), chain.Next(t, 1), chain.Next(t, 1), chain.Next(t, 1)}
			c.sendBatches(t, batches[0])
			c.acked(t, 1)
			release := h.lockStream(t, chain.Head.Stream)
			waiting := func(n int) {
				t.Helper()
				h.until(t, func() bool {
					return h.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == n
				})
			}
			var revoking sync.WaitGroup
			steps := []func(){
				func() { c.sendBatches(t, batches[1:]...) },
				func() {
					revoking.Go(func() {
						if _, err := h.store.RevokeAgent(t.Context(), assay.Revocation{Agent: c.agent.ID, Reason: "stolen"}); err != nil {
							t.Error(err)
						}
					})
				},
			}
			if !batchesFirst {
				slices.Reverse(steps)
			}
			for i, step := range steps {
				step()
				waiting(i + 1)
			}
			release()
			revoking.Wait()
			if batchesFirst {
				_ = c.Send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Batch{Batch: wire(chain.Next(t, 1))}}) // it may have heard already
			}
			acked := c.ends(t, codes.PermissionDenied)
			stored := h.count(t, `SELECT count(*) FROM batch`)
			if acked > uint64(stored) || batchesFirst && stored < 2 || !batchesFirst && stored > 1 {
				t.Errorf("%d batches are stored, acknowledged are those to %d", stored, acked)
			}
			h.holdsExactly(t, acknowledged(batches[:min(stored, len(batches))]...))
		})
	}
}

func TestExpiryEndsOpenStreams(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	h.clock.advance(8 * 24 * time.Hour)
	c.ends(t, codes.Unauthenticated)
}

func TestExpiredBatchIsNotCommitted(t *testing.T) {
	t.Parallel()
	h := start(t, func(cfg *agentapi.Config) { cfg.RevocationPoll = time.Hour })
	c := h.connect(t, h.enrol(t))
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	h.clock.advance(7*24*time.Hour - 10*time.Second)
	c.sendBatches(t, chain.Next(t, 1))
	c.ends(t, codes.Unauthenticated)
	if n := h.count(t, `SELECT count(*) FROM batch`); n != 0 {
		t.Errorf("%d batches by a certificate that would have run out", n)
	}
}

func TestAgentsAreNoted(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	h.until(t, func() bool {
		agent, err := h.store.Agent(t.Context(), c.agent.ID)
		if err != nil {
			t.Fatal(err)
		}
		if agent.LastSeenAt.IsZero() {
			h.clock.advance(time.Minute) // notes are made once a minute
			return false
		}
		if agent.LastAddress != "127.0.0.1" || agent.Version != "1.2.3" {
			t.Errorf("noted %+v", agent)
		}
		return true
	})
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	ask := func(known uint64) *agentv1.Checkpoint {
		c.send(t, &agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_CheckpointRequest{
			CheckpointRequest: &agentv1.CheckpointRequest{KnownSize: known, StreamIds: [][]byte{chain.Head.Stream[:]}}}})
		frame := c.recv(t)
		if frame.GetCheckpoint() == nil {
			t.Fatalf("instead of a checkpoint came %v", frame)
		}
		return frame.GetCheckpoint()
	}
	if empty := ask(0); len(empty.GetNote()) != 0 {
		t.Errorf("a checkpoint before there is one: %v", empty)
	}
	h.grow(t)
	first := h.verifyCheckpoint(t, ask(0), 0, evidence.Hash{})
	for range 5 {
		b := chain.Next(t, 1)
		c.sendBatches(t, b)
		c.acked(t, b.Header.Number)
	}
	h.grow(t)
	c.sendBatches(t, chain.Next(t, 1))
	c.acked(t, 6)
	answer := ask(uint64(first.Size))
	checkpoint := h.verifyCheckpoint(t, answer, first.Size, first.Root)
	if n := len(answer.GetInclusions()); n != 1 {
		t.Fatalf("%d inclusions, want 1", n)
	}
	inclusion := answer.GetInclusions()[0]
	err := evidence.CheckInclusion(checkpoint.Root, checkpoint.Size, int64(inclusion.GetPosition()), evidence.HashLeaf(inclusion.GetLeaf()), hashesOf(inclusion.GetProof()))
	if err != nil {
		t.Error(err)
	}
	leaf, err := evidence.ParseLeaf(inclusion.GetLeaf())
	if err != nil {
		t.Fatal(err)
	}
	if body, err := evidence.ParseBatchLeaf(leaf.Body); err != nil || body.Number != 5 || body.Agent != c.agent.ID {
		t.Errorf("the leaf is of %+v, %v", body, err)
	}
	// Someone who has seen more than there is gets no proof of it.
	if larger := ask(1000); len(larger.GetNote()) == 0 || len(larger.GetConsistency()) != 0 {
		t.Errorf("answer to a larger ledger: %v", larger)
	}
}
