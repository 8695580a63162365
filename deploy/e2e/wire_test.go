package e2e

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWires spoils the wire between agent and server, then the one between server
// and Postgres: each is cut in the middle of a message, stands still and is cut or
// goes on, and is slow, while an agent imports. Other agents deliver meanwhile.
func TestWires(t *testing.T) {
	t.Parallel()
	records, rounds := int64(4_000), 5
	if reduced(t) {
		records, rounds = 1_500, 1
	}
	d := newWires(t)
	spoilt := []spoiling{
		{"the agents' wire was cut", d.front, d.cut},
		{"the agents' wire stood still and was cut", d.front, func(t *testing.T, p *proxy, at int) { d.stallAgent(t, p, at, p.cut) }},
		{"the agents' wire stood still and went on", d.front, func(t *testing.T, p *proxy, at int) { d.stallAgent(t, p, at, p.goOn) }},
		{"the agents' wire was slow", d.front, d.delay},
		{"the database's wire was cut", d.back, d.cut},
		{"the database's wire stood still and was cut", d.back, func(t *testing.T, p *proxy, at int) { d.stallDatabase(t, p, at, p.cut) }},
		{"the database's wire stood still and went on", d.back, func(t *testing.T, p *proxy, at int) { d.stallDatabase(t, p, at, p.goOn) }},
		{"the database's wire was slow", d.back, d.delay},
	}
	// A folder for each fault, and one for each time that others deliver.
	folders := rounds * (len(spoilt) + 2)
	made := generate(t, d.path("logs"), folders, int64(folders)*records)
	d.folders = made.folders
	for range rounds {
		for _, s := range spoilt {
			// An import of this size is some 100 KiB, in about ten batches.
			at := 1 + rand.IntN(60<<10)
			began := time.Now()
			s.spoil(t, s.wire, at)
			t.Logf("%s after %d bytes: all was committed %.1f s later", s.what, at, time.Since(began).Seconds())
		}
	}
	d.holds(t, made)
}

type spoiling struct {
	what  string
	wire  *proxy
	spoil func(t *testing.T, p *proxy, at int)
}

// wires is an installation whose wires can be spoilt.
type wires struct {
	*world
	front, back *proxy
	agent       *agent // behind front
	other       *agent // not behind front
	folders     fresh
}

func newWires(t *testing.T) *wires {
	t.Helper()
	d := &wires{world: newDatabase(t)}
	d.initialise(t)
	d.server = d.newServer(t)
	dsn, socket := d.throughProxy(t)
	d.back = startProxy(t, "unix", d.path("wire/.s.PGSQL.5432"), func() (net.Conn, error) { return net.Dial("unix", socket) })
	d.server.args = d.server.serveArgs(dsn)
	d.server.start(t)
	d.login(t)
	address := freeAddress(t)
	d.front = startProxy(t, "tcp", address, func() (net.Conn, error) { return net.Dial("tcp", d.server.agents) })
	d.other = d.enrol(t, "other", "enrol", "import")
	d.agent = &agent{world: d.world, dir: d.path("agent-wired")}
	args := d.enrolArgsAt(address, d.agent.dir, d.token(t, "wired", "enrol", "import"))
	mustRun(t, promptly, "assay-agent", args...)
	return d
}

// throughProxy is the database's address by way of the proxy, and its own socket.
func (d *wires) throughProxy(t *testing.T) (dsn, socket string) {
	t.Helper()
	own, err := url.Parse(d.dsn())
	if err != nil {
		t.Fatal(err)
	}
	query := own.Query()
	socket = filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))
	if err := os.Mkdir(d.path("wire"), 0o700); err != nil {
		t.Fatal(err)
	}
	query.Set("host", d.path("wire"))
	own.RawQuery = query.Encode()
	return own.String(), socket
}

func (d *wires) cut(t *testing.T, p *proxy, at int) {
	t.Helper()
	p.arm(cutAll, at)
	i := d.agent.startImport(t, d.folders.next())
	p.awaitStruck(t)
	i.whole(t)
}

// stallAgent holds the agent's bytes until another agent has delivered.
func (d *wires) stallAgent(t *testing.T, p *proxy, at int, end func()) {
	t.Helper()
	p.arm(stallAll, at)
	i := d.agent.startImport(t, d.folders.next())
	p.awaitStruck(t)
	d.other.startImport(t, d.folders.next()).whole(t)
	if i.ended() {
		t.Errorf("an import ended with exit code %d while its wire stood still", i.wait(t, promptly))
	}
	end()
	p.goOn() // for those that come now
	i.whole(t)
}

// stallDatabase holds the database's bytes until the server says that it cannot
// be reached. What is acknowledged until then is committed.
func (d *wires) stallDatabase(t *testing.T, p *proxy, at int, end func()) {
	t.Helper()
	p.arm(stallAll, at)
	i := d.agent.startImport(t, d.folders.next())
	p.awaitStruck(t)
	d.server.awaitReady(t, http.StatusServiceUnavailable)
	end()
	p.goOn() // for those that come now
	d.server.awaitReady(t, http.StatusOK)
	i.whole(t)
}

// delay makes every message of an import late.
func (d *wires) delay(t *testing.T, p *proxy, _ int) {
	t.Helper()
	p.slow(15 * time.Millisecond)
	defer p.slow(0)
	d.agent.startImport(t, d.folders.next()).whole(t)
}
