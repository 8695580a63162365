package main

import (
	"context"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/project"
)

// caughtUp reports whether all below size is projected.
func (s *server) caughtUp(ctx context.Context, size uint64) (bool, error) {
	return project.CaughtUp(ctx, s.cfg.db.Store, s.passes, size)
}

// evaluateNow evaluates once outside the job's turn. Where the job itself was
// quicker its run is as good.
func (s *server) evaluateNow(ctx context.Context) error {
	_, err := s.evaluation.Once(ctx)
	if assay.KindOf(err) == assay.Conflict {
		return nil
	}
	return err
}
