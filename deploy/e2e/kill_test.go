package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// TestNothingLostNothingDoubled imports logs while agent, server and Postgres
// are killed in turn, in the middle of it, and counts.
func TestNothingLostNothingDoubled(t *testing.T) {
	t.Parallel()
	records, kills := int64(300_000), 5
	if reduced(t) {
		records, kills = 30_000, 1
	}
	w := newWorld(t)
	made := generate(t, w.path("logs"), 3, records)
	a := w.enrol(t, "importer", "enrol", "import")
	d := &killing{world: w, agent: a, logs: made}
	d.run(t, kills)

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
	t.Logf("%d records in %d batches; verified %s batches, %s events", made.total, got.batches, report.Batches, report.Events)

	a.importAll(t, made.dir)
	w.awaitProjected(t)
	again := w.readStream(t, evidence.Import)
	if len(again.records) != len(got.records) {
		t.Errorf("importing the same files once more made %d records of %d", len(again.records), len(got.records))
	}
	sameCount(t, "in the tables after importing once more", w.countTables(t), made.count)
}

// killing is an import and who kills whom while it runs.
type killing struct {
	world     *world
	agent     *agent
	logs      *logs
	importing *child
}

// run imports to the end. Every so many committed events the next in turn is
// killed and started again.
func (d *killing) run(t *testing.T, kills int) {
	t.Helper()
	began := time.Now()
	victims := []struct {
		name string
		kill func(t *testing.T)
	}{{"the agent", d.killAgent}, {"the server", d.killServer}, {"Postgres", d.killPostgres}}
	d.importing = d.agent.startImport(t, d.logs.dir)
	steps := int64(kills*len(victims) + 1)
	for i := range kills * len(victims) {
		victim := victims[i%len(victims)]
		at := d.awaitCommitted(t, d.logs.total*int64(i+1)/steps)
		victim.kill(t)
		t.Logf("%6.1f s: %s was killed at %d of %d events", time.Since(began).Seconds(), victim.name, at, d.logs.total)
	}
	if code := d.importing.wait(t, patiently); code != 0 {
		t.Fatalf("the last import ended with exit code %d", code)
	}
	t.Logf("%6.1f s: imported", time.Since(began).Seconds())
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
		if n < events && d.importing.ended() {
			t.Fatalf("the import ended at %d of %d events with exit code %d", n, d.logs.total, d.importing.wait(t, promptly))
		}
		at = n
		return n >= events, fmt.Sprintf("%d are", n)
	})
	return at
}

func (d *killing) killAgent(t *testing.T) {
	t.Helper()
	d.importing.kill(t)
	d.importing = d.agent.startImport(t, d.logs.dir)
}

func (d *killing) killServer(t *testing.T) {
	t.Helper()
	d.world.server.child.kill(t)
	d.world.server.start(t)
}

func (d *killing) killPostgres(t *testing.T) {
	t.Helper()
	if err := d.world.db.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.world.db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
