package ledger

import (
	"context"
	"log/slog"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// VerifyJob verifies the whole ledger at intervals and keeps each outcome.
type VerifyJob struct {
	Store  *postgres.Store
	Config VerifyConfig
	Log    *slog.Logger
	// Interval from the start of one run to the next; 0: 12 hours, so that there
	// is always one of the last day.
	Interval time.Duration
}

// retryAfter is how long after a run that could not be finished the next begins.
const retryAfter = 5 * time.Minute

// Run verifies until ctx ends, first at once.
func (j *VerifyJob) Run(ctx context.Context) error {
	interval := j.Interval
	if interval == 0 {
		interval = 12 * time.Hour
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait := interval
		if _, err := j.RunOnce(ctx); err != nil && ctx.Err() == nil {
			j.Log.ErrorContext(ctx, "verifying the ledger failed", "error", assay.Cause(err).Error())
			wait = min(interval, retryAfter)
		}
		timer.Reset(wait)
	}
}

// RunOnce verifies once and keeps the outcome.
func (j *VerifyJob) RunOnce(ctx context.Context) (*Report, error) {
	report, err := Verify(ctx, j.Store, j.Config)
	if err != nil {
		return nil, err
	}
	took := report.FinishedAt.Sub(report.StartedAt)
	if report.Good() {
		j.Log.InfoContext(ctx, "ledger verified", "size", report.Size, "batches", report.Batches, "defects", len(report.Defects), "absent", report.Absent, "vouchers", report.Vouchers, "took", took)
	} else {
		j.Log.ErrorContext(ctx, "the ledger is not what was recorded", "size", report.Size, "problems", int64(len(report.Problems))+report.Unnamed,
			"first", report.Problems[0].String(), "took", took)
	}
	return report, Record(ctx, j.Store, report)
}
