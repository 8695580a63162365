package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/deploy/pg"
)

// How long things may take that take a second or two where nothing else runs.
const (
	promptly  = time.Minute
	patiently = 5 * time.Minute
)

const (
	adminName     = "drill"
	adminPassword = "correct horse battery staple"
)

// world is one installation: a Postgres, a server on it, a console session.
type world struct {
	dir    string
	db     *pg.Server
	pool   *pgxpool.Pool
	server *server
	// caHash and ledgerKey are what init prints for those who trust.
	caHash, ledgerKey string
	// session is the file of assayctl's session.
	session string
}

// newWorld sets an installation up as its manual says, and starts the server.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newDatabase(t)
	w.initialise(t)
	w.server = w.newServer(t)
	w.server.start(t)
	w.login(t)
	return w
}

// newDatabase starts a Postgres that writes to the disk as one in use does. It
// listens on the links to a drill's sites, if there are any.
func newDatabase(t *testing.T, links ...netip.Prefix) *world {
	t.Helper()
	return newDatabaseWith(t, nil, links...)
}

// newDatabaseWith is newDatabase with settings of Postgres.
func newDatabaseWith(t *testing.T, settings map[string]string, links ...netip.Prefix) *world {
	t.Helper()
	dir, err := pg.MkdirTemp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the installation: %v", err)
		}
	})
	db, err := pg.Start(t.Context(), pg.Config{Dir: filepath.Join(dir, "postgres"), Settings: settings, Links: links})
	if errors.Is(err, pg.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("needs Postgres: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: dir, db: db, session: filepath.Join(dir, "session.json")}
	t.Cleanup(func() {
		if t.Failed() {
			if log, err := os.ReadFile(db.LogFile()); err == nil {
				t.Logf("Postgres wrote:\n%s", tail(string(log), 30))
			}
		}
		if err := db.Stop(context.Background()); err != nil {
			t.Errorf("stopping Postgres: %v", err)
		}
	})
	conn, err := pgx.Connect(t.Context(), db.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE assay"); err != nil {
		t.Fatal(err)
	}
	if w.pool, err = pgxpool.New(t.Context(), db.DSN("assay")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	return w
}

var printedByInit = regexp.MustCompile(`(?m)^CA hash[^:]*: (\S+)\nLedger key[^:]*: (\S+)$`)

// initialise makes keys, schema and a user.
func (w *world) initialise(t *testing.T) {
	t.Helper()
	made := mustRun(t, promptly, "assay-server", "init", "--keys", w.path("keys"), "--origin", "assay/drill")
	found := printedByInit.FindStringSubmatch(made.stdout)
	if found == nil {
		t.Fatalf("assay-server init did not print the CA hash and the ledger key: %s", made)
	}
	w.caHash, w.ledgerKey = found[1], found[2]
	mustRun(t, promptly, "assay-server", "migrate", "--database", w.dsn())
	w.write(t, "password", adminPassword+"\n")
	mustRun(t, promptly, "assay-server", "user", "create", adminName, "--role", "admin", "--password-file", w.path("password"), "--database", w.dsn())
}

func (w *world) dsn() string { return w.db.DSN("assay") }

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// write makes a file of the installation and returns its path.
func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w.path(name)
}

// login signs assayctl in.
func (w *world) login(t *testing.T) {
	t.Helper()
	w.mustCtl(t, "login", "--server", "https://"+w.server.console, "--user", adminName, "--ca", filepath.Join(w.path("keys"), "root.crt"), "--password-file", w.path("password"))
}

// ctl runs assayctl in its session.
func (w *world) ctl(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, patiently, "assayctl", append([]string{"--config=" + w.session}, args...)...)
}

func (w *world) mustCtl(t *testing.T, args ...string) result {
	t.Helper()
	r := w.ctl(t, args...)
	if r.code != 0 {
		t.Fatalf("assayctl %s: %s", strings.Join(args, " "), r)
	}
	return r
}

// ctlJSON runs assayctl with --json and decodes what it prints.
func (w *world) ctlJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	decode(t, w.mustCtl(t, append(args, "--json")...).stdout, into)
}

// token makes an enrolment token and returns the file that holds it.
func (w *world) token(t *testing.T, name string, rights ...string) string {
	t.Helper()
	var made struct{ Secret string }
	args := []string{"tokens", "create", name, "--uses", "20"}
	for _, right := range rights {
		args = append(args, "--right", right)
	}
	w.ctlJSON(t, &made, args...)
	if made.Secret == "" {
		t.Fatal("a token was made and its secret not shown")
	}
	return w.write(t, "token-"+name, made.Secret+"\n")
}

// number is one number by SQL.
func (w *world) number(t *testing.T, sql string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := w.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// killPostgres ends Postgres as a power cut would.
func (w *world) killPostgres(t *testing.T) {
	t.Helper()
	if err := w.db.Kill(); err != nil {
		t.Fatal(err)
	}
}

// restartPostgres brings it back. Our own connections were cut too.
func (w *world) restartPostgres(t *testing.T) {
	t.Helper()
	if err := w.db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.pool.Reset()
}

// awaitProjected waits until all that is committed now is projected.
func (w *world) awaitProjected(t *testing.T) {
	t.Helper()
	size := w.number(t, `SELECT size FROM ledger_head`)
	lanes := int64(0)
	await(t, "all lanes to have projected what is committed", patiently, func(ctx context.Context) (bool, string) {
		var low int64
		err := w.pool.QueryRow(ctx, `SELECT coalesce(min(position), 0), count(*) FROM projection_cursor`).Scan(&low, &lanes)
		if err != nil {
			return false, err.Error()
		}
		return lanes > 0 && low >= size, fmt.Sprintf("the slowest of %d lanes is at %d of %d", lanes, low, size)
	})
}

// server is assay-server serve, which may be started many times.
type server struct {
	world                    *world
	agents, console, metrics string
	// program is what is started; "": the program as users have it.
	program string
	// within is a command that runs the program in some other place.
	within []string
	args   []string
	child  *child
}

func (w *world) newServer(t *testing.T) *server {
	t.Helper()
	s := &server{world: w, agents: freeAddress(t), console: freeAddress(t), metrics: freeAddress(t)}
	s.args = s.serveArgs(w.dsn())
	return s
}

func (s *server) serveArgs(dsn string) []string {
	return []string{"serve", "--keys", s.world.path("keys"), "--database", dsn, "--host", "127.0.0.1", "--host", "localhost",
		"--agents", s.agents, "--console", s.console, "--metrics", s.metrics, "--evaluate-every", "5s"}
}

// launch starts the program and waits for nothing.
func (s *server) launch(t *testing.T) {
	t.Helper()
	s.child = startCommand(t, nil, slices.Concat(s.within, []string{cmp.Or(s.program, program(t, "assay-server"))}, s.args)...)
}

// start starts the program and waits until it can work.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.launch(t)
	s.awaitReady(t, http.StatusOK)
}

// awaitReady waits until /readyz answers with that code.
func (s *server) awaitReady(t *testing.T, code int) {
	t.Helper()
	await(t, fmt.Sprintf("/readyz to answer %d", code), promptly, func(ctx context.Context) (bool, string) {
		if s.child.ended() {
			t.Fatalf("the server ended: %s", s.child.cmd.ProcessState)
		}
		got, text, err := s.get(ctx, "/readyz")
		if err != nil {
			return false, err.Error()
		}
		return got == code, fmt.Sprintf("%d %s", got, text)
	})
}

func (s *server) get(ctx context.Context, path string) (code int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+path, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, strings.TrimSpace(string(body)), err
}

// freeAddress is one that nobody listens on. It is below the ports that the
// system gives to whoever connects, so that none of those takes it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+rand.IntN(18000)))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no free port was found")
	return ""
}

// decode reads JSON that a program printed.
func decode(t *testing.T, printed string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(printed), into); err != nil {
		t.Fatalf("this is no JSON of that shape: %v\n%s", err, tail(printed, 40))
	}
}
