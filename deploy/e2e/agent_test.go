package e2e

import (
	"path/filepath"
	"testing"
)

// agent is an enrolled agent's state directory, and what runs on it.
type agent struct {
	world *world
	dir   string
}

// enrol enrols an agent under a name of the drill's own.
func (w *world) enrol(t *testing.T, name string, rights ...string) *agent {
	t.Helper()
	a := &agent{world: w, dir: w.path("agent-" + name)}
	mustRun(t, promptly, "assay-agent", w.enrolArgs(a.dir, w.token(t, name, rights...))...)
	return a
}

func (w *world) enrolArgs(dir, tokenFile string) []string {
	return []string{"enrol", "--dir", dir, "--server", w.server.agents, "--ca-hash", w.caHash, "--token-file", tokenFile}
}

// startImport imports files and folders as a user would: the command ends when
// all of it is committed.
func (a *agent) startImport(t *testing.T, paths ...string) *child {
	t.Helper()
	return start(t, "assay-agent", append([]string{"import", "--dir", a.dir}, paths...)...)
}

// importAll imports and waits for the end, which must be good.
func (a *agent) importAll(t *testing.T, paths ...string) result {
	t.Helper()
	c := a.startImport(t, paths...)
	r := result{c.wait(t, patiently), c.stdout.String(), c.stderr.String()}
	if r.code != 0 {
		t.Fatalf("assay-agent import: %s", r)
	}
	return r
}

// spool is where the agent keeps the batches of a stream.
func (a *agent) spool(kind string) string { return filepath.Join(a.dir, "spool", kind) }
