package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/evaluate"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// EvaluationConfig is what NewEvaluation needs.
type EvaluationConfig struct {
	Store    *postgres.Store
	Assessor *assess.Assessor
	Library  *framework.Library
	// Interval is how often all hosts are evaluated; 0 means one minute.
	Interval time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil: none
}

// Evaluation evaluates all hosts at an interval and records each run.
type Evaluation struct {
	cfg     EvaluationConfig
	seconds prometheus.Histogram
	lag     prometheus.Gauge
}

// NewEvaluation returns the job.
func NewEvaluation(cfg EvaluationConfig) *Evaluation {
	if cfg.Interval == 0 {
		cfg.Interval = time.Minute
	}
	e := &Evaluation{
		cfg: cfg,
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "assay_evaluation_seconds", Help: "Duration of evaluation runs.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_evaluation_watermark_lag_seconds", Help: "How far the projections' watermark was behind the clock at the newest run."}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(e.seconds, e.lag)
	}
	return e
}

// Run evaluates until ctx ends. An error is logged and the next turn tries again.
func (e *Evaluation) Run(ctx context.Context) error {
	ticker := time.NewTicker(e.cfg.Interval)
	defer ticker.Stop()
	for {
		if _, err := e.Once(ctx); err != nil && ctx.Err() == nil {
			if assay.KindOf(err) == assay.Conflict {
				e.cfg.Logger.DebugContext(ctx, "another server evaluated")
			} else {
				e.cfg.Logger.ErrorContext(ctx, "evaluation failed, will retry", "error", assay.Cause(err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Once evaluates all hosts at the watermark and records the run. It returns
// the ledger size whose facts were judged; 0 while nothing was projected yet.
func (e *Evaluation) Once(ctx context.Context) (size uint64, err error) {
	started := e.cfg.Now()
	watermark, err := e.cfg.Store.Watermark(ctx, project.PassNames(), project.Lanes)
	if err != nil || watermark.Unix() <= 0 {
		return 0, err
	}
	previous, err := e.previous(ctx)
	if err != nil {
		return 0, err
	}
	// The instant is the watermark: what came later is not known to be absent.
	snapshot, err := e.cfg.Assessor.Evaluate(ctx, watermark, 0)
	if err != nil {
		return 0, err
	}
	if err := e.addQuarantine(ctx, snapshot); err != nil {
		return 0, err
	}
	record, err := e.compare(previous, snapshot)
	if err != nil {
		return 0, err
	}
	record.StartedAt = started
	if _, err := e.cfg.Store.SaveRun(ctx, record); err != nil {
		return 0, err
	}
	e.seconds.Observe(e.cfg.Now().Sub(started).Seconds())
	e.lag.Set(started.Sub(snapshot.Watermark).Seconds())
	return snapshot.Size, nil
}

// quarantineCheck is the check that findings of unreadable batches are under.
const quarantineCheck = "log.chain"

// addQuarantine makes a finding of each batch that could not be projected: what
// it held speaks in no verdict, and that must not go unseen.
func (e *Evaluation) addQuarantine(ctx context.Context, snapshot *assess.Snapshot) error {
	batches, err := e.cfg.Store.Quarantine(ctx)
	if err != nil {
		return err
	}
	for _, q := range batches {
		key := fmt.Sprintf("quarantine/%d", q.Position)
		snapshot.Findings = append(snapshot.Findings, postgres.StoredFinding{Finding: assay.Finding{
			ID: assay.NewFindingID(quarantineCheck, q.Host, key), Host: q.Host, Check: quarantineCheck, Key: key,
			Title:    fmt.Sprintf("The batch at ledger position %d cannot be read: %s", q.Position, q.Reason),
			OpenedAt: q.QuarantinedAt, LastAt: q.QuarantinedAt, EvidenceTotal: 1,
			Evidence: []assay.EventRef{{Position: q.Position}}, Fields: map[string]string{"reason": q.Reason},
		}})
	}
	return nil
}

// stored is what the newest run left.
type stored struct {
	position uint64
	verdicts map[verdictKey]assay.Verdict
	findings map[assay.FindingID]postgres.StoredFinding
}

type verdictKey struct {
	host  assay.HostID
	check string
}

func (e *Evaluation) previous(ctx context.Context) (*stored, error) {
	p := &stored{verdicts: map[verdictKey]assay.Verdict{}, findings: map[assay.FindingID]postgres.StoredFinding{}}
	_, position, err := e.cfg.Store.LatestRun(ctx)
	if assay.KindOf(err) == assay.NotFound {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	p.position = position
	verdicts, err := e.cfg.Store.Verdicts(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range verdicts {
		p.verdicts[verdictKey{v.Host, v.Check}] = v
	}
	findings, err := e.cfg.Store.Findings(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range findings {
		p.findings[f.ID] = f
	}
	return p, nil
}

// compare finds what the new run changes.
func (e *Evaluation) compare(previous *stored, snapshot *assess.Snapshot) (postgres.RunRecord, error) {
	record := postgres.RunRecord{Previous: previous.position}
	var before, all []assay.Verdict
	for i := range snapshot.Hosts {
		for _, v := range snapshot.Verdicts[snapshot.Hosts[i].ID] {
			all = append(all, v)
			old, known := previous.verdicts[verdictKey{v.Host, v.Check}]
			if known {
				before = append(before, old)
			}
			if !known || !same(&old, &v) {
				record.Verdicts = append(record.Verdicts, v)
			}
		}
	}
	record.Transitions = evaluate.Transitions(before, all, snapshot.Instant)
	current := make(map[assay.FindingID]bool, len(snapshot.Findings))
	for i := range snapshot.Findings {
		f := &snapshot.Findings[i].Finding
		current[f.ID] = true
		before, known := previous.findings[f.ID]
		if !known || !before.ResolvedAt.Equal(f.ResolvedAt) || before.EvidenceTotal != f.EvidenceTotal || before.Title != f.Title {
			record.Findings = append(record.Findings, *f)
		}
	}
	record.Findings = append(record.Findings, retracted(previous, current, snapshot)...)
	states, err := evaluate.NewMap(all)
	if err != nil {
		return record, err
	}
	root, err := states.Root()
	if err != nil {
		return record, err
	}
	record.Run = assay.Run{
		Instant: snapshot.Instant, Watermark: snapshot.Watermark, Size: snapshot.Size, Root: root, Leaves: uint64(len(all)),
		Hosts: uint64(len(snapshot.Hosts)), Engine: evaluate.EngineVersion, Packs: map[string][32]byte{}, Checks: map[string][32]byte{}, Lists: snapshot.Policy,
	}
	for _, f := range e.cfg.Library.Frameworks() {
		record.Run.Packs[f.ID+"@"+f.Version] = f.Digest
	}
	for _, c := range e.cfg.Library.Checks() {
		record.Run.Checks[c.ID] = c.Digest
	}
	return record, nil
}

// restated is the cause of a finding that facts which came later took back.
const restated = "restated: what came in later shows that it was not so"

// retracted closes the open findings that the facts no longer show: a host that
// seemed silent sent what it had kept. Findings from before the time that facts
// are read for stay as they are.
func retracted(previous *stored, current map[assay.FindingID]bool, snapshot *assess.Snapshot) []assay.Finding {
	judged := make(map[assay.HostID]bool, len(snapshot.Hosts))
	for i := range snapshot.Hosts {
		judged[snapshot.Hosts[i].ID] = true
	}
	var list []assay.Finding
	for id, f := range previous.findings {
		if !f.Open() || current[id] || !judged[f.Host] || f.OpenedAt.Before(snapshot.Instant.Add(-assess.FactHorizon)) {
			continue
		}
		taken := f.Finding
		taken.ResolvedAt, taken.Cause = snapshot.Instant, restated
		list = append(list, taken)
	}
	slices.SortFunc(list, func(a, b assay.Finding) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return list
}

// windowDrift is how far a stored verdict's trailing window may lag before the
// row is written again for nothing else.
const windowDrift = time.Hour

// same reports whether a verdict tells what the stored one does. Its trailing
// window moves with each run and alone is no news.
func same(a, b *assay.Verdict) bool {
	return a.State == b.State && a.Reason == b.Reason && a.Detail == b.Detail && a.Grade == b.Grade &&
		a.HasCoverage == b.HasCoverage && math.Abs(a.Coverage-b.Coverage) < 0.001 &&
		b.WindowTo.Sub(a.WindowTo) < windowDrift && a.EvidenceTotal == b.EvidenceTotal && slices.Equal(a.Evidence, b.Evidence) &&
		a.Since.Equal(b.Since) && a.OpenFindings == b.OpenFindings && a.Disposition == b.Disposition && a.Accruing == b.Accruing
}
