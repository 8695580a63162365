package main

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/server/internal/consoleapi"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/stamp"
)

// verification is the ledger's verifier, at intervals and on request.
type verification struct {
	job ledger.VerifyJob
	mu  sync.Mutex // one walk at a time: it reads everything there is
}

func newVerification(s *server, stamps *stamp.Authority) (*verification, error) {
	key, err := note.NewVerifier(s.authority.LedgerKey())
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's key: %w", err)
	}
	keep, err := s.authority.SecretKey("kept-verification")
	if err != nil {
		return nil, err
	}
	return &verification{job: ledger.VerifyJob{
		Store: s.cfg.db.Store, Config: ledger.VerifyConfig{Certificates: s.authority, Key: key, TimeStamps: stamps, Now: s.cfg.now, KeepKey: keep}, Log: s.cfg.log, Interval: s.cfg.VerifyEvery,
	}}, nil
}

// Run verifies at intervals until ctx ends.
func (v *verification) Run(ctx context.Context) error { return v.job.Run(ctx) }

// Verify verifies now and keeps the outcome.
func (v *verification) Verify(ctx context.Context, fromStart bool, progress func(checked, size uint64)) (consoleapi.Report, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if fromStart {
		if err := v.job.Store.ForgetVerification(ctx); err != nil {
			return consoleapi.Report{}, err
		}
	}
	cfg := v.job.Config
	cfg.Progress = func(done, total int64) { progress(uint64(done), uint64(total)) }
	report, err := ledger.Verify(ctx, v.job.Store, cfg)
	if err != nil {
		return consoleapi.Report{}, err
	}
	if err := ledger.Record(ctx, v.job.Store, report); err != nil {
		return consoleapi.Report{}, err
	}
	out := consoleapi.Report{
		StartedAt: report.StartedAt, FinishedAt: report.FinishedAt,
		Size: uint64(report.Size), Batches: uint64(report.Batches), Events: uint64(report.Events), Absent: uint64(report.Absent),
	}
	for _, p := range report.Problems {
		out.Problems = append(out.Problems, p.String())
	}
	if report.Unnamed > 0 && len(report.Problems) > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("and %d more", report.Unnamed))
	}
	return out, nil
}
