package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// takeOverWithin is how long the work of a server that is gone may stand still.
const takeOverWithin = 10 * time.Second

// TestReplicas runs three servers on one Postgres behind a balancer, each on a
// machine of its own, while agents import through it. One server is killed, one
// is cut off from the database without a word, one loses both its networks, one
// stands still; each comes back, the last three in the middle of what they had
// begun.
func TestReplicas(t *testing.T) {
	t.Parallel()
	records := int64(150_000)
	if reduced(t) {
		records = 30_000
	}
	c := newCluster(t, 3)
	c.awaitSpread(t, 3)
	made := generate(t, c.path("logs"), 3*4, records*4)
	load := newClusterLoad(t, c, 3, made)

	load.lose(t, "killed", 0, func() { c.servers[0].child.kill(t) }, func() { c.servers[0].launch(t) })
	back := c.sites[1].back
	load.lose(t, "cut off from the database", 1, func() { c.sites[1].cut(t, back) }, func() {
		c.servers[1].awaitReady(t, http.StatusServiceUnavailable)
		c.sites[1].mend(t, back)
	})
	both := []link{c.sites[2].front, c.sites[2].back}
	load.lose(t, "cut off from everything", 2, func() { c.sites[2].cut(t, both...) }, func() { c.sites[2].mend(t, both...) })
	load.lose(t, "stopped in its tracks", 0, func() { c.servers[0].child.signal(t, syscall.SIGSTOP) }, func() { c.servers[0].child.signal(t, syscall.SIGCONT) })

	c.awaitProjected(t)
	got := c.readStream(t, evidence.Import)
	sameCount(t, "in the batches", got.count, made.count)
	sameCount(t, "in the tables", c.countTables(t), made.count)
	c.nothingAside(t)
	report := c.mustVerify(t)
	t.Logf("%d records in %d batches; verified %d batches, %d events", made.total, got.batches, report.Batches, report.Events)
}

// clusterLoad are agents that import while servers are lost.
type clusterLoad struct {
	cluster *cluster
	agents  []*agent
	folders []string // not yet imported
	records int64    // of a folder
	next    int64    // committed once what is under way is
}

func newClusterLoad(t *testing.T, c *cluster, agents int, made *logs) *clusterLoad {
	t.Helper()
	l := &clusterLoad{cluster: c, folders: made.folders, records: made.total / int64(len(made.folders))}
	for i := range agents {
		l.agents = append(l.agents, c.enrol(t, fmt.Sprintf("importer-%d", i), "enrol", "import"))
	}
	return l
}

// lose takes a server away in the middle of imports, and brings it back.
func (l *clusterLoad) lose(t *testing.T, how string, victim int, take, back func()) {
	t.Helper()
	var imports []importing
	for i, a := range l.agents {
		imports = append(imports, a.startImport(t, l.folders[i]))
	}
	l.folders = l.folders[len(l.agents):]
	l.awaitCommitted(t, l.next+l.records/4)
	if !slices.ContainsFunc(imports, func(i importing) bool { return !i.ended() }) {
		t.Error("all imports had ended before the server was lost: the drill showed less than it should")
	}
	l.cluster.awaitStream(t, victim)
	l.cluster.lose(t, how, victim, take)
	// Its agents have gone over to others: all is committed while it is away.
	l.awaitCommitted(t, l.next+l.records*int64(len(l.agents)))
	back()
	for _, i := range imports {
		if r := i.result(t, 0); r.New != r.Records {
			t.Errorf("%d records of %d were new", r.New, r.Records)
		}
	}
	l.cluster.awaitSpread(t, len(l.cluster.servers))
	l.next += l.records * int64(len(l.agents))
}

func (l *clusterLoad) awaitCommitted(t *testing.T, events int64) {
	t.Helper()
	await(t, fmt.Sprintf("%d events to be committed", events), patiently, func(ctx context.Context) (bool, string) {
		n, err := l.cluster.committed(ctx, evidence.Import)
		if err != nil {
			return false, err.Error()
		}
		return n >= events, fmt.Sprintf("%d are", n)
	})
}

// cluster is an installation with several servers, each in a site of its own.
type cluster struct {
	*world
	sites   []*site
	servers []*replica
}

// replica is one server of a cluster.
type replica struct {
	*server
	name string
	site *site
}

const linkPassword = "only on links of a drill"

// newCluster sets an installation up and starts its servers and the balancer.
func newCluster(t *testing.T, count int) *cluster {
	t.Helper()
	c := &cluster{sites: newSites(t, count)}
	var links []netip.Prefix
	for _, s := range c.sites {
		links = append(links, s.back.here)
	}
	c.world = newDatabase(t, links...)
	if _, err := c.pool.Exec(t.Context(), "ALTER ROLE postgres PASSWORD '"+linkPassword+"'"); err != nil {
		t.Fatal(err)
	}
	c.initialise(t)
	for i, s := range c.sites {
		c.servers = append(c.servers, c.newReplica(s, fmt.Sprintf("server-%d", i)))
	}
	c.startBalancer(t)
	for _, r := range c.servers {
		r.start(t)
	}
	c.login(t)
	return c
}

func (c *cluster) newReplica(s *site, name string) *replica {
	at := s.front.there.Addr().String()
	r := &replica{site: s, name: name, server: &server{world: c.world, agents: at + ":8444", console: at + ":8443", metrics: at + ":9464"}}
	r.within = []string{"ip", "netns", "exec", s.name}
	r.args = append(r.serveArgs(c.db.LinkDSN(s.back.here, "assay", linkPassword)), "--name", name)
	return r
}

// startBalancer starts haproxy as docs/scaling.md has it, and makes the
// installation's address its.
func (c *cluster) startBalancer(t *testing.T) {
	t.Helper()
	front := &server{world: c.world, agents: freeAddress(t), console: freeAddress(t)}
	var agents, consoles strings.Builder
	for _, r := range c.servers {
		check := "check addr " + r.site.front.there.Addr().String() + " port 9464 inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions"
		fmt.Fprintf(&agents, "  server %s %s %s\n", r.name, r.agents, check)
		fmt.Fprintf(&consoles, "  server %s %s %s\n", r.name, r.console, check)
	}
	path := c.write(t, "haproxy.cfg", fmt.Sprintf(`defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 1s
  option httpchk GET /readyz
frontend agents
  bind %s
  default_backend agents
backend agents
  balance leastconn
%sfrontend console
  bind %s
  default_backend console
backend console
  balance source
%s`, front.agents, agents.String(), front.console, consoles.String()))
	balancer := startCommand(t, nil, "haproxy", "-db", "-f", path)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("haproxy wrote:\n%s", tail(balancer.stderr.String(), 20))
		}
	})
	c.server = front
}

// holders says by SQL which server holds how many tasks now; "" holds none.
func (c *cluster) holders(ctx context.Context) (map[string]int, error) {
	rows, err := c.pool.Query(ctx, `SELECT coalesce(s.name, ''), count(*) FROM lease l
		LEFT JOIN server s ON s.id = l.server_id AND l.expires_at > clock_timestamp() GROUP BY 1`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := map[string]int{}
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return nil, err
		}
		held[name] = n
	}
	return held, rows.Err()
}

// awaitSpread waits until so many servers share all tasks, each with some.
func (c *cluster) awaitSpread(t *testing.T, servers int) {
	t.Helper()
	await(t, fmt.Sprintf("%d servers to share all tasks", servers), promptly, func(ctx context.Context) (bool, string) {
		held, err := c.holders(ctx)
		if err != nil {
			return false, err.Error()
		}
		return held[""] == 0 && len(held) == servers, fmt.Sprint(held)
	})
}

// lose takes a server away, and measures how long it is until the others have
// all of its tasks and every lane moves on.
func (c *cluster) lose(t *testing.T, how string, victim int, take func()) {
	t.Helper()
	gone := c.servers[victim].name
	before, err := c.holders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	take()
	await(t, "its tasks to be taken over", promptly, func(ctx context.Context) (bool, string) {
		held, err := c.holders(ctx)
		if err != nil {
			return false, err.Error()
		}
		return held[""] == 0 && held[gone] == 0, fmt.Sprint(held)
	})
	leases := time.Since(began)
	c.awaitWatermark(t, began)
	worked := time.Since(began)
	t.Logf("a server was %s: its %d tasks were held by others after %.1f s, every lane had moved after %.1f s", how, before[gone], leases.Seconds(), worked.Seconds())
	// Small machines that do more beside it are not asked to be as fast.
	if worked > takeOverWithin && !reduced(t) {
		t.Errorf("it took %s until all lanes moved on after a server was %s", worked, how)
	}
	if leases > takeOverWithin {
		t.Errorf("it took %s until the tasks of a server that was %s were taken over", leases, how)
	}
}

// awaitStream waits until an agent is connected to a server.
func (c *cluster) awaitStream(t *testing.T, victim int) {
	t.Helper()
	await(t, "the server that is to be lost to have an agent", promptly, func(ctx context.Context) (bool, string) {
		_, text, err := c.servers[victim].get(ctx, "/metrics")
		if err != nil {
			return false, err.Error()
		}
		streams := regexp.MustCompile(`(?m)^assay_agent_streams (\d+)$`).FindStringSubmatch(text)
		return streams != nil && streams[1] != "0", fmt.Sprintf("%q", streams)
	})
}

// awaitWatermark waits until every lane says that it has projected what was
// received before that moment.
func (c *cluster) awaitWatermark(t *testing.T, moment time.Time) {
	t.Helper()
	await(t, "every lane to move", promptly, func(ctx context.Context) (bool, string) {
		var low time.Time
		if err := c.pool.QueryRow(ctx, `SELECT min(watermark) FROM projection_cursor`).Scan(&low); err != nil {
			return false, err.Error()
		}
		return low.After(moment), fmt.Sprintf("the slowest is at %s, %s is waited for", low, moment)
	})
}
