package consoleapi

import (
	"context"
	"math"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Report is what a verification of the whole ledger found.
type Report struct {
	StartedAt, FinishedAt time.Time
	Size, Batches, Events uint64
	// Absent are the batches whose payloads were erased, or deleted from the archive.
	Absent   uint64
	Problems []string
}

// Verifier verifies the whole ledger and stores the outcome.
type Verifier interface {
	// Verify calls progress now and then; one verification runs at a time.
	// It goes on with one that was cut short, unless it is to begin at the start.
	Verify(ctx context.Context, fromStart bool, progress func(checked, size uint64)) (Report, error)
}

type ledgerService struct{ *Server }

// maxProblems bounds the problems that one answer names.
const maxProblems = 1000

// GetLedger implements LedgerService.
func (s *ledgerService) GetLedger(ctx context.Context, _ *connect.Request[consolev1.GetLedgerRequest]) (*connect.Response[consolev1.GetLedgerResponse], error) {
	size, err := s.cfg.Store.LedgerSize(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.GetLedgerResponse{Size: size}
	checkpoint, err := s.cfg.Prover.Latest(ctx)
	if err != nil && assay.KindOf(err) != assay.NotFound {
		return nil, err
	}
	if err == nil {
		res.Checkpoint, res.CheckpointSize, res.CheckpointAt = string(checkpoint.Note), uint64(checkpoint.Size), stamp(checkpoint.SignedAt)
	}
	if err := s.vouching(ctx, res); err != nil {
		return nil, err
	}
	runs, err := s.cfg.Store.VerificationsSince(ctx, time.Time{}, 1)
	if err != nil {
		return nil, err
	}
	for _, v := range runs {
		res.LastVerification = verificationMessage(&Report{StartedAt: v.StartedAt, FinishedAt: v.FinishedAt, Size: v.Size, Problems: v.Problems})
	}
	return connect.NewResponse(res), nil
}

// Verify implements LedgerService.
func (s *ledgerService) Verify(ctx context.Context, req *connect.Request[consolev1.VerifyRequest], stream *connect.ServerStream[consolev1.VerifyResponse]) error {
	var sendErr error
	report, err := s.cfg.Verifier.Verify(ctx, req.Msg.GetFromStart(), func(checked, size uint64) {
		if sendErr == nil {
			sendErr = stream.Send(&consolev1.VerifyResponse{Checked: checked, Size: size})
		}
	})
	if err != nil {
		return err
	}
	if sendErr != nil {
		return sendErr
	}
	return stream.Send(&consolev1.VerifyResponse{Checked: report.Size, Size: report.Size, Report: verificationMessage(&report)})
}

func verificationMessage(r *Report) *consolev1.Verification {
	return &consolev1.Verification{
		StartedAt: stamp(r.StartedAt), FinishedAt: stamp(r.FinishedAt), Size: r.Size, Batches: r.Batches, Events: r.Events, Absent: r.Absent,
		Good: len(r.Problems) == 0, Problems: r.Problems[:min(len(r.Problems), maxProblems)],
	}
}

// inclusion proves that the leaf at a position is in the newest checkpoint. The
// checkpoint is empty while none covers it.
func (s *Server) inclusion(ctx context.Context, position uint64) (leaf evidence.Hash, checkpoint postgres.Checkpoint, path []evidence.Hash, err error) {
	if position > math.MaxInt64 {
		return leaf, checkpoint, nil, assay.Errorf(assay.NotFound, "there is no ledger position %d", position)
	}
	data, err := s.cfg.Store.Leaf(ctx, position)
	if err != nil {
		return leaf, checkpoint, nil, err
	}
	leaf = evidence.HashLeaf(data)
	checkpoint, err = s.cfg.Prover.Latest(ctx)
	if assay.KindOf(err) == assay.NotFound || err == nil && uint64(checkpoint.Size) <= position {
		return leaf, postgres.Checkpoint{}, nil, nil
	}
	if err != nil {
		return leaf, checkpoint, nil, err
	}
	path, err = s.cfg.Prover.Inclusion(ctx, int64(position), checkpoint.Size)
	return leaf, checkpoint, path, err
}
