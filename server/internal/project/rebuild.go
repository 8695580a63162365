package project

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// RebuildConfig is what Rebuild needs.
type RebuildConfig struct {
	Store *postgres.Store
	// EventsPerSecond bounds the load that it is on a server in use; 0: none.
	EventsPerSecond int
	// Progress, where there is one, is called after each step.
	Progress func(r *assay.Rebuild)
}

// Rebuild carries a rebuild on to its end, from wherever it is: the rows of its
// days are made anew beside those that are read meanwhile, and take their place
// week by week. A row is a function of its batch and of which imported records
// had come before, so the new rows are the old ones. What was erased or deleted
// has none.
func Rebuild(ctx context.Context, cfg RebuildConfig, r *assay.Rebuild) error {
	decoder, err := newDecoder()
	if err != nil {
		return err
	}
	defer decoder.close()
	b := &rebuilder{cfg: cfg, decoder: decoder, rows: postgres.NewEventRows(), limit: rate.NewLimiter(rate.Inf, 0)}
	if n := cfg.EventsPerSecond; n > 0 {
		b.limit = rate.NewLimiter(rate.Limit(n), n)
	}
	for r.FinishedAt.IsZero() {
		if r.Position >= r.End {
			err = cfg.Store.FinishWeek(ctx, r)
		} else {
			err = b.step(ctx, r)
		}
		if err != nil {
			return err
		}
		if cfg.Progress != nil {
			cfg.Progress(r)
		}
	}
	return nil
}

type rebuilder struct {
	cfg     RebuildConfig
	decoder *decoder
	rows    *postgres.EventRows
	limit   *rate.Limiter
}

// step rebuilds some batches that were received on one day.
func (b *rebuilder) step(ctx context.Context, r *assay.Rebuild) error {
	stored, err := b.cfg.Store.LaneBatches(ctx, 0, 1, r.Position, r.End, stepBatches)
	if err != nil {
		return err
	}
	to := r.End
	if len(stored) == stepBatches {
		to = stored[len(stored)-1].Position + 1
	}
	stored, received, to := oneDay(r, stored, to)
	repeats, err := b.cfg.Store.Repeats(ctx, r.Position, to)
	if err != nil {
		return err
	}
	events, err := b.collect(ctx, stored, repeats)
	if err != nil {
		return err
	}
	return b.cfg.Store.RebuildStep(ctx, r, to, received, b.rows, events)
}

// oneDay takes of the batches up to position to those of the week under way, as
// far as all are of one day, and says which day and how far that is. Positions do
// not tell days: where a clock was set back, earlier days follow later ones.
func oneDay(r *assay.Rebuild, stored []postgres.StoredBatch, to uint64) ([]postgres.StoredBatch, time.Time, uint64) {
	days := r.Days()
	day := days[0]
	var taken []postgres.StoredBatch
	for i := range stored {
		received := stored[i].ReceivedAt.UTC().Truncate(24 * time.Hour)
		if received.Before(days[0]) || received.After(days[len(days)-1]) {
			continue
		}
		if len(taken) > 0 && !received.Equal(day) {
			return taken, day, stored[i].Position
		}
		day, taken = received, append(taken, stored[i])
	}
	return taken, day, to
}

// collect makes the rows of the batches, waiting for its turn with each.
func (b *rebuilder) collect(ctx context.Context, stored []postgres.StoredBatch, repeats map[assay.EventRef]bool) (events int64, err error) {
	step := newStep(NewMemory(), postgres.Cursor{Pass: FactsPass}, b.rows)
	for _, s := range stored {
		batch, err := b.decoder.decode(Stored(s))
		if err != nil {
			continue // in quarantine, erased or deleted: it has no rows
		}
		kept := batch.Events[:0]
		for i := range batch.Events {
			if !repeats[batch.Events[i].Ref] {
				kept = append(kept, batch.Events[i])
			}
		}
		batch.Events = kept
		if n := min(len(kept), b.limit.Burst()); n > 0 {
			if err := b.limit.WaitN(ctx, n); err != nil {
				return 0, fmt.Errorf("waiting for a turn: %w", err)
			}
		}
		Typed{}.Project(batch, step)
		events += int64(len(kept))
	}
	return events, nil
}
