package e2e

import (
	"slices"
	"testing"
)

// agent is an enrolled agent's state directory, and what runs on it.
type agent struct {
	world *world
	dir   string
	// program is the command that is started; nil: the program as users have it.
	program []string
}

// enrol enrols an agent under a name of the drill's own.
func (w *world) enrol(t *testing.T, name string, rights ...string) *agent {
	t.Helper()
	a := &agent{world: w, dir: w.path("agent-" + name)}
	mustRun(t, promptly, "assay-agent", w.enrolArgs(a.dir, w.token(t, name, rights...))...)
	return a
}

func (w *world) enrolArgs(dir, tokenFile string) []string {
	return w.enrolArgsAt(w.server.agents, dir, tokenFile)
}

// enrolArgsAt is enrolArgs by way of another address.
func (w *world) enrolArgsAt(address, dir, tokenFile string) []string {
	return []string{"enrol", "--dir", dir, "--server", address, "--ca-hash", w.caHash, "--token-file", tokenFile}
}

// importing is an import under way.
type importing struct{ *child }

// imported is what an import says of itself.
type imported struct {
	Files, Known, Failed int
	Records, New         int64
	Unsent               int64 `json:"unsent_batches"`
	Complete             bool
	Results              []struct {
		File       string
		Records    int64
		Unreadable int64
		Error      string
	}
}

// startImport imports files and folders as a user would: the command ends when
// all of it is committed.
func (a *agent) startImport(t *testing.T, paths ...string) importing {
	t.Helper()
	command := a.program
	if command == nil {
		command = []string{program(t, "assay-agent")}
	}
	return importing{startCommand(t, nil, slices.Concat(command, []string{"import", "--dir=" + a.dir, "--json"}, paths)...)}
}

// whole is the end of an import of what was new.
func (i importing) whole(t *testing.T) {
	t.Helper()
	if r := i.result(t, 0); r.New != r.Records || r.New == 0 {
		t.Errorf("%d records of %d were new", r.New, r.Records)
	}
}

// result is what the import came to, which must be complete. Damaged files, if
// they are expected, are exit code 1.
func (i importing) result(t *testing.T, code int) imported {
	t.Helper()
	if got := i.wait(t, patiently); got != code {
		t.Fatalf("the import ended with exit code %d, want %d", got, code)
	}
	var r imported
	decode(t, i.stdout.String(), &r)
	if !r.Complete || r.Unsent != 0 {
		t.Fatalf("the import ended well and is not complete: %+v", r)
	}
	return r
}
