package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// TestNothingLostNothingDoubled imports logs while agent, server and Postgres
// are killed in a random order, also while another is coming back, in the middle of it,
// and counts.
func TestNothingLostNothingDoubled(t *testing.T) {
	t.Parallel()
	records, rounds := int64(300_000), 5
	if reduced(t) {
		records, rounds = 60_000, 2
	}
	w := newWorld(t)
	made := generate(t, w.path("logs"), rounds, records)
	a := w.enrol(t, "importer", "enrol", "import")
	d := &killing{world: w, agent: a, began: time.Now()}
	for i, folder := range made.folders {
		// A second kill of the agent hides whether it was reading at the first.
		d.round(t, folder, made.total*int64(i)/int64(rounds), made.total/int64(rounds), i%2 == 1)
	}
	if d.interrupted == 0 {
		t.Error("no kill of the agent came while it was reading: the drill showed less than it should")
	}

	w.awaitProjected(t)
	got := w.readStream(t, evidence.Import)
	sameCount(t, "in the batches", got.count, made.count)
	sameCount(t, "in the tables", w.countTables(t), made.count)
	if n := int64(len(got.records)); n != made.total {
		t.Errorf("%d different records were received, %d written", n, made.total)
	}
	for _, action := range []string{"import_begin", "import_end"} {
		if n := got.reports[action]; n != int64(made.files) {
			t.Errorf("%d events %s for %d files", n, action, made.files)
		}
	}
	w.nothingAside(t)
	report := w.mustVerify(t)
	t.Logf("%d records in %d batches; verified %d batches, %d events", made.total, got.batches, report.Batches, report.Events)

	if once := a.startImport(t, made.folders...).result(t, 0); once.New != 0 || once.Known != made.files {
		t.Errorf("importing the same files once more took %d records as new and knew %d of %d files", once.New, once.Known, made.files)
	}
	w.awaitProjected(t)
	again := w.readStream(t, evidence.Import)
	if len(again.records) != len(got.records) {
		t.Errorf("importing the same files once more made %d records of %d", len(again.records), len(got.records))
	}
	sameCount(t, "in the tables after importing once more", w.countTables(t), made.count)
}

// killing is an import that goes on while others are killed.
type killing struct {
	world  *world
	agent  *agent
	began  time.Time
	now    importing
	folder string // that is imported
	// interrupted counts the kills of the agent that came while it was reading.
	interrupted int
}

// kill is one way to kill.
type kill struct {
	name string
	do   func(t *testing.T)
}

// round imports a folder. The agent is killed first, as it reads faster than it is
// taken from. Then, in a random order, each of the others at a random moment of its
// share of the folder's records, and two of them, one while the other comes back; again
// is for the agent too.
func (d *killing) round(t *testing.T, folder string, before, records int64, again bool) {
	t.Helper()
	d.folder, d.now = folder, d.agent.startImport(t, folder)
	kills := []kill{
		{"the agent", d.killAgent}, {"the server", d.killServer}, {"Postgres", d.killPostgres},
		{"Postgres while the server started", d.killStarting}, {"the server while Postgres recovered", d.killBoth},
	}
	if again {
		kills = append(kills, kill{"the agent while the server was down", d.killAgentAlone})
	}
	rand.Shuffle(len(kills)-1, func(i, j int) { kills[i+1], kills[j+1] = kills[j+1], kills[i+1] })
	share := records / int64(len(kills)+2) // the last part is imported in peace
	for i, k := range kills {
		at := d.awaitCommitted(t, before+share*int64(i)+1+rand.Int64N(share))
		k.do(t)
		t.Logf("%6.1f s: %s was killed at %d events", time.Since(d.began).Seconds(), k.name, at)
	}
	rest := d.now.result(t, 0)
	if rest.New > 0 {
		d.interrupted++
	}
	t.Logf("%6.1f s: %s is imported, %d records of it read after the agent's last kill", time.Since(d.began).Seconds(), filepath.Base(folder), rest.New)
}

// awaitCommitted waits until at least that many events are committed, and fails
// when the import ends before: then nothing would be killed in the middle of it.
func (d *killing) awaitCommitted(t *testing.T, events int64) (at int64) {
	t.Helper()
	await(t, fmt.Sprintf("%d events to be committed", events), patiently, func(ctx context.Context) (bool, string) {
		n, err := d.world.committed(ctx, evidence.Import)
		if err != nil {
			return false, err.Error() // Postgres is coming back
		}
		if n < events && d.now.ended() {
			t.Fatalf("the import ended at %d events with exit code %d", n, d.now.wait(t, promptly))
		}
		at = n
		return n >= events, fmt.Sprintf("%d are", n)
	})
	return at
}

func (d *killing) killAgent(t *testing.T) {
	t.Helper()
	d.now.kill(t)
	d.now = d.agent.startImport(t, d.folder)
}

func (d *killing) killServer(t *testing.T) {
	t.Helper()
	d.world.server.child.kill(t)
	d.world.server.start(t)
}

func (d *killing) killPostgres(t *testing.T) {
	t.Helper()
	d.world.killPostgres(t)
	d.world.restartPostgres(t)
}

// killStarting kills Postgres under a server that has just been started. One that gave
// up is started again, as whoever supervises it does.
func (d *killing) killStarting(t *testing.T) {
	t.Helper()
	d.world.server.child.kill(t)
	d.world.server.launch(t)
	d.killPostgres(t)
	await(t, "the server to be ready, started again if it gave up", promptly, func(ctx context.Context) (bool, string) {
		if d.world.server.child.ended() {
			d.world.server.launch(t)
		}
		code, text, err := d.world.server.get(ctx, "/readyz")
		return err == nil && code == http.StatusOK, fmt.Sprintf("%d %s, %v", code, text, err)
	})
}

func (d *killing) killBoth(t *testing.T) {
	t.Helper()
	d.world.killPostgres(t)
	var recovering sync.WaitGroup
	var err error
	recovering.Go(func() { err = d.world.db.Restart(t.Context()) })
	d.world.server.child.kill(t)
	recovering.Wait()
	if err != nil {
		t.Fatal(err)
	}
	d.world.pool.Reset()
	d.world.server.start(t)
}

func (d *killing) killAgentAlone(t *testing.T) {
	t.Helper()
	d.world.server.child.kill(t)
	d.killAgent(t)
	d.world.server.start(t)
}
