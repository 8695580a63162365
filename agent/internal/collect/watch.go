package collect

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/assay-audit/assay/agent/internal/pipeline"
)

// Watch is a pipeline.Source that imports what is put into a folder, once it no
// longer changes.
type Watch struct {
	Dir string
	// Interval is how often it looks; a file must look the same twice (10 s).
	Interval time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// look is what a file looked like.
type look struct {
	size int64
	at   time.Time
}

// Run implements pipeline.Source.
func (w *Watch) Run(ctx context.Context, resume pipeline.Resume, emit pipeline.Emit) error {
	interval := w.Interval
	if interval <= 0 {
		interval = 10 * time.Second
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	seen, done, failed := map[string]look{}, map[string]look{}, false
	for {
		files, err := Find([]string{w.Dir})
		if err != nil && !errors.Is(err, ErrNoFiles) {
			if !failed {
				w.Log.Warn("watched folder cannot be read", "folder", w.Dir, "error", err)
			}
		}
		failed = err != nil && !errors.Is(err, ErrNoFiles)
		now := map[string]look{}
		for _, name := range files {
			info, err := os.Stat(name)
			if err != nil {
				continue // gone again
			}
			l := look{info.Size(), info.ModTime()}
			now[name] = l
			if seen[name] != l || done[name] == l {
				continue
			}
			if err := w.take(ctx, name, resume, emit); err != nil {
				return err
			}
			done[name] = l
		}
		seen = now
		for name := range done {
			if _, there := now[name]; !there {
				delete(done, name)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *Watch) take(ctx context.Context, name string, resume pipeline.Resume, emit pipeline.Emit) error {
	one := Importer{Files: []string{name}, Now: w.Now, Done: func(r Result) {
		switch {
		case r.Error != "":
			w.Log.Warn("file not imported", "file", name, "error", r.Error)
		case r.Unreadable > 0:
			w.Log.Warn("file imported, parts are damaged", "file", name, "records", r.Records, "damaged", r.Unreadable, "first", r.Damage)
		case r.Known:
			w.Log.Info("file was imported before", "file", name, "sha256", r.SHA256)
		default:
			w.Log.Info("file imported", "file", name, "records", r.Records, "sha256", r.SHA256)
		}
	}}
	return one.Run(ctx, resume, emit)
}
