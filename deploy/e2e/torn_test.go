package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// TestTornSpool damages a few bytes of what waits in an agent's spool while the server
// is away. The batch that they were of is lost: the agent says which events those are,
// they and no others are missing, all others are there in their order, and the chain
// goes on in another epoch that says why.
func TestTornSpool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := generate(t, w.path("logs"), 2, 8_000)
	torn, whole := w.enrol(t, "torn", "enrol", "import"), w.enrol(t, "whole", "enrol", "import")
	for _, a := range []*agent{torn, whole} {
		a.startImport(t, made.folders[0]).whole(t)
	}
	w.server.child.stop(t)
	mustRun(t, patiently, "assay-agent", "import", "--dir", torn.dir, "--no-wait", made.folders[1])
	torn.damageSpool(t)
	w.server.start(t)
	w.login(t)
	whole.startImport(t, made.folders[1]).whole(t)
	runs := start(t, "assay-agent", "run", "--dir", torn.dir)
	await(t, "all that the spool has to be committed, and its loss to be told", patiently, func(context.Context) (bool, string) {
		s, gaps := torn.status(t), w.readStream(t, evidence.Control).gaps
		return s.unsent() == 0 && len(gaps) > 0, fmt.Sprintf("%+v, told: %v", s, gaps)
	})
	runs.stop(t)
	if code := runs.wait(t, promptly); code != 0 {
		t.Errorf("assay-agent run ended with exit code %d", code)
	}

	w.awaitProjected(t)
	gap, order := w.onlyGap(t), w.readStream(t, evidence.Import).order
	all, got := order[w.streamOf(t, whole)], order[w.streamOf(t, torn)]
	first, last := int(gap.GetFirstMissing()), int(gap.GetLastMissing())
	if gap.GetChannel() != "spool/import" || last < first || last >= len(all) || gap.GetCount() != uint64(last-first+1) {
		t.Fatalf("of %d events the agent tells of this gap: %v", len(all), gap)
	}
	if want := slices.Delete(slices.Clone(all), first, last+1); !slices.Equal(got, want) {
		t.Errorf("%d events are there, want %d: all but those from %d to %d, in their order", len(got), len(want), first, last)
	}
	imported := func(what string) bool { return strings.Contains(what, "/") }
	if rows, want := sum(w.countTables(t)), int64(count(all, imported)+count(got, imported)); rows != want {
		t.Errorf("%d rows are in the tables, of %d records", rows, want)
	}
	if n := w.number(t, `SELECT count(*) FROM epoch WHERE epoch = 2 AND position('spool_lost'::bytea in opening) > 0`); n != 1 {
		t.Errorf("%d openings of second epochs say that the spool lost something", n)
	}
	w.onlyAside(t, aside{epochs: 1, gaps: 1})
	w.mustVerify(t)
	t.Logf("events %d to %d of %d were lost, and told", first, last, len(all))
}

// damageSpool changes bytes in the middle of the newest file of what waits of imports.
func (a *agent) damageSpool(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(a.dir, "spool", "import", "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in the spool, %v", len(files), err)
	}
	name := slices.Max(files)
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := len(raw) * 3 / 4 // behind what was acknowledged, before the last batch
	for i := range 8 {
		raw[at+i] ^= 0xff
	}
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// onlyGap is the one gap that agents told of.
func (w *world) onlyGap(t *testing.T) *telemetryv1.Gap {
	t.Helper()
	gaps := w.readStream(t, evidence.Control).gaps
	if len(gaps) != 1 {
		t.Fatalf("%d gaps are told of, want 1: %v", len(gaps), gaps)
	}
	return gaps[0]
}

// streamOf is the stream of an agent's imports.
func (w *world) streamOf(t *testing.T, a *agent) (id evidence.StreamID) {
	t.Helper()
	err := w.pool.QueryRow(t.Context(), `SELECT id FROM stream WHERE kind = $1 AND agent_id = $2`, int16(evidence.Import), a.id(t)).Scan((*[16]byte)(&id))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func count[T any](list []T, is func(T) bool) (n int) {
	for _, v := range list {
		if is(v) {
			n++
		}
	}
	return n
}
