package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

// TestRewrittenHistory plays a server that lies with all that it has, its keys
// too: it goes back to what its database was and writes another history from
// there. Its own ledger verifies. Who notices is who remembers: the agent, which
// tells it where the server cannot hide it and deletes nothing any more, and the
// auditor's witness, which keeps the proof.
func TestRewrittenHistory(t *testing.T) {
	t.Parallel()
	w := newQuietWorld(t)
	made := generate(t, w.path("logs"), 2, 3_000)
	a := w.enrol(t, "importer", "enrol", "import")
	a.startImport(t, made.folders[0]).result(t, 0)
	w.awaitSigned(t)
	auditor := w.newAuditor(t)
	auditor.signs(t)

	w.server.child.stop(t)
	w.copyDatabase(t, "rewritten")
	copied := w.number(t, `SELECT size FROM ledger_head`)
	w.server.start(t)
	a.startImport(t, made.folders[1]).result(t, 0)
	w.awaitSigned(t)
	auditor.signs(t)
	// A server that has just started offers its newest checkpoint.
	w.server.child.stop(t)
	w.server.start(t)
	runs := start(t, "assay-agent", "run", "--dir", a.dir)
	await(t, "the agent to verify a checkpoint of after the copy", promptly, func(context.Context) (bool, string) {
		status := a.status(t)
		if status.LedgerFork != "" {
			t.Fatalf("before the lie the agent says %+v", status)
		}
		return status.Checkpoint > copied, fmt.Sprintf("%+v, copied were %d leaves", status, copied)
	})
	runs.stop(t)

	// The lie: the second import never was. Something else was.
	w.server.child.stop(t)
	w.server.args = append(w.server.serveArgs(w.db.DSN("rewritten")), "--evaluate-every", "24h")
	w.server.start(t)
	size := w.number(t, `SELECT max(size) FROM checkpoint`)
	w.pool = w.poolOf(t, "rewritten")
	for n := 0; w.number(t, `SELECT size FROM ledger_head`) <= size; n++ {
		w.addWindow(t, n)
	}
	w.awaitSigned(t)
	w.mustVerify(t) // alone, the other history is a good one

	again := start(t, "assay-agent", "run", "--dir", a.dir)
	await(t, "the agent to notice", promptly, func(context.Context) (bool, string) {
		status := a.status(t)
		return status.LedgerFork != "", fmt.Sprintf("%+v", status)
	})
	again.kill(t)
	if alarm := a.alarm(t); !strings.Contains(alarm, "ledger_fork") {
		t.Errorf("the host's own alarm says %q", alarm)
	}
	auditor.finds(t, w.ledgerKey)
}

// TestSplitView plays a server that shows its agents one history and the auditor
// another: two servers with the same keys, each on a database of its own. Neither
// view is wrong by itself, so that only who meets both can notice: the witness
// that both have to ask.
func TestSplitView(t *testing.T) {
	t.Parallel()
	w := newQuietWorld(t)
	made := generate(t, w.path("logs"), 2, 3_000)
	a := w.enrol(t, "importer", "enrol", "import")
	a.startImport(t, made.folders[0]).result(t, 0)
	w.awaitSigned(t)
	auditor := w.newAuditor(t)
	listen := freeAddress(t)
	watch := start(t, "assayctl", "witness", "serve", "--key", auditor.key, "--state", auditor.state, "--log-key", w.ledgerKey, "--listen", listen)
	watch.awaitLine(t, watch.stderr, "witnessing", promptly)
	w.server.child.stop(t)
	w.copyDatabase(t, "shown")

	asks := []string{"--witness", "http://" + listen + " " + auditor.public, "--witness-every", "1s"}
	w.server.args = append(w.server.args, asks...)
	w.server.start(t)
	a.startImport(t, made.folders[1]).result(t, 0) // the agent is in this view
	w.awaitSigned(t)
	w.awaitWitnessed(t)
	if n := w.number(t, `SELECT count(*) FROM cosignature`); n == 0 {
		t.Error("no agent has cosigned what it was shown")
	}

	shown := w.newServer(t)
	shown.args = append(shown.serveArgs(w.db.DSN("shown")), slices.Concat([]string{"--evaluate-every", "24h"}, asks)...)
	shown.start(t)
	other := *w
	other.server, other.pool, other.session = shown, w.poolOf(t, "shown"), w.path("session-shown.json")
	other.login(t)
	signed := w.number(t, `SELECT max(size) FROM witness_cosignature`)
	for n := 0; other.number(t, `SELECT size FROM ledger_head`) <= signed; n++ {
		other.addWindow(t, n)
	}
	other.awaitSigned(t)
	watch.awaitLine(t, watch.stderr, "not cosigned", promptly)
	await(t, "the server to tell that it is not witnessed", promptly, func(ctx context.Context) (bool, string) {
		_, text, err := shown.get(ctx, "/metrics")
		if err != nil {
			return false, err.Error()
		}
		return strings.Contains(text, `assay_ledger_witness_failures_total{witness="auditor.example"}`), "no failure is counted"
	})
	if n := other.number(t, `SELECT coalesce(max(size), 0) FROM witness_cosignature`); n >= other.number(t, `SELECT max(size) FROM checkpoint`) {
		t.Error("the witness signed both histories")
	}
}

// auditor is who watches from outside, with files of its own.
type auditor struct {
	world              *world
	key, state, public string
}

// newAuditor makes a witness's key, which the server is told of.
func (w *world) newAuditor(t *testing.T) *auditor {
	t.Helper()
	o := &auditor{world: w, key: w.path("auditor.key"), state: w.path("auditor.json")}
	o.public = strings.TrimSpace(mustRun(t, promptly, "assayctl", "witness", "keygen", "auditor.example", "--out", o.key).stdout)
	return o
}

func (o *auditor) watch(t *testing.T) result {
	t.Helper()
	return o.world.ctl(t, "witness", "watch", "--key", o.key, "--state", o.state, "--log-key", o.world.ledgerKey, "--no-submit")
}

func (o *auditor) signs(t *testing.T) {
	t.Helper()
	if r := o.watch(t); r.code != 0 {
		t.Fatalf("the auditor did not sign: %s", r)
	}
}

// finds is the auditor's next look, which must find the lie and keep its proof.
func (o *auditor) finds(t *testing.T, key string) {
	t.Helper()
	r := o.watch(t)
	if r.code != 1 || !strings.Contains(r.stderr, "FORK") {
		t.Fatalf("the auditor's look: %s", r)
	}
	files, err := filepath.Glob(o.state + ".fork-*.txt")
	if err != nil || len(files) != 1 || !strings.Contains(r.stderr, files[0]) {
		t.Fatalf("the proof is in %q, %v; told was %s", files, err, r.stderr)
	}
	proof, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for _, part := range strings.SplitAfter(string(proof), "\n\n")[1:] {
		if !strings.HasPrefix(part, verifier.Name()) {
			continue
		}
		rest := string(proof)[strings.Index(string(proof), part):]
		text, rest, _ := strings.Cut(rest, "\n\n")
		signature, _, _ := strings.Cut(rest, "\n")
		c, err := evidence.OpenCheckpoint([]byte(text+"\n\n"+signature+"\n"), verifier)
		if err != nil {
			t.Fatalf("a note of the proof: %v\n%s", err, proof)
		}
		sizes = append(sizes, c.Size)
	}
	if len(sizes) != 2 {
		t.Errorf("the proof holds %d signed notes:\n%s", len(sizes), proof)
	}
}

// agentStatus is what the agent says of itself.
type agentStatus struct {
	Checkpoint int64  `json:"checkpoint_size"`
	LedgerFork string `json:"ledger_fork"`
	Streams    []struct{ Unsent uint64 }
}

func (s *agentStatus) unsent() (n uint64) {
	for _, stream := range s.Streams {
		n += stream.Unsent
	}
	return n
}

func (a *agent) status(t *testing.T) (s agentStatus) {
	t.Helper()
	// Exit code 1 says that something is wrong with it.
	r := run(t, promptly, "assay-agent", "status", "--dir", a.dir, "--json")
	decode(t, r.stdout, &s)
	return s
}

// alarm is what the agent wrote for whoever looks at the host.
func (a *agent) alarm(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "alarm.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// addWindow adds a leaf that only the server writes.
func (w *world) addWindow(t *testing.T, n int) {
	t.Helper()
	w.mustCtl(t, "policy", "window", fmt.Sprintf("DRILL-%d", n), "--from", "2026-03-01T20:00:00Z", "--to", "2026-03-01T22:00:00Z", "--reason", "another history")
}

// awaitWitnessed waits until the witness has signed what is signed now.
func (w *world) awaitWitnessed(t *testing.T) {
	t.Helper()
	await(t, "the witness to cosign", promptly, func(ctx context.Context) (bool, string) {
		var signed, witnessed int64
		err := w.pool.QueryRow(ctx, `SELECT (SELECT max(size) FROM checkpoint), (SELECT coalesce(max(size), 0) FROM witness_cosignature)`).Scan(&signed, &witnessed)
		if err != nil {
			return false, err.Error()
		}
		return signed == witnessed, fmt.Sprintf("%d leaves of %d are witnessed", witnessed, signed)
	})
}

// poolOf is a pool of connections to another database.
func (w *world) poolOf(t *testing.T, name string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), w.db.DSN(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// copyDatabase makes another database of what is in ours; no server may run.
func (w *world) copyDatabase(t *testing.T, name string) {
	t.Helper()
	w.pool.Reset()
	conn, err := pgx.Connect(t.Context(), w.db.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, sql := range []string{
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'assay'`,
		`CREATE DATABASE ` + name + ` TEMPLATE assay`,
	} {
		await(t, sql, promptly, func(ctx context.Context) (bool, string) {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return false, err.Error() // a connection of before still ends
			}
			return true, ""
		})
	}
}
