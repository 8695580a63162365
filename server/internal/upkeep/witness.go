package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/witness"
)

// WitnessingConfig is what a Witnessing needs. Witnesses and Authority may be
// none: then there is nothing to ask, and checkpoints are only thinned.
type WitnessingConfig struct {
	Store  *postgres.Store
	Prover *ledger.Prover
	// Witnesses are asked where they have a URL.
	Witnesses []*witness.Peer
	// Authority stamps the newest checkpoint of each day; nil: nobody does.
	Authority *stamp.Authority
	// Client asks them; it bounds the time of a request.
	Client *http.Client
	// Interval from one round to the next; 0: a minute.
	Interval time.Duration
	Now      func() time.Time
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Witnessing has others vouch for the ledger: it asks the witnesses for their
// cosignatures and once a day for a time-stamp, and thins what nobody vouches for.
type Witnessing struct {
	cfg     WitnessingConfig
	sizes   *prometheus.GaugeVec
	failed  *prometheus.CounterVec
	thinned time.Time
}

const (
	// Cosignatures older than keepCosignatures are thinned to one of each agent and
	// day, checkpoints that nobody vouches for and that are older than
	// keepCheckpoints to one of each hour.
	keepCosignatures = 48 * time.Hour
	keepCheckpoints  = 7 * 24 * time.Hour
	thinEvery        = time.Hour
	// stampEvery is how old the newest time-stamp is when the next is asked for.
	stampEvery = 24 * time.Hour
)

// NewWitnessing returns one that Run starts.
func NewWitnessing(cfg WitnessingConfig) *Witnessing {
	if cfg.Interval == 0 {
		cfg.Interval = time.Minute
	}
	w := &Witnessing{
		cfg:    cfg,
		sizes:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "assay_ledger_witnessed_size", Help: "Newest checkpoint that a witness cosigned, in leaves."}, []string{"witness"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "assay_ledger_witness_failures_total", Help: "Witnesses and time-stamping authorities that were asked in vain."}, []string{"witness"}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(w.sizes, w.failed)
	}
	return w
}

// Run goes round until ctx ends. What fails is logged and tried again.
func (w *Witnessing) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.cfg.Interval)
	defer ticker.Stop()
	for {
		if err := w.RunOnce(ctx); err != nil && ctx.Err() == nil {
			w.cfg.Log.ErrorContext(ctx, "having the ledger witnessed failed", "error", assay.Cause(err).Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// RunOnce asks each witness and, when it is time, the authority. An error is of
// our own database; who does not answer is logged.
func (w *Witnessing) RunOnce(ctx context.Context) error {
	newest, err := w.cfg.Prover.Latest(ctx)
	if assay.KindOf(err) == assay.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	known, err := w.cfg.Store.NewestWitnessCosignatures(ctx)
	if err != nil {
		return err
	}
	for _, k := range known {
		w.sizes.WithLabelValues(k.Name).Set(float64(k.Size))
	}
	for _, peer := range w.cfg.Witnesses {
		if peer.URL == "" {
			continue
		}
		old := int64(0)
		for _, k := range known {
			if k.Key == peer.Key {
				old = k.Size
			}
		}
		if old == newest.Size {
			continue
		}
		if err := w.ask(ctx, peer, old, newest); err != nil {
			w.failed.WithLabelValues(peer.Name()).Inc()
			w.cfg.Log.WarnContext(ctx, "a witness did not cosign", "witness", peer.Name(), "error", assay.Cause(err).Error())
		}
	}
	if err := w.stamp(ctx, newest); err != nil {
		return err
	}
	return w.thin(ctx)
}

// ask asks one witness, a second time where it has signed another size last than
// we know of.
func (w *Witnessing) ask(ctx context.Context, peer *witness.Peer, old int64, newest postgres.Checkpoint) error {
	for tries := 0; ; tries++ {
		proof, err := w.cfg.Prover.Consistency(ctx, old, newest.Size)
		if err != nil {
			return err
		}
		lines, err := peer.Ask(ctx, w.cfg.Client, old, proof, newest.Note)
		var size *witness.SizeError
		if errors.As(err, &size) && size.Size > newest.Size {
			w.cfg.Log.ErrorContext(ctx, "a witness has signed a larger ledger than there is", "witness", peer.Name(), "its_size", size.Size, "size", newest.Size)
			return err
		}
		if errors.As(err, &size) && tries == 0 {
			old = size.Size
			continue
		}
		if err != nil {
			return err
		}
		return w.keep(ctx, peer, newest, lines)
	}
}

// keep verifies the cosignature of a witness over a checkpoint of ours and keeps it.
func (w *Witnessing) keep(ctx context.Context, peer *witness.Peer, c postgres.Checkpoint, lines string) error {
	line, at, err := peer.Verify(c.Statement(), lines)
	if err != nil {
		return err
	}
	err = w.cfg.Store.KeepWitnessCosignature(ctx, &postgres.WitnessCosignature{Size: c.Size, Key: peer.Key, Name: peer.Name(), SignedAt: at, Line: line})
	if err == nil {
		w.sizes.WithLabelValues(peer.Name()).Set(float64(c.Size))
	}
	return err
}

// stamp has the newest checkpoint stamped, once a day.
func (w *Witnessing) stamp(ctx context.Context, newest postgres.Checkpoint) error {
	if w.cfg.Authority == nil {
		return nil
	}
	last, err := w.cfg.Store.TimeStamps(ctx, w.cfg.Authority.URL, 1)
	if err != nil {
		return err
	}
	if len(last) > 0 && (w.cfg.Now().Sub(last[0].StampedAt) < stampEvery || last[0].Size == newest.Size) {
		return nil
	}
	token, err := w.cfg.Authority.Ask(ctx, w.cfg.Client, newest.Statement())
	if err != nil {
		w.failed.WithLabelValues(w.cfg.Authority.URL).Inc()
		w.cfg.Log.WarnContext(ctx, "the checkpoint was not stamped", "authority", w.cfg.Authority.URL, "error", assay.Cause(err).Error())
		return nil
	}
	return w.cfg.Store.KeepTimeStamp(ctx, &postgres.TimeStamp{Size: newest.Size, Authority: w.cfg.Authority.URL, StampedAt: token.At, Token: token.Raw})
}

func (w *Witnessing) thin(ctx context.Context) error {
	now := w.cfg.Now()
	if now.Sub(w.thinned) < thinEvery {
		return nil
	}
	cosignatures, err := w.cfg.Store.ThinCosignatures(ctx, now.Add(-keepCosignatures))
	if err != nil {
		return err
	}
	checkpoints, err := w.cfg.Store.ThinCheckpoints(ctx, now.Add(-keepCheckpoints))
	if err != nil {
		return err
	}
	w.thinned = now
	if checkpoints+cosignatures > 0 {
		w.cfg.Log.InfoContext(ctx, "checkpoints thinned", "checkpoints", checkpoints, "cosignatures", cosignatures)
	}
	return nil
}
