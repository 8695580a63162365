package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// actors are the processes of a measurement.
type actors struct {
	agents, ack *process
	project     *process // nil: nothing is projected
}

func (a *actors) close() (err error) {
	for _, p := range []*process{a.agents, a.ack, a.project} {
		if p != nil {
			err = errors.Join(err, p.close())
		}
	}
	return err
}

// account is what all parts have spent so far.
type account struct {
	spent
	agents, ack, project float64 // CPU seconds
}

func (a *actors) read(ctx context.Context, db *database) (account, error) {
	var all account
	var err error
	for _, part := range []struct {
		of *process
		to *float64
	}{{a.agents, &all.agents}, {a.ack, &all.ack}, {a.project, &all.project}} {
		if part.of == nil {
			continue
		}
		if *part.to, err = part.of.cpu(); err != nil {
			return all, err
		}
	}
	all.spent, err = db.cluster.usage.read(ctx, db)
	return all, err
}

func (a account) since(before account, events int) Ingest {
	out := newIngest(events, a.spent.since(before.spent))
	perMillion := 1e6 / float64(events)
	out.ClientCPU, out.AckCPU, out.ProjectCPU = (a.agents-before.agents)*perMillion, (a.ack-before.ack)*perMillion, (a.project-before.project)*perMillion
	return out
}

// held is the most memory that the servers held, in MB.
func (a *actors) held() (mb float64, err error) {
	for _, p := range []*process{a.ack, a.project} {
		if p == nil {
			continue
		}
		_, most, err := p.memory()
		if err != nil {
			return 0, err
		}
		mb += float64(most) / 1e6
	}
	return mb, nil
}

// copyPrivate copies a folder; its files are their owner's alone, as agents demand.
func copyPrivate(to, from string) error {
	err := filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Mkdir(filepath.Join(to, name), 0o700)
		}
		content, err := os.ReadFile(filepath.Clean(at))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o600)
	})
	if err != nil {
		return fmt.Errorf("copying spools: %w", err)
	}
	return nil
}
