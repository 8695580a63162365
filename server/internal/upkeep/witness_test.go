package upkeep

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/stamptest"
	"github.com/assay-audit/assay/server/internal/witness"
)

// vouched is a ledger that grows by hand, and who vouches for it.
type vouched struct {
	t         *testing.T
	now       time.Time
	pool      *pgxpool.Pool
	store     *postgres.Store
	authority *ca.Authority
	growing   *ledger.Growing
}

func newVouched(t *testing.T) *vouched {
	t.Helper()
	v := &vouched{t: t, now: time.Now().UTC().Truncate(time.Second), pool: pgtest.Pool(t)}
	v.store = postgres.New(postgres.Config{DB: v.pool, Now: v.clock})
	v.authority = evidencetest.Authority(t, v.clock)
	v.growing = ledger.NewGrowing(ledger.GrowConfig{Store: v.store, Keys: v.authority, Log: slog.New(slog.DiscardHandler)})
	return v
}

func (v *vouched) clock() time.Time { return v.now }

// grow appends n leaves and signs.
func (v *vouched) grow(n int) {
	v.t.Helper()
	for range n {
		if _, err := v.store.ChangePolicy(v.t.Context(), assay.PolicyChange{Kind: assay.PolicyList, Name: "approved", Values: []string{"x"}, By: "test"}); err != nil {
			v.t.Fatal(assay.Cause(err))
		}
	}
	if err := v.growing.RunOnce(v.t.Context()); err != nil {
		v.t.Fatal(assay.Cause(err))
	}
}

func (v *vouched) newest() postgres.Checkpoint {
	v.t.Helper()
	c, err := v.store.LatestCheckpoint(v.t.Context())
	if err != nil {
		v.t.Fatal(assay.Cause(err))
	}
	return c
}

func (v *vouched) job(authority *stamp.Authority, peers ...*witness.Peer) *Witnessing {
	return NewWitnessing(WitnessingConfig{
		Store: v.store, Prover: &ledger.Prover{Store: v.store}, Witnesses: peers, Authority: authority, Client: http.DefaultClient,
		Now: v.clock, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
}

// witness starts an outside witness of the ledger, which answers as long as up
// says so.
func (v *vouched) witness(name string, up func() bool) *witness.Peer {
	v.t.Helper()
	secret, _, err := witness.NewKey(name)
	if err != nil {
		v.t.Fatal(err)
	}
	signer, err := witness.ParseKey(secret)
	if err != nil {
		v.t.Fatal(err)
	}
	state, err := witness.OpenState(filepath.Join(v.t.TempDir(), "state.json"))
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		if err := state.Close(); err != nil {
			v.t.Error(err)
		}
	})
	w, err := witness.New(signer, state, v.clock, v.authority.LedgerKey())
	if err != nil {
		v.t.Fatal(err)
	}
	handler := w.Handler(slog.New(slog.DiscardHandler))
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if !up() {
			http.Error(out, "later", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(out, r)
	}))
	v.t.Cleanup(server.Close)
	peer, err := witness.NewPeer(server.URL + " " + w.Key())
	if err != nil {
		v.t.Fatal(err)
	}
	return peer
}

func (v *vouched) run(job *Witnessing) {
	v.t.Helper()
	if err := job.RunOnce(v.t.Context()); err != nil {
		v.t.Fatal(assay.Cause(err))
	}
}

// witnessed are the names of those who cosigned a size.
func (v *vouched) witnessed(size int64) (names []string) {
	v.t.Helper()
	list, err := v.store.WitnessCosignatures(v.t.Context(), size)
	if err != nil {
		v.t.Fatal(assay.Cause(err))
	}
	for _, w := range list {
		names = append(names, w.Name)
	}
	return names
}

// Every witness is asked for each checkpoint; one that is away delays no other
// and gives its word when it is back, and one that the server has forgotten the
// word of says itself where it was.
func TestWitnessesAreAsked(t *testing.T) {
	t.Parallel()
	v := newVouched(t)
	up := true
	steady, flaky := v.witness("steady.example", func() bool { return true }), v.witness("flaky.example", func() bool { return up })
	job := v.job(nil, flaky, steady)
	v.run(job) // there is no checkpoint yet
	v.grow(5)
	v.run(job)
	if got := strings.Join(v.witnessed(v.newest().Size), " "); got != "flaky.example steady.example" {
		t.Fatalf("witnessed by %q", got)
	}
	up = false
	v.grow(4)
	v.run(job)
	if got := strings.Join(v.witnessed(v.newest().Size), " "); got != "steady.example" {
		t.Errorf("with one away it is witnessed by %q", got)
	}
	up = true
	v.grow(3)
	v.run(job)
	newest := v.newest()
	if got := strings.Join(v.witnessed(newest.Size), " "); got != "flaky.example steady.example" {
		t.Errorf("with both back it is witnessed by %q", got)
	}
	signed, err := (&ledger.Prover{Store: v.store}).Witnessed(t.Context(), newest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList()); err == nil || strings.Count(string(signed), "\n\u2014 ") != 3 {
		t.Errorf("the note with all signatures is %s, %v", signed, err)
	}
	// Another database, as after a restore: what the witness signed is not known there.
	forgetful := v.witness("forgetful.example", func() bool { return true })
	if lines, err := forgetful.Ask(t.Context(), http.DefaultClient, 0, nil, newest.Note); err != nil || lines == "" {
		t.Fatalf("%q, %v", lines, err)
	}
	v.grow(2)
	v.run(v.job(nil, forgetful))
	if got := strings.Join(v.witnessed(v.newest().Size), " "); got != "forgetful.example" {
		t.Errorf("asked from where it was, it is witnessed by %q", got)
	}
}

// The newest checkpoint is stamped once a day, and an authority that is away is
// asked again.
func TestStampedDaily(t *testing.T) {
	t.Parallel()
	v := newVouched(t)
	authority := stamptest.New(t, stamptest.Stamping)
	job := v.job(authority.Serve(t))
	v.grow(3)
	first := v.newest()
	authority.Answer = func([]byte) (int, []byte) { return http.StatusServiceUnavailable, nil }
	v.run(job)
	if n := len(v.stamps()); n != 0 {
		t.Fatalf("%d stamps of an authority that is away", n)
	}
	authority.Answer = nil
	v.run(job)
	v.grow(3)
	v.run(job)
	stamps := v.stamps()
	if len(stamps) != 1 || stamps[0].Size != first.Size {
		t.Fatalf("within a day: %+v", stamps)
	}
	// The token lasts: it verifies from the database with the roots alone.
	offline, err := stamp.NewAuthority("", authority.Roots(t))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := offline.Verify(first.Statement(), stamps[0].Token); err != nil || !at.Equal(stamps[0].StampedAt) {
		t.Errorf("the stored token: %s, %v", at, err)
	}
	v.now = v.now.Add(25 * time.Hour)
	v.run(job)
	if stamps = v.stamps(); len(stamps) != 2 || stamps[0].Size != v.newest().Size && stamps[1].Size != v.newest().Size {
		t.Errorf("a day later: %+v", stamps)
	}
}

func (v *vouched) stamps() []postgres.TimeStamp {
	v.t.Helper()
	list, err := v.store.TimeStamps(v.t.Context(), "", 10)
	if err != nil {
		v.t.Fatal(assay.Cause(err))
	}
	return list
}

// Checkpoints that nobody vouches for are thinned; what a witness signed stays.
func TestCheckpointsAreThinned(t *testing.T) {
	t.Parallel()
	v := newVouched(t)
	peer := v.witness("auditor.example", func() bool { return true })
	v.grow(1)
	v.run(v.job(nil, peer))
	kept := v.newest().Size
	for range 10 {
		v.now = v.now.Add(time.Minute)
		v.grow(1)
	}
	v.now = v.now.Add(8 * 24 * time.Hour)
	v.run(v.job(nil))
	if _, err := v.store.CheckpointAt(t.Context(), kept); err != nil {
		t.Errorf("the witnessed checkpoint: %v", assay.Cause(err))
	}
	gone := 0
	for size := kept + 1; size < v.newest().Size; size++ {
		if _, err := v.store.CheckpointAt(t.Context(), size); assay.KindOf(err) == assay.NotFound {
			gone++
		}
	}
	if gone < 7 {
		t.Errorf("%d checkpoints of one or two hours were thinned", gone)
	}
}
