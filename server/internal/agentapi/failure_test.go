package agentapi_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
)

func (h *harness) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := h.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// atCommit makes every transaction that moves a stream do something as it commits.
func (h *harness) atCommit(t *testing.T, do string) (undo func()) {
	t.Helper()
	h.exec(t, `CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+do+`; RETURN NULL; END $$`)
	h.exec(t, `CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON stream DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()`)
	return func() { h.exec(t, `DROP TRIGGER at_commit ON stream`) }
}

// A commit that fails, or of which nobody can tell, ends the stream; the agent
// comes back and goes on from what the database has.
func TestFailedCommit(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]string{
		"refused": `RAISE EXCEPTION 'no' USING ERRCODE = '40001'`,
		"unknown": `PERFORM pg_terminate_backend(pg_backend_pid())`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			c := h.connect(t, h.enrol(t))
			chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
			undo := h.atCommit(t, do)
			lost := []*assay.Batch{chain.Next(t, 1), chain.Next(t, 1)}
			c.sendBatches(t, lost...)
			c.ends(t, codes.Unavailable)
			undo()
			c = h.connect(t, c.agent)
			if head := c.welcome.GetHeads()[0]; head.GetNumber() != 0 {
				t.Errorf("head after a failed commit: %v", head)
			}
			c.sendBatches(t, lost...)
			c.acked(t, 2)
			h.holdsExactly(t, acknowledged(lost...))
		})
	}
}

// acknowledged are batches that holdsExactly wants.
func acknowledged(batches ...*assay.Batch) map[string]string {
	want := map[string]string{}
	for _, b := range batches {
		want[b.Hash.String()] = fmt.Sprintf("batch %d of stream %x", b.Header.Number, b.Header.Stream[:4])
	}
	return want
}

// A batch that the database refuses ends its own agent's stream and no other.
func TestOneBadBatch(t *testing.T) {
	t.Parallel()
	h := start(t, func(cfg *agentapi.Config) { cfg.Writers = 1 })
	bad, good, blocker := h.connect(t, h.enrol(t)), h.connect(t, h.enrol(t)), h.connect(t, h.enrol(t))
	badChain, goodChain := bad.open(t, evidence.Bulk, assay.ReasonFirst), good.open(t, evidence.Bulk, assay.ReasonFirst)
	blockChain := blocker.open(t, evidence.Bulk, assay.ReasonFirst)
	h.exec(t, `ALTER TABLE batch ADD CHECK (stream_id <> '`+badChain.Head.Stream.String()+`')`)
	// The writer waits for the blocker's row while the others queue up behind it.
	release := h.lockStream(t, blockChain.Head.Stream)
	blocker.sendBatches(t, blockChain.Next(t, 1))
	h.untilQueued(t, 1)
	bad.sendBatches(t, badChain.Next(t, 1))
	good.sendBatches(t, goodChain.Next(t, 1))
	h.untilQueued(t, 3*600)
	release()
	good.acked(t, 1)
	blocker.acked(t, 1)
	bad.ends(t, codes.InvalidArgument)
}

// lockStream holds a stream's row as another server's writer would.
func (h *harness) lockStream(t *testing.T, id assay.StreamID) (release func()) {
	t.Helper()
	tx, err := h.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM stream WHERE id = $1 FOR UPDATE`, [16]byte(id)); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		if err := tx.Rollback(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

func (h *harness) metric(t *testing.T, name string) (value float64) {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				value += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return value
}

// until looks again and again, leaving the machine to the others in between. It
// gives up before the writer's own timeout would.
func (h *harness) until(t *testing.T, done func() bool) {
	t.Helper()
	ticker, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatal("what was waited for did not come")
		}
	}
}

// untilQueued waits until at least so many bytes are received and not settled.
func (h *harness) untilQueued(t *testing.T, bytes float64) {
	t.Helper()
	h.until(t, func() bool { return h.metric(t, "assay_ingest_queued_bytes") >= bytes })
}

// While the database does not keep up no more is received than the bounds
// allow, of one agent and of all; then everything is acknowledged.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	const window, agents, each = 4, 6, 20
	const bound = 64 << 10 // less than all windows hold
	h := start(t, func(cfg *agentapi.Config) {
		cfg.Limits.WindowBatches, cfg.Limits.MaxPayload, cfg.QueueBytes, cfg.Writers = window, bound/4, bound, 1
	})
	clients, chains := make([]*client, agents), make([]*evidencetest.Chain, agents)
	for i := range clients {
		clients[i] = h.connect(t, h.enrol(t))
		chains[i] = clients[i].open(t, evidence.Bulk, assay.ReasonFirst)
	}
	// All is made before the lock is taken: from then on the writer's own patience
	// runs, which a slow machine would spend on making batches.
	batches := make([][]*assay.Batch, agents)
	for i := range batches {
		for range each {
			batches[i] = append(batches[i], chains[i].Next(t, 1300)) // about 4 KiB compressed
		}
	}
	release := h.lockStream(t, chains[0].Head.Stream)
	var senders sync.WaitGroup
	for i, c := range clients {
		senders.Go(func() { c.sendBatches(t, batches[i]...) })
	}
	h.untilQueued(t, bound/2)
	looks := 0
	h.until(t, func() bool {
		if got := h.metric(t, "assay_ingest_queued_bytes"); got > bound {
			t.Errorf("%v bytes queued, the bound is %d", got, bound)
		}
		looks++
		return looks == 40
	})
	release()
	for _, c := range clients {
		c.acked(t, each)
	}
	senders.Wait()
	// The last batch leaves the account after its ack was handed to the sender.
	h.until(t, func() bool { return h.metric(t, "assay_ingest_queued_bytes") == 0 })
}

// Two servers, one stream: the fence decides, and the loser's batch is a fork.
func TestTwoServersOneStream(t *testing.T) {
	t.Parallel()
	h := start(t)
	other := newHarness(t, h.pool)
	other.authority = h.authority
	other.serve(t)
	zombie := h.connect(t, h.enrol(t))
	chain := zombie.open(t, evidence.Bulk, assay.ReasonFirst)
	stale := *chain
	live := other.connect(t, zombie.agent)
	live.sendBatches(t, chain.Next(t, 1), chain.Next(t, 1))
	live.acked(t, 2)
	zombie.sendBatches(t, stale.Next(t, 1))
	if forked := zombie.recv(t).GetForked(); forked.GetHead().GetNumber() != 2 {
		t.Errorf("forked %v", forked)
	}
	live.sendBatches(t, chain.Next(t, 1))
	live.acked(t, 3)
}

// Another server opened an epoch: this one learns it from the lock.
func TestEpochMovedElsewhere(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	moved := evidencetest.Open(t, h.store, c.agent, evidence.Bulk, assay.ReasonRollback)
	c.sendBatches(t, chain.Next(t, 1), chain.Next(t, 1))
	if head := c.recv(t).GetResend().GetHead(); head.GetEpoch() != 2 {
		t.Errorf("resend from %v", head)
	}
	c.sendBatches(t, moved.Next(t, 1))
	if ack := c.recv(t).GetAck(); ack.GetEpoch() != 2 || ack.GetNumber() != 1 {
		t.Errorf("ack %v", ack)
	}
}

// A stopping server settles what is under way and asks the agents to come back.
func TestDrain(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.connect(t, h.enrol(t))
	chain := c.open(t, evidence.Bulk, assay.ReasonFirst)
	release := h.lockStream(t, chain.Head.Stream)
	c.sendBatches(t, chain.Next(t, 1))
	h.untilQueued(t, 1)
	h.stop()
	release()
	c.acked(t, 1)
	if drain := c.recv(t).GetDrain(); drain.GetReconnectAfterSeconds() < 1 || drain.GetReconnectAfterSeconds() > 31 {
		t.Errorf("drain %v", drain)
	}
	c.ends(t, codes.OK)
	h.stopServer(t)
}

// persist is an agent that sends until all is acknowledged, whatever happens.
func (h *harness) persist(t *testing.T, agent *evidencetest.Agent, batches []*assay.Batch) {
	t.Helper()
	for {
		c, err := h.tryConnect(t, agent)
		if err != nil {
			if code := codeOf(err); code != codes.Unavailable {
				t.Errorf("connecting failed with %s: %v", code, err)
				return
			}
			continue
		}
		done := h.sendFromHead(t, c, batches)
		c.close()
		if done {
			return
		}
	}
}

// sendFromHead resumes where the server says, and reports whether all was acknowledged.
func (h *harness) sendFromHead(t *testing.T, c *client, batches []*assay.Batch) bool {
	t.Helper()
	head := c.welcome.GetHeads()[0].GetNumber()
	var sender sync.WaitGroup
	sender.Go(func() { c.sendBatches(t, batches[head:]...) })
	defer sender.Wait()
	acked := head
	for acked < uint64(len(batches)) {
		frame, err := c.Recv()
		if err != nil {
			if code := codeOf(err); code != codes.Unavailable {
				t.Errorf("the stream ended with %s: %v", code, err)
				return true
			}
			return false
		}
		ack, ok := frame.GetFrame().(*agentv1.ConnectResponse_Ack)
		if !ok {
			t.Errorf("instead of an ack came %v", frame)
			return true
		}
		if b := batches[ack.Ack.GetNumber()-1]; string(b.Hash[:]) != string(ack.Ack.GetHash()) {
			t.Errorf("ack of %d has another hash", ack.Ack.GetNumber())
		}
		acked = ack.Ack.GetNumber()
	}
	return true
}

// The database's connections are killed again and again under load: in the end
// every batch is there once.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	const agents, each, kills = 4, 150, 12
	h := start(t, func(cfg *agentapi.Config) { cfg.AgentBurst = 1_000_000 }) // these come back at once
	var work sync.WaitGroup
	var all []*assay.Batch
	for range agents {
		agent := h.enrol(t)
		chain := evidencetest.Open(t, h.store, agent, evidence.Bulk, assay.ReasonFirst)
		batches := make([]*assay.Batch, each)
		for i := range batches {
			batches[i] = chain.Next(t, 1)
		}
		all = append(all, batches...)
		work.Go(func() { h.persist(t, agent, batches) })
	}
	killer, err := pgx.ConnectConfig(t.Context(), h.pool.Config().ConnConfig.Copy())
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close(context.Background())
	for range kills {
		before := h.metric(t, "assay_ingest_commits_total")
		_, err := killer.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		if err != nil {
			t.Fatal(err)
		}
		// The agents make some way before the next, unless they are done already.
		deadline := time.Now().Add(2 * time.Second)
		h.until(t, func() bool {
			return h.metric(t, "assay_ingest_commits_total") >= before+3 || time.Now().After(deadline)
		})
	}
	work.Wait()
	h.holdsExactly(t, acknowledged(all...))
	if n := h.count(t, `SELECT count(*) FROM fork`); n != 0 {
		t.Errorf("%d forks", n)
	}
}
