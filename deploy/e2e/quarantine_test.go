package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// rowID names a row of the event tables: its batch's position, and its ordinal
// in the batch.
type rowID struct{ position, ordinal int64 }

// projectedRows are all rows of the event tables, by where their events are.
func (w *world) projectedRows(t *testing.T) map[rowID]bool {
	t.Helper()
	all := map[rowID]bool{}
	for _, table := range telemetry.Tables() {
		rows, err := w.pool.Query(t.Context(), `SELECT position, ordinal FROM `+table.Name)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id rowID
			if err := rows.Scan(&id.position, &id.ordinal); err != nil {
				t.Fatal(err)
			}
			if all[id] {
				t.Errorf("event %d of the batch at position %d has two rows", id.ordinal, id.position)
			}
			all[id] = true
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestUnprojectableBatch damages the stored payload of a batch and has everything
// projected anew: that batch alone is set aside, told of in the console and in a
// finding, and all others go on, new ones too. Mended and rebuilt, its events are
// back as they were.
func TestUnprojectableBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := generate(t, w.path("logs"), 2, 6_000)
	a := w.enrol(t, "importer", "enrol", "import")
	a.startImport(t, made.folders[0]).result(t, 0)
	w.awaitProjected(t)
	before := w.projectedRows(t)
	bad := w.number(t, `SELECT b.position FROM batch b JOIN stream s ON s.id = b.stream_id WHERE s.kind = $1 AND b.number = 3`, int16(evidence.Import))
	lost := map[rowID]bool{}
	for id := range before {
		if id.position == bad {
			lost[id] = true
		}
	}
	if len(lost) < 100 {
		t.Fatalf("the batch at position %d has %d events: too few to show anything", bad, len(lost))
	}

	damage := tampering{name: "payload", sql: flip("batch", "payload", "position = $1"), arg: bad}
	w.change(t, damage)
	w.rebuildProjections(t)
	a.startImport(t, made.folders[1]).result(t, 0)
	w.awaitProjected(t)
	if n := w.number(t, `SELECT count(DISTINCT position) FROM quarantine`); n != 1 || w.number(t, `SELECT min(position) FROM quarantine`) != bad {
		t.Errorf("%d batches are in quarantine, want the one at position %d", n, bad)
	}
	without := w.projectedRows(t)
	for id := range before {
		if without[id] == lost[id] {
			t.Errorf("event %d of the batch at position %d: projected=%t, of the damaged batch=%t", id.ordinal, id.position, without[id], lost[id])
			break
		}
	}
	w.awaitEvaluated(t) // before its first a server refuses to say what it found
	w.awaitQuarantineFindings(t, "open", bad)
	if code, report := w.verifyLedger(t); code != 1 || !anyNames(report.Problems, []string{"payload", fmt.Sprintf("at position %d", bad)}) {
		t.Errorf("with a damaged payload the verification says %q, exit code %d", report.Problems, code)
	}

	w.change(t, damage) // a flipped bit flips back
	w.rebuildProjections(t)
	w.awaitProjected(t)
	after := w.projectedRows(t)
	maps.DeleteFunc(after, func(id rowID, _ bool) bool { return without[id] && !before[id] }) // what came meanwhile
	if !maps.Equal(before, after) {
		t.Errorf("mended and rebuilt, %d rows are of the batches that had %d", len(after), len(before))
	}
	w.awaitQuarantineFindings(t, "open")
	w.holds(t, made)
}

// rebuildProjections is what an operator does once a cause is gone. The server runs.
func (w *world) rebuildProjections(t *testing.T) {
	t.Helper()
	r := mustRun(t, promptly, "assay-server", "project", "rebuild", "--database", w.dsn())
	if strings.Count(r.stdout, "emptied") != 3 {
		t.Errorf("rebuilding says %s", r)
	}
}

// awaitQuarantineFindings waits until exactly these batches have such a finding.
func (w *world) awaitQuarantineFindings(t *testing.T, status string, positions ...int64) {
	t.Helper()
	await(t, fmt.Sprintf("findings of the batches at %d to be %s", positions, status), promptly, func(context.Context) (bool, string) {
		var list struct {
			Findings []struct {
				Title    string
				Evidence []struct {
					Position int64 `json:",string"`
				}
			}
		}
		w.ctlJSON(t, &list, "findings", "--check", "log.chain", "--status", status)
		var got []int64
		var titles []string
		for _, f := range list.Findings {
			if strings.Contains(f.Title, "cannot be read") && len(f.Evidence) == 1 {
				got, titles = append(got, f.Evidence[0].Position), append(titles, f.Title)
			}
		}
		slices.Sort(got)
		return slices.Equal(got, positions), fmt.Sprintf("there are %q", titles)
	})
}
