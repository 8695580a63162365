package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/assay-audit/assay/proto/evidence"
)

// watcher is an agent that runs and imports what is put into its folder.
type watcher struct {
	*agent
	runs *child
	fed  int64 // events that its imports will have had
}

// watch enrols an agent and starts it, for good.
func (d *restoring) watch(t *testing.T, name string) *watcher {
	t.Helper()
	a := &watcher{agent: d.enrol(t, name, "enrol", "import")}
	if err := os.Mkdir(a.watched(), 0o755); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	return a
}

func (a *watcher) watched() string { return a.dir + "-watched" }

func (a *watcher) start(t *testing.T) {
	t.Helper()
	a.runs = start(t, "assay-agent", "run", "--dir", a.dir, "--watch", a.watched(), "--watch-interval", "200ms")
}

// feed gives an agent another folder to import.
func (d *restoring) feed(t *testing.T, a *watcher) {
	t.Helper()
	folder := d.folders.next()
	files, err := filepath.Glob(filepath.Join(folder, "*.evtx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d logs in %s, %v", len(files), folder, err)
	}
	for _, name := range files {
		if err := os.Rename(name, filepath.Join(a.watched(), filepath.Base(folder)+"-"+filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
	}
	a.fed += d.made.total/restoringFolders + 2*int64(len(files)) // each has a begin and an end
}

// awaitFed waits until all that agents were given is committed.
func (d *restoring) awaitFed(t *testing.T, agents ...*watcher) {
	t.Helper()
	for _, a := range agents {
		id := a.id(t)
		await(t, "all that "+a.dir+" was given to be committed", patiently, func(ctx context.Context) (bool, string) {
			var n int64
			err := d.pool.QueryRow(ctx, `SELECT coalesce(sum(next_sequence), 0)::bigint FROM stream WHERE kind = $1 AND agent_id = $2`, int16(evidence.Import), id).Scan(&n)
			return n >= a.fed, fmt.Sprintf("%d events of %d, %v", n, a.fed, err)
		})
	}
}

// bulky writes a log of records that do not compress: about 10 KiB of spool each.
func bulky(t *testing.T, name string, records int) string {
	t.Helper()
	noise := func(r *rand.Rand) []evtxtest.Field {
		b := make([]byte, 10<<10)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return append(script(r)[:2], text("ScriptBlockText", fmt.Sprintf("%x", b)), text("ScriptBlockId", ""), text("Path", ""))
	}
	made := &logs{count: map[eventKey]int64{}}
	scripts := channel{"Microsoft-Windows-PowerShell/Operational", "Microsoft-Windows-PowerShell", []shape{{4104, noise}}}
	if err := os.WriteFile(name, made.log("DRILL-09.corp.example", scripts, rand.New(rand.NewPCG(9, 7)), records), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// spooled is how many segments the spool of imports has.
func (a *agent) spooled(t *testing.T) int {
	t.Helper()
	var s struct {
		Streams []struct {
			Kind     string
			Segments int
		}
	}
	decode(t, run(t, promptly, "assay-agent", "status", "--dir", a.dir, "--json").stdout, &s)
	for _, stream := range s.Streams {
		if stream.Kind == "import" {
			return stream.Segments
		}
	}
	return 0
}
