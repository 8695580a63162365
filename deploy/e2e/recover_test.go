package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/assay-audit/assay/proto/evidence"
)

// TestOldBackup restores an old base backup, made while agents delivered, under a live
// fleet: no agent is stopped. One still keeps all that it sent since, one has deleted a
// part as safe, one enrolled since. The server must not sign over what they hold, the
// recovery must say what was lost and no more, and agents and the auditor go on with the
// ledger that follows.
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
	keeper, loser, late *watcher
	auditor             *auditor
	made                *logs
	folders             fresh
	least, most         int64 // leaves signed before the backup and after it
	at                  int64 // leaves signed in it
	over                int64 // leaves that were signed by a server which ran on it before anyone had noticed
	shown, held         int64 // leaves that agents and that anyone held when it was restored
	// had is what each had sent when the backup was made, sent what it had before the
	// restore: events of the batches of imports.
	had, sent map[*watcher]map[batchName]int64
}

const restoringFolders = 13

func newRestoring(t *testing.T) *restoring {
	t.Helper()
	w := newQuietWorld(t)
	d := &restoring{world: w, auditor: w.newAuditor(t), made: generate(t, w.path("logs"), restoringFolders, restoringFolders*2_000)}
	d.folders = d.made.folders
	d.keeper, d.loser = d.watch(t, "keeper"), d.watch(t, "loser")
	return d
}

func (d *restoring) before(t *testing.T) {
	t.Helper()
	d.feed(t, d.keeper)
	d.feed(t, d.loser)
	d.awaitFed(t, d.keeper, d.loser)
	d.awaitSigned(t)
	d.auditor.signs(t)
	d.least = d.number(t, `SELECT max(size) FROM checkpoint`)
}

// backUp makes a base backup while both agents deliver.
func (d *restoring) backUp(t *testing.T) {
	t.Helper()
	began := d.number(t, `SELECT size FROM ledger_head`)
	for range 3 {
		d.feed(t, d.keeper)
		d.feed(t, d.loser)
	}
	await(t, "agents to deliver", promptly, func(context.Context) (bool, string) {
		n := d.number(t, `SELECT size FROM ledger_head`)
		return n > began, fmt.Sprintf("%d leaves", n)
	})
	c := startCommand(t, nil, filepath.Join(d.db.Programs(), "pg_basebackup"), "--dbname", d.db.DSN("postgres"), "--pgdata", d.path("backup"), "--checkpoint", "fast")
	if code := c.wait(t, patiently); code != 0 {
		t.Fatalf("pg_basebackup ended with %d: %s", code, c.stderr.String())
	}
	t.Logf("the backup was made from %d to %d leaves", began, d.number(t, `SELECT size FROM ledger_head`))
	d.awaitFed(t, d.keeper, d.loser)
	d.awaitSigned(t)
	d.most = d.number(t, `SELECT max(size) FROM checkpoint`)
}

func mustCopy(t *testing.T, from, to string) {
	t.Helper()
	command(t, "chown", "-R", "--reference", to, from)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	command(t, "cp", "-a", from, to)
}

// since is what happens after the backup.
func (d *restoring) since(t *testing.T) {
	t.Helper()
	plain := d.server.args
	d.feed(t, d.keeper)
	d.awaitFed(t, d.keeper)
	d.late = d.watch(t, "late")
	d.feed(t, d.late)
	d.awaitFed(t, d.late)
	d.server.child.stop(t)
	// From here on commits are safe at once: agents delete what is proven.
	d.server.args = append(append([]string{}, plain...), "--safe-after", "1s")
	d.server.start(t)
	if err := os.Rename(bulky(t, d.path("bulky.part"), 1_000), filepath.Join(d.loser.watched(), "bulky.evtx")); err != nil {
		t.Fatal(err)
	}
	d.loser.fed += 1_000 + 2
	d.awaitFed(t, d.loser)
	segments := d.loser.spooled(t)
	d.awaitSigned(t)
	d.server.child.stop(t) // a server that has just started offers its newest checkpoint
	d.server.start(t)
	d.awaitSigned(t)
	await(t, "the agent to delete what is safe", patiently, func(context.Context) (bool, string) {
		n := d.loser.spooled(t)
		return n < segments, fmt.Sprintf("%d segments of %d", n, segments)
	})
	for _, a := range []*watcher{d.keeper, d.loser} {
		await(t, "an agent to verify a checkpoint of since", promptly, func(context.Context) (bool, string) {
			s := a.status(t)
			return s.Checkpoint > d.most, fmt.Sprintf("%+v", s)
		})
	}
	d.server.child.stop(t) // from here on agents find nobody, and go on trying
	d.awaitStopped(t)
	d.server.args = plain
}

// awaitStopped signs for the auditor what is there, and counts it.
func (d *restoring) awaitStopped(t *testing.T) {
	t.Helper()
	d.server.start(t)
	d.login(t)
	d.awaitSigned(t)
	d.auditor.signs(t)
	d.server.child.stop(t)
	d.sent = map[*watcher]map[batchName]int64{d.keeper: d.batchesOf(t, d.keeper.agent), d.loser: d.batchesOf(t, d.loser.agent)}
	d.shown = max(d.keeper.status(t).Checkpoint, d.loser.status(t).Checkpoint, d.late.status(t).Checkpoint)
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
	if d.at = d.number(t, `SELECT max(size) FROM checkpoint`); d.at < d.least || d.at > d.most {
		t.Fatalf("the backup has %d leaves signed; there were %d before it and %d after it", d.at, d.least, d.most)
	}
	d.had = map[*watcher]map[batchName]int64{d.keeper: d.batchesOf(t, d.keeper.agent), d.loser: d.batchesOf(t, d.loser.agent)}
}

// refuses: whoever forgets to recover is told by the first agent that comes, and from
// then on nothing is signed. Before, the server's own leaves may have been.
func (d *restoring) refuses(t *testing.T) {
	t.Helper()
	d.server.start(t)
	d.server.child.awaitLine(t, d.server.child.stderr, "run assay-server recover", patiently)
	d.over = d.number(t, `SELECT max(size) FROM checkpoint`)
	r := run(t, promptly, "assay-server", d.recoverArgs()...)
	if r.code != 1 || !strings.Contains(r.stderr, "at work") {
		t.Errorf("a recovery beside a running server: %s", r)
	}
	leaves := d.number(t, `SELECT size FROM ledger_head`)
	await(t, "batches to be taken by who does not sign", patiently, func(context.Context) (bool, string) {
		n := d.number(t, `SELECT size FROM ledger_head`)
		return n > leaves, fmt.Sprintf("%d leaves", n)
	})
	d.server.child.stop(t)
	if n := d.number(t, `SELECT max(size) FROM checkpoint`); n != d.over {
		t.Errorf("with another tree held by an agent the server signed %d leaves over %d", n, d.over)
	}
}

func (d *restoring) recoverArgs(more ...string) []string {
	return append([]string{"recover", "--keys", d.path("keys"), "--database", d.dsn(), "--host", "127.0.0.1", "--agents", d.server.agents}, more...)
}

// recovers listens to all agents, then opens the ledger that follows.
func (d *restoring) recovers(t *testing.T) {
	t.Helper()
	// Listening ends when the agents of all known hosts were heard. One that sleeps
	// lets the unknown one be among them.
	d.keeper.runs.signal(t, syscall.SIGSTOP)
	listens := start(t, "assay-server", d.recoverArgs("--wait", "5m")...)
	listens.awaitLine(t, listens.stderr, "listening for agents of 2 hosts", promptly)
	for _, a := range []*watcher{d.late, d.loser} {
		a.runs.awaitLine(t, a.runs.stderr, "recovered from a backup", patiently)
	}
	d.keeper.runs.signal(t, syscall.SIGCONT)
	if code := listens.wait(t, patiently); code != 0 {
		t.Fatalf("listening ended with %d: %s", code, listens.stderr.String())
	}
	told := listens.stdout.String()
	for _, want := range []string{
		fmt.Sprintf("has %d leaves signed. 2 agents were heard, of 2 hosts", d.over),
		"Agent " + d.late.id(t) + " is not known here", fmt.Sprintf("of %d leaves, by agent ", d.shown),
	} {
		if !strings.Contains(told, want) {
			t.Errorf("the recovery does not say %q: %s", want, told)
		}
	}
	opened := mustRun(t, promptly, "assay-server", d.recoverArgs("--open", "--kept", fmt.Sprint(d.at), "--checkpoint", d.write(t, "auditor.txt", d.auditor.known(t).Note))...)
	for _, want := range []string{"The ledger assay/drill/2 begins", fmt.Sprintf("held %d ", d.held), fmt.Sprintf("kept %d ", d.at), "— assay/drill ", "— assay/drill/2 "} {
		if !strings.Contains(opened.stdout, want) {
			t.Errorf("opening the successor does not say %q: %s", want, opened)
		}
	}
	if r := run(t, promptly, "assay-server", d.recoverArgs("--open")...); r.code != 1 || !strings.Contains(r.stderr, "nothing to recover") {
		t.Errorf("opening it once more: %s", r)
	}
}

// goesOn: agents find the server by themselves, and send what they keep; one that is
// not known any more is enrolled anew, as the documentation says, and delivers again.
func (d *restoring) goesOn(t *testing.T) {
	t.Helper()
	d.server.start(t)
	d.login(t)
	d.late.runs.stop(t)
	mustRun(t, promptly, "assay-agent", append(d.enrolArgs(d.late.dir, d.token(t, "anew", "enrol", "import")), "--replace")...)
	d.late.start(t)
	for _, a := range []*watcher{d.keeper, d.loser, d.late} {
		d.feed(t, a)
	}
	for _, a := range []*watcher{d.keeper, d.loser} {
		await(t, "the agent to have sent again what it keeps, and to follow the ledger", patiently, func(context.Context) (bool, string) {
			s := a.status(t)
			alarm, err := os.ReadFile(filepath.Join(a.dir, "alarm.log"))
			told := err == nil && strings.Contains(string(alarm), "ledger_succeeded")
			return s.unsent() == 0 && s.LedgerFork == "" && told, fmt.Sprintf("%+v, told: %t", s, told)
		})
	}
	// What the unknown one had sent is in its spool, and comes with what is new.
	d.awaitFed(t, d.keeper, d.late)
	d.awaitProjected(t)
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
	if _, ok := d.had[d.loser][batchName{shown.Lost[0].Epoch, shown.Lost[0].FromNumber - 1}]; !ok || len(d.had[d.loser]) != int(shown.Lost[0].FromNumber)-1 {
		t.Errorf("batches from %d on are said to be lost; the backup has %d", shown.Lost[0].FromNumber, len(d.had[d.loser]))
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
	more := d.late.fed / 2 // what each was given last; both folders of the late one are alike
	for _, a := range []*watcher{d.keeper, d.loser} {
		want := sumOf(d.sent[a]) + more
		if a == d.loser {
			want -= lost
		}
		await(t, fmt.Sprintf("%d events of the agent in %s", want, a.dir), patiently, func(context.Context) (bool, string) {
			got := sumOf(d.batchesOf(t, a.agent))
			if got > want {
				t.Fatalf("of the agent in %s %d events are there, want %d", a.dir, got, want)
			}
			return got == want, fmt.Sprintf("%d are", got)
		})
	}
	d.awaitProjected(t)
	got := d.readStream(t, evidence.Import) // none twice, none out of order
	sameCount(t, "in the tables, beside the batches", d.countTables(t), got.count)
	rollbacks := d.number(t, `SELECT count(*) FROM epoch WHERE epoch > 1 AND position('rollback'::bytea in opening) > 0`)
	d.onlyAside(t, aside{epochs: rollbacks, lost: 1})
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
