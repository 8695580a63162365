package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// clear checks that a command failed with one line that has all the words: what
// went wrong and what to do.
func clear(t *testing.T, r result, words ...string) {
	t.Helper()
	if r.code <= 0 {
		t.Errorf("it ended with exit code %d, want one that tells of failure: %s", r.code, r)
	}
	t.Logf("exit code %d: %s", r.code, strings.TrimSpace(r.stderr))
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	if len(lines) != 1 || lines[0] == "" {
		t.Errorf("it said %d lines, want one: %s", len(lines), r)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("it did not say %q: %s", word, r)
		}
	}
}

// TestEnrolmentIsRefusedClearly tries to enrol with everything that is wrong,
// and then with what is right: a refusal leaves nothing behind.
func TestEnrolmentIsRefusedClearly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.token(t, "good", "enrol", "import")
	dir := w.path("agent")
	with := func(change func(args []string)) result {
		args := w.enrolArgs(dir, good)
		change(args)
		return run(t, promptly, "assay-agent", args...)
	}
	set := func(flag, value string) func([]string) {
		return func(args []string) {
			for i := range args {
				if args[i] == flag {
					args[i+1] = value
				}
			}
		}
	}
	other := strings.Repeat("5a", 32)
	clear(t, with(set("--token-file", w.write(t, "forged", "assay_"+strings.Repeat("A", 43)+"\n"))), "token")
	clear(t, with(set("--token-file", w.write(t, "nonsense", "not a token\n"))), "token")
	clear(t, with(set("--token-file", w.path("absent"))), "absent")
	clear(t, with(set("--ca-hash", other)), "CA hash", other)
	clear(t, with(set("--ca-hash", "1234")), "1234", "64")
	nobody := freeAddress(t)
	clear(t, with(set("--server", nobody)), "cannot be reached", nobody)
	clear(t, with(set("--server", "nonsense")), "nonsense")

	// The console's port answers too, and is another service.
	clear(t, with(set("--server", w.server.console)), w.server.console)

	clear(t, run(t, promptly, "assay-agent", "import", "--dir", dir, w.path("keys")), "import")
	if made := generate(t, w.path("logs"), 1, 40); made.total > 0 {
		clear(t, run(t, promptly, "assay-agent", "import", "--dir", dir, made.folders[0]), "not enrolled", "assay-agent enrol")
		mustRun(t, promptly, "assay-agent", w.enrolArgs(dir, good)...)
		a := &agent{world: w, dir: dir}
		if r := a.startImport(t, made.folders...).result(t, 0); r.New != made.total {
			t.Errorf("after all the refusals %d of %d records were imported", r.New, made.total)
		}
		clear(t, run(t, promptly, "assay-agent", w.enrolArgs(dir, good)...), "enrolled already", "--replace")
		plain := w.enrol(t, "plain", "enrol")
		clear(t, run(t, promptly, "assay-agent", "import", "--dir", plain.dir, made.folders[0]), "right to import", "token")
	}
	w.mustVerify(t)
}

// TestServerIsRefusedClearly starts servers that cannot work.
func TestServerIsRefusedClearly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	serve := func(change ...string) result {
		spare := w.newServer(t)
		return run(t, promptly, "assay-server", append(spare.args, change...)...)
	}
	clear(t, serve("--console", w.server.console), w.server.console, "--console")
	clear(t, serve("--agents", w.server.agents), w.server.agents, "--agents")
	clear(t, serve("--metrics", w.server.metrics), w.server.metrics, "--metrics")
	clear(t, serve("--keys", w.path("absent")), w.path("absent"), "assay-server init")
	clear(t, serve("--database", "postgres:///assay?host="+w.path("nowhere")), "database", "Postgres")
	clear(t, serve("--database", w.db.DSN("template1")), "migrate")
	clear(t, run(t, promptly, "assay-server", "init", "--keys", w.path("keys")), w.path("keys"), "another folder")
	clear(t, run(t, promptly, "assay-server", "user", "create", adminName, "--password-file", w.path("password"), "--database", w.dsn()), adminName)

	wrong := w.write(t, "wrong", "not the password\n")
	login := []string{"--config=" + w.path("other.json"), "login", "--user", adminName, "--ca", filepath.Join(w.path("keys"), "root.crt")}
	clear(t, run(t, promptly, "assayctl", append(login, "--server", "https://"+w.server.console, "--password-file", wrong)...), "password")
	clear(t, run(t, promptly, "assayctl", append(login, "--server", "https://"+freeAddress(t), "--password-file", w.path("password"))...), "cannot be reached")
	clear(t, run(t, promptly, "assayctl", "--config="+w.path("other.json"), "status"), "assayctl login")
	if code, text, err := w.server.get(t.Context(), "/readyz"); err != nil || code != http.StatusOK {
		t.Errorf("beside all that the server answers %d %s, %v", code, text, err)
	}
}

// TestPostgresGoesAndComes takes Postgres away from a running server while an
// agent imports.
func TestPostgresGoesAndComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(t, "importer", "enrol", "import")
	made := generate(t, w.path("logs"), 2, 4_000)
	before := a.startImport(t, made.folders[0]).result(t, 0)

	w.killPostgres(t)
	w.server.awaitReady(t, http.StatusServiceUnavailable)
	if code, _, err := w.server.get(t.Context(), "/livez"); err != nil || code != http.StatusOK {
		t.Errorf("without its database the server's /livez is %d, %v", code, err)
	}
	clear(t, w.ctl(t, "status"), "database")
	spare := w.newServer(t)
	clear(t, run(t, promptly, "assay-server", spare.args...), "database", "Postgres")
	under := a.startImport(t, made.folders[1])
	under.awaitLine(t, under.stderr, "events are kept", promptly)

	w.restartPostgres(t)
	w.server.awaitReady(t, http.StatusOK)
	after := under.result(t, 0)
	if before.New+after.New != made.total {
		t.Errorf("%d and %d records were imported of %d", before.New, after.New, made.total)
	}
	w.holds(t, made)
}

// holds checks that exactly the records of these logs were received and
// projected, and that the ledger is good.
func (w *world) holds(t *testing.T, made *logs) {
	t.Helper()
	w.awaitProjected(t)
	sameCount(t, "in the batches", w.readStream(t, evidence.Import).count, made.count)
	sameCount(t, "in the tables", w.countTables(t), made.count)
	w.nothingAside(t)
	w.mustVerify(t)
}

// TestServerIsAwayForAWhile imports while nobody listens: all is kept, and sent
// by the agent that runs later.
func TestServerIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(t, "importer", "enrol", "import")
	made := generate(t, w.path("logs"), 1, 2_000)
	w.server.child.stop(t)
	r := run(t, promptly, "assay-agent", "import", "--dir", a.dir, "--no-wait", made.folders[0])
	if r.code != 0 {
		t.Fatalf("import --no-wait: %s", r)
	}
	runs := start(t, "assay-agent", "run", "--dir", a.dir)
	runs.awaitLine(t, runs.stderr, "events are kept", promptly)
	w.server.start(t)
	await(t, "all records to be committed", patiently, func(ctx context.Context) (bool, string) {
		n, err := w.committed(ctx, evidence.Import)
		return n >= made.total, fmt.Sprintf("%d of %d are, %v", n, made.total, err)
	})
	// A second program on the same state is refused, and harms nobody.
	clear(t, run(t, promptly, "assay-agent", "import", "--dir", a.dir, made.folders[0]), a.dir)
	runs.stop(t)
	if code := runs.wait(t, promptly); code != 0 {
		t.Errorf("assay-agent run ended with exit code %d", code)
	}
	w.holds(t, made)
}

// TestRevocationEndsTheStream revokes an agent that is connected.
func TestRevocationEndsTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(t, "importer", "enrol", "import")
	made := generate(t, w.path("logs"), 2, 2_000)
	a.startImport(t, made.folders[0]).result(t, 0)
	runs := start(t, "assay-agent", "run", "--dir", a.dir)
	runs.awaitLine(t, runs.stderr, "msg=connected", promptly)

	var list struct{ Agents []struct{ ID string } }
	w.ctlJSON(t, &list, "agents")
	if len(list.Agents) != 1 {
		t.Fatalf("%d agents are listed, want 1", len(list.Agents))
	}
	w.mustCtl(t, "agents", "revoke", list.Agents[0].ID, "--reason", "drill")
	began := time.Now()
	runs.awaitLine(t, runs.stderr, "revoked", promptly)
	t.Logf("the stream of a revoked agent went on for %s", time.Since(began))
	runs.stop(t)
	batches := w.number(t, `SELECT count(*) FROM batch`)
	w.mustVerify(t)

	// What it has is not taken, and it is told why.
	again := a.startImport(t, made.folders[1])
	code := again.wait(t, promptly)
	last := tail(again.stderr.String(), 1)
	clear(t, result{code: code, stderr: last}, "revoked", "assay-agent enrol --replace")
	if n := w.number(t, `SELECT count(*) FROM batch`); n != batches {
		t.Errorf("%d batches were taken from a revoked agent", n-batches)
	}
	w.mustVerify(t)

	// Enrolled anew it sends what waits in the spool. It is another agent now, so
	// that its imported hosts are others than before.
	mustRun(t, promptly, "assay-agent", append(w.enrolArgs(a.dir, w.token(t, "anew", "enrol", "import")), "--replace")...)
	a.startImport(t, made.folders...).result(t, 0)
	w.awaitProjected(t)
	all := w.readStream(t, evidence.Import)
	for key, n := range made.count {
		if got := all.count[key]; got < n {
			t.Errorf("after enrolling anew %d of %d events %v are there", got, n, key)
		}
	}
	w.mustVerify(t)
}

// TestDamagedLogsAreNamed imports what is no log, half of one, and a good one.
func TestDamagedLogsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(t, "importer", "enrol", "import")
	made := generate(t, w.path("logs"), 1, 2_000)
	whole, err := os.ReadFile(filepath.Join(made.folders[0], "1.evtx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.path("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	half := w.write(t, "damaged/half.evtx", string(whole[:len(whole)/2]))
	nonsense := w.write(t, "damaged/nonsense.evtx", "this is no event log")
	empty := w.write(t, "damaged/empty.evtx", "")

	r := run(t, promptly, "assay-agent", "import", "--dir", a.dir, made.folders[0], w.path("damaged"))
	if r.code != 1 {
		t.Errorf("damaged logs were imported with exit code %d, want 1: %s", r.code, r)
	}
	for _, name := range []string{half, nonsense, empty} {
		n := 0
		for line := range strings.Lines(r.stdout + r.stderr) {
			if strings.HasPrefix(line, name) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is named in %d lines, want 1: %s", name, n, r)
		}
	}
	clear(t, run(t, promptly, "assay-agent", "import", "--dir", a.dir, w.path("absent.evtx")), "absent.evtx")
	w.awaitProjected(t)
	tables := w.countTables(t)
	for key, n := range made.count {
		if tables[key] < n {
			t.Errorf("beside damaged logs %d of %d events %v were imported", tables[key], n, key)
		}
	}
	w.nothingAside(t)
	w.mustVerify(t)
}

// TestListenerThatIsNoServer dials something that accepts and says nothing.
func TestListenerThatIsNoServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	args := w.enrolArgsAt(l.Addr().String(), w.path("agent"), w.token(t, "good", "enrol"))
	clear(t, run(t, 2*time.Minute, "assay-agent", args...), "cannot be reached")
}
