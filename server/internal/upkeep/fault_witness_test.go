package upkeep

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/stamptest"
	"github.com/assay-audit/assay/server/internal/witness"
)

// TestWitnessingFailsAtEveryStep has a round of asking for a cosignature and for a
// time-stamp fail at each step, and after each was done. The next round goes on from
// what the witness has signed: each checkpoint that was shown has one cosignature and
// one stamp, the witness has no reason to speak of a fork, and the ledger verifies.
func TestWitnessingFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	v := newVouched(t)
	authority := stamptest.New(t, stamptest.Stamping).Serve(t)
	peer := v.witness("steady.example", func() bool { return true })
	// The authority's clock is the real one, and ours goes ahead of it: each round is
	// one in which a stamp is due.
	faults := 0
	for n := 1; ; n++ {
		hit := false
		for _, after := range []bool{false, true} {
			v.now = v.now.Add(25 * time.Hour)
			v.grow(1)
			fault := &pgtest.Fault{At: n, After: after}
			_ = v.failing(fault, authority, peer).RunOnce(t.Context()) // what is told is not what is so
			hit = hit || fault.Hit
			v.run(v.job(authority, peer))
			faults++
			newest := v.newest()
			if names := v.witnessed(newest.Size); len(names) != 1 {
				t.Errorf("%s: it is witnessed by %q", fault, names)
			}
			if stamps := v.count(`SELECT count(*) FROM time_stamp WHERE size = $1`, newest.Size); stamps != 1 {
				t.Errorf("%s: it is stamped %d times", fault, stamps)
			}
		}
		if !hit {
			break
		}
	}
	if faults < 16 {
		t.Errorf("%d faults are too few to show anything", faults)
	}
	key, err := note.NewVerifier(v.authority.LedgerKey())
	if err != nil {
		t.Fatal(err)
	}
	report, err := ledger.Verify(t.Context(), v.store, ledger.VerifyConfig{Certificates: v.authority, Key: key, TimeStamps: authority, Now: v.clock})
	if err != nil {
		t.Fatal(assay.Cause(err))
	}
	if !report.Good() || report.Vouchers != int64(2*faults) {
		t.Errorf("of %d checkpoints %d signatures of others are kept, problems %v", faults, report.Vouchers, report.Problems)
	}
}

// failing is the job of a server that has just started and meets a fault.
func (v *vouched) failing(f *pgtest.Fault, authority *stamp.Authority, peers ...*witness.Peer) *Witnessing {
	store := postgres.New(postgres.Config{DB: pgtest.FaultyDB(v.pool, f), Now: v.clock})
	return NewWitnessing(WitnessingConfig{
		Store: store, Prover: &ledger.Prover{Store: store}, Witnesses: peers, Authority: authority, Client: http.DefaultClient,
		Now: v.clock, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
}

func (v *vouched) count(sql string, args ...any) (n int) {
	v.t.Helper()
	if err := v.pool.QueryRow(v.t.Context(), sql, args...).Scan(&n); err != nil {
		v.t.Fatal(err)
	}
	return n
}
