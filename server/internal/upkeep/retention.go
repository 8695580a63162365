package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/archive"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/vault"
)

// RetentionConfig is what NewRetention needs.
type RetentionConfig struct {
	Store *postgres.Store
	// Archive is where segments go; nil: nothing is archived, dropped or deleted.
	Archive *archive.Archive
	// Vault has the keys that erasures delete; nil: nothing can be erased.
	Vault *vault.Vault

	// HotFor is how long events are in their tables after they were received; 0:
	// for ever. Older ones are brought back by a rebuild.
	HotFor time.Duration
	// ArchiveAfter is how old a segment's newest batch is when it is archived.
	ArchiveAfter time.Duration
	// BackupHorizon is how far back a backup of the database may be restored.
	// Payloads leave Postgres that long after they were archived: only then does
	// every backup know that they are in the archive.
	BackupHorizon time.Duration
	// KeepFor is the statutory retention: nothing that was received since is
	// erased or deleted.
	KeepFor time.Duration
	// DeleteAfter is when segments are deleted from the archive; 0: never. It is
	// never before KeepFor.
	DeleteAfter time.Duration

	Interval time.Duration // between two turns; 0: 10 minutes
	Now      func() time.Time
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: none
}

// Retention moves what has grown old: events out of their tables, segments into
// the archive, payloads out of Postgres, and what nobody may keep away for good.
// Holds come first, then the statutory retention, then erasures, then policy.
type Retention struct {
	cfg  RetentionConfig
	done *prometheus.CounterVec
}

// NewRetention returns the job.
func NewRetention(cfg RetentionConfig) *Retention {
	if cfg.Interval == 0 {
		cfg.Interval = 10 * time.Minute
	}
	if cfg.DeleteAfter > 0 {
		cfg.DeleteAfter = max(cfg.DeleteAfter, cfg.KeepFor)
	}
	r := &Retention{cfg: cfg, done: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "assay_retention_done_total", Help: "Parts dropped, segments archived, dropped and deleted, erasures carried out.",
	}, []string{"what"})}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(r.done)
	}
	return r
}

// Run takes a turn at each interval until ctx ends, first at once.
func (r *Retention) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.cfg.Interval)
	defer ticker.Stop()
	// A vault that was restored from a backup has keys again that were deleted.
	if err := r.deleteKeysAgain(ctx); err != nil && ctx.Err() == nil {
		r.cfg.Log.ErrorContext(ctx, "deleting keys of past erasures failed", "error", assay.Cause(err).Error())
	}
	for {
		r.Once(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Once takes one turn. What fails is logged and does not hinder the rest.
func (r *Retention) Once(ctx context.Context) {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"dropping old parts of event tables", r.dropParts},
		{"dropping counted matches", r.dropCounted},
		{"archiving segments", r.archiveSegments},
		{"dropping archived payloads", r.dropPayloads},
		{"deleting segments from the archive", r.deleteSegments},
		{"carrying out erasures", r.erase},
	} {
		if err := step.do(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.ErrorContext(ctx, "retention: a step failed, will try again", "step", step.what, "error", assay.Cause(err).Error())
		}
	}
}

func (r *Retention) note(ctx context.Context, what string, args ...any) {
	r.done.WithLabelValues(what).Inc()
	r.cfg.Log.InfoContext(ctx, "retention", append([]any{"done", what}, args...)...)
}

// dropParts drops the parts of event tables that are older than the hot period,
// one per transaction, but for those that a rebuild brought back.
func (r *Retention) dropParts(ctx context.Context) error {
	if r.cfg.HotFor == 0 {
		return nil
	}
	now := r.cfg.Now()
	pinned, err := r.cfg.Store.PinnedDays(ctx, now)
	if err != nil {
		return err
	}
	for _, table := range telemetry.Tables() {
		parts, err := r.cfg.Store.EventParts(ctx, table)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if part.To.After(now.Add(-r.cfg.HotFor)) || overlaps(part, pinned) {
				continue
			}
			if err := r.cfg.Store.DropEventPart(ctx, table, part); err != nil {
				return err
			}
			r.note(ctx, "part dropped", "part", part.Name)
		}
	}
	return nil
}

func overlaps(part postgres.EventPart, spans [][2]time.Time) bool {
	for _, span := range spans {
		if part.From.Before(span[1]) && part.To.After(span[0]) {
			return true
		}
	}
	return false
}

// dropCounted drops the parts of matches that correlations have counted.
func (r *Retention) dropCounted(ctx context.Context) error {
	dropped, err := r.cfg.Store.DropCountedInputs(ctx)
	if dropped > 0 {
		r.note(ctx, "matches_dropped", "parts", dropped)
	}
	return err
}

func (r *Retention) archiveSegments(ctx context.Context) error {
	if r.cfg.Archive == nil {
		return nil
	}
	sealed, err := r.cfg.Store.SealedSegments(ctx, r.cfg.Now().Add(-r.cfg.ArchiveAfter))
	if err != nil {
		return err
	}
	for _, number := range sealed {
		segment, err := r.cfg.Archive.Write(ctx, number, r.cfg.Store.SegmentPage)
		if err != nil {
			return err
		}
		// From here on it counts. Whoever dies before has left an object that the
		// next attempt deletes.
		if err := r.cfg.Store.RecordArchived(ctx, segment); err != nil {
			return err
		}
		r.note(ctx, "segment archived", "segment", number, "object", segment.Object, "batches", segment.Batches, "bytes", segment.Bytes)
	}
	return nil
}

// dropPayloads takes payloads out of Postgres once every backup that may be
// restored knows the archive. The object is read once more in full before the
// only other copy goes.
func (r *Retention) dropPayloads(ctx context.Context) error {
	if r.cfg.Archive == nil {
		return nil
	}
	segments, err := r.cfg.Store.ArchivedSegments(ctx)
	if err != nil {
		return err
	}
	for _, g := range segments {
		if !g.DroppedAt.IsZero() || r.cfg.Now().Before(g.ArchivedAt.Add(r.cfg.BackupHorizon)) {
			continue
		}
		if err := r.cfg.Archive.Check(ctx, &g); err != nil {
			return fmt.Errorf("checking archived segment %d before its payloads leave the database: %w", g.Number, err)
		}
		if err := r.cfg.Store.DropPayloads(ctx, g.Number); err != nil {
			return err
		}
		r.note(ctx, "payloads dropped", "segment", g.Number)
	}
	return nil
}

// deleteSegments deletes from the archive what nobody keeps any more. The leaf
// comes first: nothing is ever missing without one. What was cut short in
// between is deleted at the next turn.
func (r *Retention) deleteSegments(ctx context.Context) error {
	if r.cfg.Archive == nil || r.cfg.DeleteAfter == 0 {
		return nil
	}
	old, err := r.cfg.Store.SegmentsToDelete(ctx, r.cfg.Now().Add(-r.cfg.DeleteAfter))
	if err != nil {
		return err
	}
	for _, g := range old {
		reason := fmt.Sprintf("older than %s", r.cfg.DeleteAfter)
		if err := r.cfg.Store.RecordDeleted(ctx, g.Number, reason); err != nil {
			return err
		}
		r.note(ctx, "segment deleted", "segment", g.Number, "object", g.Object)
	}
	segments, err := r.cfg.Store.SegmentsToRemove(ctx)
	if err != nil {
		return err
	}
	for _, g := range segments {
		if err := r.cfg.Archive.Delete(ctx, g.Object); err != nil {
			return err
		}
		if err := r.cfg.Store.RecordGone(ctx, g.Number); err != nil {
			return err
		}
	}
	return nil
}

// erase carries out the erasures that are due: the leaf first, then the events,
// then the key. One that was cut short goes on at the next turn.
func (r *Retention) erase(ctx context.Context) error {
	if r.cfg.Vault == nil {
		return nil
	}
	now := r.cfg.Now()
	due, err := r.cfg.Store.ErasuresDue(ctx, now)
	if err != nil {
		return err
	}
	var failed []error
	for i := range due {
		e := &due[i]
		// Parts go by the week: until a week after the month's end some of its
		// events are in one that is still written to.
		if now.Before(e.Month.AddDate(0, 1, 7)) {
			continue
		}
		if err := r.eraseOne(ctx, e); err != nil {
			failed = append(failed, err) // the others do not wait for it
		}
	}
	return errors.Join(failed...)
}

func (r *Retention) eraseOne(ctx context.Context, e *assay.Erasure) error {
	if e.DoneAt.IsZero() {
		if err := r.cfg.Store.RecordErasure(ctx, e); err != nil {
			return err
		}
	}
	if err := r.cfg.Store.EraseEvents(ctx, e.Host, e.Month); err != nil {
		return err
	}
	if err := r.cfg.Vault.Erase(ctx, e.Host, vault.MonthOf(e.Month)); err != nil {
		return err
	}
	if err := r.cfg.Store.RecordKeyDeleted(ctx, e.ID); err != nil {
		return err
	}
	r.note(ctx, "erasure", "host_id", e.Host.String(), "month", e.Month.Format("2006-01"))
	return nil
}

func (r *Retention) deleteKeysAgain(ctx context.Context) error {
	if r.cfg.Vault == nil {
		return nil
	}
	all, err := r.cfg.Store.Erasures(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if e := &all[i]; !e.KeyDeletedAt.IsZero() {
			if err := r.cfg.Vault.Erase(ctx, e.Host, vault.MonthOf(e.Month)); err != nil {
				return err
			}
		}
	}
	return nil
}
