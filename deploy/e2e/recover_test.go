package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/assay-audit/assay/proto/evidence"
)

// TestOldBackup restores an old backup under a live fleet. One agent still keeps
// all that it sent since, one has deleted a part as safe, one enrolled since. The
// server must not sign over what they hold, the recovery must say what was lost and
// no more, and agents and the auditor go on with the ledger that follows.
func TestOldBackup(t *testing.T) {
	t.Parallel()
	d := newRestoring(t)
	d.before(t)
	d.backUp(t)
	d.since(t)
	d.restore(t)
	d.refuses(t)
	d.recovers(t)
	d.goesOn(t)
	d.counts(t)
	d.auditorGoesOn(t)
}

// batchName names a batch of a stream.
type batchName struct {
	epoch  uint32
	number uint64
}

// restoring is the drill and what it knows.
type restoring struct {
	*world
	keeper, loser, late *agent
	auditor             *auditor
	at                  int64 // leaves signed in the backup
	shown, held         int64 // leaves that agents and that anyone held when it was restored
	// sent is how many events each batch of imports had before the restore.
	sent map[*agent]map[batchName]int64
}

func newRestoring(t *testing.T) *restoring {
	t.Helper()
	w := newQuietWorld(t)
	return &restoring{world: w, keeper: w.enrol(t, "keeper", "enrol", "import"), loser: w.enrol(t, "loser", "enrol", "import"), auditor: w.newAuditor(t)}
}

func (d *restoring) before(t *testing.T) {
	t.Helper()
	made := generate(t, d.path("first"), 2, 4_000)
	d.keeper.startImport(t, made.folders[0]).result(t, 0)
	d.loser.startImport(t, made.folders[1]).result(t, 0)
	d.awaitSigned(t)
	d.auditor.signs(t)
	d.at = d.number(t, `SELECT max(size) FROM checkpoint`)
}

// backUp copies the folder of a Postgres that does not run, and of a server that
// does not either.
func (d *restoring) backUp(t *testing.T) {
	t.Helper()
	d.server.child.stop(t)
	d.at = d.number(t, `SELECT max(size) FROM checkpoint`)
	d.killPostgres(t)
	mustCopy(t, d.path("postgres/data"), d.path("backup"))
	d.restartPostgres(t)
}

func mustCopy(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	c := startCommand(t, nil, "cp", "-a", from, to)
	if code := c.wait(t, promptly); code != 0 {
		t.Fatalf("copying the folder of Postgres ended with %d: %s", code, c.stderr.String())
	}
}

// since is what happens after the backup.
func (d *restoring) since(t *testing.T) {
	t.Helper()
	plain := d.server.args
	d.server.start(t)
	d.keeper.startImport(t, generate(t, d.path("kept"), 1, 3_000).folders...).result(t, 0)
	d.late = d.enrol(t, "late", "enrol", "import")
	d.server.child.stop(t)
	// From here on commits are safe at once: agents delete what is proven.
	d.server.args = append(append([]string{}, plain...), "--safe-after", "1s")
	d.server.start(t)
	d.loser.startImport(t, bulky(t, d.path("bulky.evtx"), 1_000)).result(t, 0)
	segments := d.loser.spooled(t)
	if segments < 2 {
		t.Fatalf("what the agent sent fills %d segments of its spool: it will delete none", segments)
	}
	d.awaitSigned(t)
	d.server.child.stop(t) // a server that has just started offers its newest checkpoint
	d.server.start(t)
	d.awaitSigned(t)
	runs := []*child{d.runs(t, d.keeper), d.runs(t, d.loser), d.runs(t, d.late)}
	await(t, "the agent to delete what is safe", promptly, func(context.Context) (bool, string) {
		n := d.loser.spooled(t)
		return n < segments, fmt.Sprintf("%d segments of %d", n, segments)
	})
	for _, a := range []*agent{d.keeper, d.loser} {
		await(t, "an agent to verify a checkpoint of since", promptly, func(context.Context) (bool, string) {
			s := a.status(t)
			return s.Checkpoint > d.at, fmt.Sprintf("%+v", s)
		})
	}
	for _, r := range runs {
		r.kill(t)
	}
	d.auditor.signs(t)
	d.sent = map[*agent]map[batchName]int64{d.keeper: d.batchesOf(t, d.keeper), d.loser: d.batchesOf(t, d.loser)}
	d.server.child.stop(t)
	d.server.args = plain
	d.shown = max(d.keeper.status(t).Checkpoint, d.loser.status(t).Checkpoint)
	d.held = d.auditor.known(t).Size
	if d.held < d.shown {
		t.Fatalf("the auditor holds %d leaves, agents hold %d", d.held, d.shown)
	}
}

// known is what the auditor signed last.
func (o *auditor) known(t *testing.T) (known struct {
	Size int64
	Note string
}) {
	t.Helper()
	text, err := os.ReadFile(o.state)
	if err != nil {
		t.Fatal(err)
	}
	logs := map[string]*struct {
		Size int64
		Note string
	}{}
	decode(t, string(text), &logs)
	if logs["assay/drill"] == nil {
		t.Fatalf("the auditor's state is %s", text)
	}
	return *logs["assay/drill"]
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

func (d *restoring) runs(t *testing.T, a *agent) *child {
	t.Helper()
	return start(t, "assay-agent", "run", "--dir", a.dir)
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

// batchesOf is how many events the agent's imported batches have.
func (d *restoring) batchesOf(t *testing.T, a *agent) map[batchName]int64 {
	t.Helper()
	rows, err := d.pool.Query(t.Context(), `SELECT b.header FROM batch b JOIN stream s ON s.id = b.stream_id WHERE s.kind = $1 AND s.agent_id = $2`, int16(evidence.Import), a.id(t))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	batches := map[batchName]int64{}
	for rows.Next() {
		var canonical []byte
		if err := rows.Scan(&canonical); err != nil {
			t.Fatal(err)
		}
		header, err := evidence.ParseHeader(canonical)
		if err != nil {
			t.Fatal(err)
		}
		batches[batchName{header.Epoch, header.Number}] = int64(header.EventCount)
	}
	if err := rows.Err(); err != nil || len(batches) == 0 {
		t.Fatalf("%d batches, %v", len(batches), err)
	}
	return batches
}

func (a *agent) id(t *testing.T) string {
	t.Helper()
	var s struct {
		AgentID string `json:"agent_id"`
	}
	decode(t, run(t, promptly, "assay-agent", "status", "--dir", a.dir, "--json").stdout, &s)
	return s.AgentID
}

func (d *restoring) restore(t *testing.T) {
	t.Helper()
	d.killPostgres(t)
	mustCopy(t, d.path("backup"), d.path("postgres/data"))
	d.restartPostgres(t)
	if n := d.number(t, `SELECT max(size) FROM checkpoint`); n != d.at {
		t.Fatalf("the backup has %d leaves signed, not %d", n, d.at)
	}
}

// refuses: whoever forgets to recover is told, and nothing is signed over.
func (d *restoring) refuses(t *testing.T) {
	t.Helper()
	d.server.start(t)
	runs := d.runs(t, d.keeper)
	d.server.child.awaitLine(t, d.server.child.stderr, "run assay-server recover", promptly)
	r := run(t, promptly, "assay-server", d.recoverArgs()...)
	if r.code != 1 || !strings.Contains(r.stderr, "at work") {
		t.Errorf("a recovery beside a running server: %s", r)
	}
	runs.kill(t)
	d.server.child.stop(t)
	if n := d.number(t, `SELECT max(size) FROM checkpoint`); n != d.at {
		t.Errorf("with another tree held by an agent the server signed %d leaves over the %d of the backup", n, d.at)
	}
}

func (d *restoring) recoverArgs(more ...string) []string {
	return append([]string{"recover", "--keys", d.path("keys"), "--database", d.dsn(), "--host", "127.0.0.1", "--agents", d.server.agents}, more...)
}

// recovers listens to all agents, then opens the ledger that follows.
func (d *restoring) recovers(t *testing.T) {
	t.Helper()
	listens := start(t, "assay-server", d.recoverArgs("--wait", "2m")...)
	listens.awaitLine(t, listens.stderr, "listening for agents of 2 hosts", promptly)
	late := d.runs(t, d.late)
	late.awaitLine(t, late.stderr, "recovered from a backup", promptly)
	for _, a := range []*agent{d.keeper, d.loser} {
		runs := d.runs(t, a)
		runs.awaitLine(t, runs.stderr, "recovered from a backup", promptly)
		runs.kill(t)
	}
	late.kill(t)
	if code := listens.wait(t, promptly); code != 0 {
		t.Fatalf("listening ended with %d: %s", code, listens.stderr.String())
	}
	told := listens.stdout.String()
	for _, want := range []string{
		fmt.Sprintf("has %d leaves signed. 2 agents were heard, of 2 hosts", d.at),
		"Agent " + d.late.id(t) + " is not known here", fmt.Sprintf("of %d leaves, by agent ", d.shown),
	} {
		if !strings.Contains(told, want) {
			t.Errorf("the recovery does not say %q: %s", want, told)
		}
	}
	opened := mustRun(t, promptly, "assay-server", d.recoverArgs("--open", "--checkpoint", d.write(t, "auditor.txt", d.auditor.known(t).Note))...)
	for _, want := range []string{"The ledger assay/drill/2 begins", fmt.Sprintf("held %d ", d.held), fmt.Sprintf("kept %d ", d.at), "— assay/drill ", "— assay/drill/2 "} {
		if !strings.Contains(opened.stdout, want) {
			t.Errorf("opening the successor does not say %q: %s", want, opened)
		}
	}
	if r := run(t, promptly, "assay-server", d.recoverArgs("--open")...); r.code != 1 || !strings.Contains(r.stderr, "nothing to recover") {
		t.Errorf("opening it once more: %s", r)
	}
}

// goesOn runs both agents until all that they keep is there.
func (d *restoring) goesOn(t *testing.T) {
	t.Helper()
	d.server.start(t)
	d.login(t)
	for _, a := range []*agent{d.keeper, d.loser} {
		runs := d.runs(t, a)
		await(t, "the agent to have sent again what it keeps, and to follow the ledger", patiently, func(context.Context) (bool, string) {
			s := a.status(t)
			alarm, err := os.ReadFile(filepath.Join(a.dir, "alarm.log"))
			told := err == nil && strings.Contains(string(alarm), "ledger_succeeded")
			return s.unsent() == 0 && told, fmt.Sprintf("%+v, told: %t", s, told)
		})
		runs.kill(t)
		if s := a.status(t); s.LedgerFork != "" {
			t.Errorf("an agent takes the successor for a fork: %s", s.LedgerFork)
		}
	}
	d.awaitSigned(t)
	d.mustVerify(t)
}

// counts: what was kept anywhere is there once; what is lost is said, and no more.
func (d *restoring) counts(t *testing.T) {
	t.Helper()
	var shown struct {
		Lost []struct {
			AgentID    string `json:"agent_id"`
			Epoch      uint32
			FromNumber uint64 `json:"from_number,string"`
			ToNumber   uint64 `json:"to_number,string"`
		}
	}
	d.ctlJSON(t, &shown, "ledger")
	if len(shown.Lost) != 1 || shown.Lost[0].AgentID != d.loser.id(t) {
		t.Fatalf("said to be lost: %+v", shown.Lost)
	}
	var lost int64
	for number := shown.Lost[0].FromNumber; number <= shown.Lost[0].ToNumber; number++ {
		events, ok := d.sent[d.loser][batchName{shown.Lost[0].Epoch, number}]
		if !ok {
			t.Fatalf("batch %d is said to be lost and never was", number)
		}
		lost += events
	}
	if lost == 0 {
		t.Fatal("nothing is said to be lost")
	}
	for _, a := range []*agent{d.keeper, d.loser} {
		want := sumOf(d.sent[a])
		if a == d.loser {
			want -= lost
		}
		if got := sumOf(d.batchesOf(t, a)); got != want {
			t.Errorf("of the agent in %s %d events are there, want %d", a.dir, got, want)
		}
	}
	got := d.readStream(t, evidence.Import) // none twice, none out of order
	t.Logf("of %d leaves %d were kept; of %d events of the one agent %d are lost, in batches %d to %d; %d records are there",
		d.held, d.at, sumOf(d.sent[d.loser]), lost, shown.Lost[0].FromNumber, shown.Lost[0].ToNumber, len(got.records))
}

func sumOf(batches map[batchName]int64) (n int64) {
	for _, events := range batches {
		n += events
	}
	return n
}

// auditorGoesOn: the witness signs nothing of the successor before it is accepted.
func (d *restoring) auditorGoesOn(t *testing.T) {
	t.Helper()
	r := d.auditor.watch(t)
	if r.code != 1 || !strings.Contains(r.stderr, "SUCCESSION") || !strings.Contains(r.stderr, fmt.Sprintf("of %d leaves %d were kept", d.held, d.at)) {
		t.Fatalf("the auditor's look: %s", r)
	}
	o := d.auditor
	r = d.ctl(t, "witness", "watch", "--key", o.key, "--state", o.state, "--log-key", d.ledgerKey, "--no-submit", "--accept-successor")
	if r.code != 0 || !strings.Contains(r.stdout, "signed assay/drill/2") || !strings.Contains(r.stdout, fmt.Sprintf("extends the %d signed", d.at)) {
		t.Fatalf("the auditor's look, accepting: %s", r)
	}
	o.signs(t)
}
