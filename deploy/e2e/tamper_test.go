package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/assay-audit/assay/proto/evidence"
)

// tampering changes one thing in the database. Its SQL is its own inverse: the
// second time it restores what was there.
type tampering struct {
	name string
	sql  string
	arg  any
	// names are what the verification must say.
	names []string
}

// flip is SQL that flips one bit of a column of bytes.
func flip(table, column, where string) string {
	return fmt.Sprintf(`UPDATE %s SET %[2]s = set_byte(%[2]s, length(%[2]s) / 2, get_byte(%[2]s, length(%[2]s) / 2) # 4) WHERE %[3]s`, table, column, where)
}

// TestTamperingIsFoundAndNamed flips a bit of everything that the ledger rests
// on, one after the other.
func TestTamperingIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	w := newQuietWorld(t)
	a := w.enrol(t, "importer", "enrol", "import")
	a.startImport(t, generate(t, w.path("logs"), 1, 3_000).folders...).result(t, 0)
	w.awaitSigned(t)
	if report := w.mustVerify(t); report.Batches < 5 || report.Events < 3_000 {
		t.Fatalf("the verification went through %d batches and %d events: too few to show anything", report.Batches, report.Events)
	}
	for _, c := range w.tamperings(t) {
		w.tamper(t, c)
	}
	w.mustVerify(t)
}

// newQuietWorld is a world in which no job adds to the ledger while it is looked
// at.
func newQuietWorld(t *testing.T) *world {
	t.Helper()
	w := newDatabase(t)
	w.initialise(t)
	w.server = w.newServer(t)
	w.server.args = append(w.server.args, "--evaluate-every", "24h")
	w.server.start(t)
	w.login(t)
	return w
}

// awaitSigned waits until the newest checkpoint covers all leaves.
func (w *world) awaitSigned(t *testing.T) {
	t.Helper()
	await(t, "a checkpoint of all leaves", promptly, func(ctx context.Context) (bool, string) {
		var leaves, signed int64
		err := w.pool.QueryRow(ctx, `SELECT (SELECT size FROM ledger_head), (SELECT coalesce(max(size), 0) FROM checkpoint)`).Scan(&leaves, &signed)
		if err != nil {
			return false, err.Error()
		}
		return leaves == signed, fmt.Sprintf("%d of %d leaves are signed", signed, leaves)
	})
}

// tamperings are one of everything, of the third batch of the import stream.
func (w *world) tamperings(t *testing.T) []tampering {
	t.Helper()
	ofImport := fmt.Sprintf(`SELECT id FROM stream WHERE kind = %d`, evidence.Import)
	batch := w.number(t, `SELECT position FROM batch WHERE number = 3 AND stream_id = (`+ofImport+`)`)
	signed := w.number(t, `SELECT max(position) FROM batch WHERE head_signature IS NOT NULL AND stream_id = (`+ofImport+`)`)
	epoch := w.number(t, `SELECT position FROM epoch WHERE stream_id = (`+ofImport+`)`)
	certificate := w.number(t, `SELECT max(position) FROM certificate`)
	first := w.number(t, `SELECT min(size) FROM checkpoint`)
	newest := w.number(t, `SELECT max(size) FROM checkpoint`)
	var stream uuid.UUID
	if err := w.pool.QueryRow(t.Context(), ofImport).Scan(&stream); err != nil {
		t.Fatal(err)
	}
	at := func(position int64) string { return fmt.Sprintf("at position %d", position) }
	ofStream := "of stream " + stream.String()
	size := func(n int64) string { return fmt.Sprintf("of size %d:", n) }
	return []tampering{
		{"payload", flip("batch", "payload", "position = $1"), batch, []string{"payload", at(batch), ofStream}},
		{"header", flip("batch", "header", "position = $1"), batch, []string{"header", at(batch), ofStream}},
		{"head signature", flip("batch", "head_signature", "position = $1"), signed, []string{"signature", at(signed), ofStream}},
		{"batch's certificate", flip("batch", "certificate_serial", "position = $1"), batch, []string{"certificate", at(batch), ofStream}},
		{"batch's number", `UPDATE batch SET number = number # 64 WHERE position = $1`, batch, []string{"batch", at(batch), ofStream}},
		{"batch's lane", `UPDATE batch SET lane = lane # 1 WHERE position = $1`, batch, []string{"batch", at(batch), ofStream}},
		{"batch's time", `UPDATE batch SET received_at = 'epoch'::timestamptz + (timestamptz '2027-01-01' - received_at) + (timestamptz '2026-01-01' - 'epoch'::timestamptz)
			WHERE position = $1`, batch, []string{"batch", at(batch), ofStream}},
		{"leaf", flip("leaf", "data", "position = $1"), batch, []string{at(batch)}},
		{"leaf's kind", `UPDATE leaf SET kind = kind # 2 WHERE position = $1`, batch, []string{"leaf", at(batch)}},
		{"leaf of a record", flip("leaf", "data", "position = $1"), int64(0), []string{at(0)}},
		{"opening", flip("epoch", "opening", "position = $1"), epoch, []string{"epoch", at(epoch), ofStream}},
		{"certificate", flip("certificate", "der", "position = $1"), certificate, []string{"certificate", at(certificate)}},
		{"stream's hash", flip("stream", "hash", "id = $1"), stream, []string{"stream", ofStream}},
		{"stream's number", `UPDATE stream SET number = number # 1 WHERE id = $1`, stream, []string{"stream", ofStream}},
		{"stream's sequence", `UPDATE stream SET next_sequence = next_sequence # 1 WHERE id = $1`, stream, []string{"stream", ofStream}},
		{"stream's position", `UPDATE stream SET position = position # 1 WHERE id = $1`, stream, []string{"stream", ofStream}},
		{"checkpoint's note", flip("checkpoint", "note", "size = $1"), newest, []string{"checkpoint", size(newest)}},
		{"checkpoint's root", flip("checkpoint", "root", "size = $1"), newest, []string{"checkpoint", size(newest)}},
		{"old checkpoint's note", flip("checkpoint", "note", "size = $1"), first, []string{"checkpoint", size(first)}},
		{"old checkpoint's root", flip("checkpoint", "root", "size = $1"), first, []string{"checkpoint", size(first)}},
		{"tree's root", flip("ledger_tree", "root", "size = $1"), newest, []string{"tree", size(newest)[:len(size(newest))-1]}},
		{"hash in the tree", flip("ledger_hash", "hash", "index = $1"), int64(2), []string{"tree", "hash 2"}},
	}
}

// tamper does it, has it found and named, and undoes it.
func (w *world) tamper(t *testing.T, c tampering) {
	t.Helper()
	w.change(t, c)
	code, report := w.verifyLedger(t)
	if code != 1 || report.Good {
		t.Errorf("%s: with a bit flipped the verification says good=%t, exit code %d, want 1", c.name, report.Good, code)
	}
	if !anyNames(report.Problems, c.names) {
		t.Errorf("%s: no problem names %q: %q", c.name, c.names, report.Problems)
	}
	// One bit is one fault, or a few lines of it: whoever reads must find it. A
	// certificate is a fault of every batch that came by it.
	if len(report.Problems) > 3 && c.name != "certificate" {
		t.Errorf("%s: one bit made %d problems: %q", c.name, len(report.Problems), report.Problems)
	}
	w.change(t, c)
}

func (w *world) change(t *testing.T, c tampering) {
	t.Helper()
	tag, err := w.pool.Exec(t.Context(), c.sql, c.arg)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	if tag.RowsAffected() != 1 {
		t.Fatalf("%s: %d rows were changed", c.name, tag.RowsAffected())
	}
}

// anyNames reports whether one of the problems has all the words.
func anyNames(problems, words []string) bool {
	for _, p := range problems {
		all := true
		for _, word := range words {
			all = all && strings.Contains(p, word)
		}
		if all {
			return true
		}
	}
	return false
}

// TestDeletionIsFoundAndNamed takes whole rows away.
func TestDeletionIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	w := newQuietWorld(t)
	a := w.enrol(t, "importer", "enrol", "import")
	a.startImport(t, generate(t, w.path("logs"), 1, 3_000).folders...).result(t, 0)
	w.awaitSigned(t)
	w.mustVerify(t)
	batch := w.number(t, `SELECT min(position) FROM batch WHERE number = 3`)
	newest := w.number(t, `SELECT max(size) FROM checkpoint`)
	at := fmt.Sprintf("at position %d", batch)
	for _, c := range []struct {
		table, where string
		arg          int64
		names        []string
	}{
		{"batch", "position = $1", batch, []string{"batch", at, "missing"}},
		{"leaf", "position = $1", batch, []string{"leaf", at, "missing"}},
		{"epoch", "position = $1", w.number(t, `SELECT max(position) FROM epoch`), []string{"epoch", "missing"}},
		{"ledger_hash", "index = $1", 2, []string{"hash 2", "missing"}},
		{"checkpoint", "size = $1", newest, []string{"checkpoint", fmt.Sprintf("of size %d", newest), "missing"}},
	} {
		if _, err := w.pool.Exec(t.Context(), fmt.Sprintf(`CREATE TABLE kept AS SELECT * FROM %s WHERE %s`, c.table, strings.ReplaceAll(c.where, "$1", fmt.Sprint(c.arg)))); err != nil {
			t.Fatal(err)
		}
		w.change(t, tampering{name: c.table, sql: fmt.Sprintf(`DELETE FROM %s WHERE %s`, c.table, c.where), arg: c.arg})
		code, report := w.verifyLedger(t)
		if code != 1 || !anyNames(report.Problems, c.names) {
			t.Errorf("%s: exit code %d, no problem names %q: %q", c.table, code, c.names, report.Problems)
		}
		if _, err := w.pool.Exec(t.Context(), fmt.Sprintf(`INSERT INTO %s SELECT * FROM kept`, c.table)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.pool.Exec(t.Context(), `DROP TABLE kept`); err != nil {
			t.Fatal(err)
		}
	}
	w.mustVerify(t)
}
