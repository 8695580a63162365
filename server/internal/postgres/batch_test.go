package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type bundle struct {
	store     *postgres.Store
	pool      *pgxpool.Pool
	authority *ca.Authority
	now       time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.Pool(t), now: time.Date(2026, 11, 23, 12, 0, 0, 123_456_789, time.UTC)}
	clock := func() time.Time { return b.now }
	b.store = postgres.New(postgres.Config{DB: b.pool, Now: clock})
	b.authority = evidencetest.Authority(t, clock)
	return b
}

func (b *bundle) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := b.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAppendBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	control := evidencetest.Open(t, b.store, agent, evidence.Control, assay.ReasonFirst)
	bulk := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	first := b.count(t, `SELECT size FROM ledger_head`)
	receipts := evidencetest.Append(t, b.store, assay.Committed,
		control.Signed(t, 3), bulk.Next(t, 2), bulk.Next(t, 5), control.Next(t, 1))
	for i, r := range receipts {
		if r.Position != int64(first+i) || !r.CommittedAt.Equal(b.now.Truncate(time.Microsecond)) {
			t.Errorf("batch %d at position %d at %s, want %d", i, r.Position, r.CommittedAt, first+i)
		}
	}
	heads, err := b.store.Heads(t.Context(), agent.ID)
	if err != nil || len(heads) != 2 {
		t.Fatalf("heads %v, %v", heads, err)
	}
	for i, chain := range []*evidencetest.Chain{control, bulk} {
		got, want := heads[i], chain.Head
		want.Position, want.CommittedAt = receipts[3-i].Position, receipts[3-i].CommittedAt
		if i == 1 {
			want.Position = receipts[2].Position
		}
		if got != want {
			t.Errorf("head is %+v, want %+v", got, want)
		}
		if last := receipts[3-i].Head; i == 0 && last != want {
			t.Errorf("receipt's head is %+v, want %+v", last, want)
		}
	}
	// Each batch's leaf is in the transaction, and binds its header.
	if n := b.count(t, `SELECT count(*) FROM batch b JOIN leaf l USING (position) WHERE l.kind = 1`); n != 4 {
		t.Errorf("%d batches with leaves, want 4", n)
	}
	if n := b.count(t, `SELECT count(*) FROM batch WHERE lane = $1`, assay.LaneOf(agent.HostID)); n != 4 {
		t.Errorf("%d batches in the host's lane, want 4", n)
	}
}

// The matrix of what a batch can be to its stream's head.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	old := *chain
	sent := []*assay.Batch{chain.Next(t, 1), chain.Next(t, 1), chain.Next(t, 1)}
	first := evidencetest.Append(t, b.store, assay.Committed, sent...)
	size := b.count(t, `SELECT size FROM ledger_head`)

	again := evidencetest.Append(t, b.store, assay.Replayed, sent...)
	for i := range again {
		if again[i].Position != first[i].Position || !again[i].CommittedAt.Equal(first[i].CommittedAt) || again[i].Head.Number != 3 {
			t.Errorf("replay %d: %+v, first was %+v", i, again[i], first[i])
		}
	}
	hole := *chain
	hole.Next(t, 1)
	missing := evidencetest.Append(t, b.store, assay.Missing, hole.Next(t, 1))
	if got := missing[0].Head; got.Number != 3 || got.Hash != chain.Head.Hash {
		t.Errorf("a hole's receipt has head %+v", got)
	}
	later := *chain
	later.Head.Epoch++
	evidencetest.Append(t, b.store, assay.Missing, later.Next(t, 1))
	if n := b.count(t, `SELECT size FROM ledger_head`); n != size {
		t.Errorf("the ledger grew from %d to %d by what was not appended", size, n)
	}

	// Another batch 1, another batch 4 that does not follow 3, and one whose
	// sequence does not run on.
	other := old
	wrong := *chain
	wrong.Head.Hash[0] ^= 1
	skipped := *chain
	skipped.Head.NextSequence++
	forks := []*assay.Batch{other.Next(t, 1), wrong.Next(t, 1), skipped.Next(t, 1)}
	for i, r := range evidencetest.Append(t, b.store, assay.Forked, forks...) {
		if r.Position != int64(size+i) || r.Reason == "" {
			t.Errorf("fork %d at %d (%s), want %d", i, r.Position, r.Reason, size+i)
		}
	}
	evidencetest.Append(t, b.store, assay.Forked, forks...) // kept once, however often it comes
	if n := b.count(t, `SELECT count(*) FROM fork f JOIN leaf l USING (position) WHERE l.kind = 9`); n != 3 {
		t.Errorf("%d forks kept, want 3", n)
	}

	// The acknowledged chain goes on; a new epoch ends the old one.
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 2))
	zombie := *chain
	next := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonRollback)
	if next.Head.Epoch != 2 || next.Head.Stream != chain.Head.Stream || next.Head.NextSequence != 5 {
		t.Errorf("the new epoch is %+v", next.Head)
	}
	refused := evidencetest.Append(t, b.store, assay.Missing, zombie.Next(t, 1))
	if refused[0].Head.Epoch != 2 {
		t.Errorf("a batch of the old epoch is answered with head %+v", refused[0].Head)
	}
	evidencetest.Append(t, b.store, assay.Committed, next.Next(t, 1))
}

// A copy within one transaction is a replay of a batch that is not there yet.
func TestReplayWithinOneTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	other := evidencetest.Open(t, b.store, agent, evidence.Control, assay.ReasonFirst)
	x, y := chain.Next(t, 1), chain.Next(t, 1)
	receipts, err := b.store.AppendBatches(t.Context(), []*assay.Batch{other.Next(t, 1), x, y, x, y})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []assay.Outcome{assay.Committed, assay.Committed, assay.Committed, assay.Replayed, assay.Replayed} {
		if receipts[i].Outcome != want {
			t.Errorf("batch %d is %s, want %s", i, receipts[i].Outcome, want)
		}
	}
	for _, i := range []int{3, 4} {
		if receipts[i].Position != receipts[i-2].Position || !receipts[i].CommittedAt.Equal(receipts[i-2].CommittedAt) {
			t.Errorf("copy %d is %+v, the batch %+v", i, receipts[i], receipts[i-2])
		}
	}
}

func TestRefusesOthersStreams(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := evidencetest.Enrol(t, b.store, b.authority, b.now)
	thief := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, mine, evidence.Bulk, assay.ReasonFirst)
	stolen := *chain
	stolen.Agent = thief
	evidencetest.Append(t, b.store, assay.Refused, stolen.Next(t, 1))
	unknown := *chain
	unknown.Head.Stream[0] ^= 1
	evidencetest.Append(t, b.store, assay.Refused, unknown.Next(t, 1))
	kind := *chain
	kind.Head.Kind = evidence.Control
	evidencetest.Append(t, b.store, assay.Refused, kind.Next(t, 1))
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1))
}

// Two servers that write one stream at once: one chain comes out, whole.
func TestTwoWritersOneStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	quiet := evidencetest.Open(t, b.store, agent, evidence.Control, assay.ReasonFirst)
	const rounds = 40
	for range rounds {
		x, y := chain.Peek(t, 1), chain.Peek(t, 1)
		bystander := quiet.Next(t, 1)
		other := postgres.New(postgres.Config{DB: b.pool, Now: func() time.Time { return b.now }})
		var wg sync.WaitGroup
		receipts := make([][]assay.Receipt, 2)
		errs := make([]error, 2)
		wg.Go(func() { receipts[0], errs[0] = b.store.AppendBatches(t.Context(), []*assay.Batch{x}) })
		wg.Go(func() { receipts[1], errs[1] = other.AppendBatches(t.Context(), []*assay.Batch{y, bystander}) })
		wg.Wait()
		if errs[0] != nil || errs[1] != nil {
			t.Fatal(errs)
		}
		won, lost := receipts[0][0], receipts[1][0]
		winner := x
		if won.Outcome == assay.Forked {
			won, lost, winner = lost, won, y
		}
		if won.Outcome != assay.Committed || lost.Outcome != assay.Forked || receipts[1][1].Outcome != assay.Committed {
			t.Fatalf("outcomes %s, %s, bystander %s", won.Outcome, lost.Outcome, receipts[1][1].Outcome)
		}
		chain.Head = chain.Head.After(&winner.Header, winner.Hash)
	}
	if n := b.count(t, `SELECT count(*) FROM leaf`); n != b.count(t, `SELECT size FROM ledger_head`) || n != b.count(t, `SELECT max(position) + 1 FROM leaf`) {
		t.Errorf("positions have holes: %d leaves", n)
	}
	if n := b.count(t, `SELECT count(*) FROM batch WHERE stream_id = $1`, [16]byte(chain.Head.Stream)); n != rounds {
		t.Errorf("%d batches in the chain, want %d", n, rounds)
	}
}

// Writers whose streams overlap in any order never wait for each other crosswise.
func TestWritersDoNotDeadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const writers, rounds = 4, 15
	agent := make([]*evidencetest.Agent, 6)
	for i := range agent {
		agent[i] = evidencetest.Enrol(t, b.store, b.authority, b.now)
		evidencetest.Open(t, b.store, agent[i], evidence.Bulk, assay.ReasonFirst)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for round := range rounds {
				var batches []*assay.Batch
				for i := range agent {
					a := agent[(i*(w+1)+round)%len(agent)]
					heads, err := b.store.Heads(t.Context(), a.ID)
					if err != nil {
						t.Error(err)
						return
					}
					chain := evidencetest.Chain{Agent: a, Head: heads[0]}
					batches = append(batches, chain.Peek(t, 1))
				}
				if _, err := b.store.AppendBatches(t.Context(), batches); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRevocationOrdersPositions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	last := evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1))
	position, err := b.store.RevokeAgent(t.Context(), assay.Revocation{Agent: agent.ID, Reason: "key stolen", CompromisedSince: b.now.Add(-time.Hour)})
	if err != nil || position != last[0].Position+1 {
		t.Fatalf("revoked at %d, %v", position, err)
	}
	evidencetest.Append(t, b.store, assay.Refused, chain.Next(t, 1))
	if _, _, err := b.store.OpenEpoch(t.Context(), assay.EpochRequest{Agent: agent.ID, Kind: evidence.Control, Reason: assay.ReasonFirst}); assay.KindOf(err) != assay.Denied {
		t.Errorf("a revoked agent opened a stream: %v", err)
	}
	if _, err := b.store.RevokeAgent(t.Context(), assay.Revocation{Agent: agent.ID, Reason: "again"}); assay.KindOf(err) != assay.Conflict {
		t.Errorf("revoked twice: %v", err)
	}
	if _, err := b.store.RevokeAgent(t.Context(), assay.Revocation{Agent: assay.AgentID{1}, Reason: "nobody"}); assay.KindOf(err) != assay.NotFound {
		t.Errorf("revoked nobody: %v", err)
	}
	revoked, err := b.store.RevokedAmong(t.Context(), []assay.AgentID{{1}, agent.ID})
	if err != nil || len(revoked) != 1 || revoked[0] != agent.ID {
		t.Errorf("RevokedAmong = %v, %v", revoked, err)
	}
	stored, err := b.store.Agent(t.Context(), agent.ID)
	if err != nil || !stored.Revoked() || !stored.CompromisedSince.Equal(b.now.Add(-time.Hour).Truncate(time.Microsecond)) {
		t.Errorf("stored agent %+v, %v", stored, err)
	}
}

// Times go with positions even where the clocks of two servers differ, but a
// clock that was set back is not held up.
func TestRecordedTimes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	start := b.now.Truncate(time.Microsecond)
	for _, c := range []struct{ clock, want time.Duration }{
		{0, 0}, {3 * time.Second, 3 * time.Second}, {time.Second, 3 * time.Second}, {-time.Minute, -time.Minute}, {time.Hour, time.Hour},
	} {
		b.now = start.Add(c.clock)
		got := evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1))[0]
		if want := start.Add(c.want); !got.CommittedAt.Equal(want) {
			t.Errorf("clock at %s: recorded at %s, want %s", c.clock, got.CommittedAt.Sub(start), c.want)
		}
	}
}

// The last position of a segment and the first of the next.
func TestSegments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	for segment := int64(1); segment <= 5; segment++ {
		if _, err := b.pool.Exec(t.Context(), `UPDATE ledger_head SET size = $1`, segment*postgres.SegmentSize-1); err != nil {
			t.Fatal(err)
		}
		got := evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1), chain.Next(t, 1))
		if got[1].Position != segment*postgres.SegmentSize {
			t.Errorf("second batch at %d, want %d", got[1].Position, segment*postgres.SegmentSize)
		}
	}
}

func TestAppendLeavesRollsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leaves := []evidence.Leaf{{Kind: evidence.LeafOperator, Body: []byte("{}")}, {Kind: evidence.LeafOperator, Body: []byte("{}")}}
	first, err := b.store.AppendLeaves(t.Context(), tx, leaves)
	if err != nil || first != 0 || leaves[1].RecordedAt == 0 {
		t.Fatalf("first %d, %v", first, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		first, err = b.store.AppendLeaves(t.Context(), tx, leaves[:1])
		return err
	})
	if err != nil || first != 0 {
		t.Errorf("after a rollback first is %d, %v", first, err)
	}
	if _, err := b.store.AppendLeaves(t.Context(), nil, nil); err == nil {
		t.Error("no leaves were appended")
	}
}

// A clock that was set while a batch was on its way takes no position for it at a
// time at which its certificate is not valid, and harms no other.
func TestCertificateOfAnotherTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	size := b.count(t, `SELECT size FROM ledger_head`)
	sent := chain.Next(t, 1)
	sent.CertificateFrom, sent.CertificateUntil = agent.Certificate.NotBefore, agent.Certificate.NotAfter
	right := b.now
	for _, wrong := range []time.Time{agent.Certificate.NotBefore.Add(-time.Second), agent.Certificate.NotAfter.Add(time.Second)} {
		b.now = wrong
		if _, err := b.store.AppendBatches(t.Context(), []*assay.Batch{sent}); assay.KindOf(err) != assay.Unauthentic {
			t.Errorf("at %s: %v", wrong, err)
		}
	}
	if n := b.count(t, `SELECT size FROM ledger_head`); n != size {
		t.Errorf("the ledger grew from %d to %d by what was not appended", size, n)
	}
	b.now = right
	evidencetest.Append(t, b.store, assay.Committed, sent)
}
