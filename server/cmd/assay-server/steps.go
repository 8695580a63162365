package main

import (
	"context"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/project"
	"github.com/assay-audit/assay/server/internal/upkeep"
)

// caughtUp reports whether all below size is projected, and made alerts of.
func (s *server) caughtUp(ctx context.Context, size uint64) (bool, error) {
	caught, err := project.CaughtUp(ctx, s.cfg.db.Store, s.passes, size)
	if err != nil || !caught {
		return false, err
	}
	alerted, err := s.cfg.db.LowestCursor(ctx, upkeep.AlertsPass, 1)
	return alerted >= size, err
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
