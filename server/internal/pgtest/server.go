package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/assay-audit/assay/deploy/pg"
)

// server is the Postgres of this test binary.
type server struct {
	url      *url.URL // of its maintenance database
	template string   // the name of the migrated database
	// sweeper is held for the life of the process, nil for a server not ours:
	// when it closes, the server's folder is swept away.
	sweeper io.Closer

	mu       sync.Mutex // guards prepared
	prepared bool
}

// shared is the one server of the binary: starting one takes seconds, and the
// testing package knows no end of a binary at which a package could stop it.
var shared = sync.OnceValues(start)

// connect gives the server, or skips t where there can be none.
func connect(t testing.TB) *server {
	t.Helper()
	s, err := shared()
	if errors.Is(err, pg.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("needs Postgres: set ASSAY_TEST_DATABASE_URL or install one: %v", err)
	}
	if err != nil {
		t.Fatalf("starting the test Postgres: %v", err)
	}
	return s
}

func start() (*server, error) {
	template, err := templateName()
	if err != nil {
		return nil, err
	}
	dsn := os.Getenv("ASSAY_TEST_DATABASE_URL")
	var sweeper io.Closer
	if dsn == "" {
		if dsn, sweeper, err = startOwn(); err != nil {
			return nil, err
		}
	}
	at, err := parseURL(dsn)
	if err != nil {
		return nil, err
	}
	return &server{url: at, template: template, sweeper: sweeper}, nil
}

// startOwn starts a throwaway Postgres that ends with this process.
func startOwn() (dsn string, sweeper io.Closer, err error) {
	dir, err := pg.MkdirTemp()
	if err != nil {
		return "", nil, err
	}
	own, err := pg.Start(context.Background(), pg.Config{Dir: dir, Settings: pg.Throwaway()})
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	sweeper, err = sweepAtExit(dir)
	if err != nil {
		return "", nil, errors.Join(err, own.Stop(context.Background()), os.RemoveAll(dir))
	}
	return own.DSN("postgres"), sweeper, nil
}

// sweepAtExit starts a child that waits for this process to end, however it
// does, and then ends the Postgres in dir and removes the folder. It knows the
// end by that of its standard input, whose other side is the result.
func sweepAtExit(dir string) (io.Closer, error) {
	const script = `
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -rf "$1"`
	child := exec.Command("/bin/sh", "-c", script, "sh", dir)
	// A ^C ends the tests, and must not end what cleans up after them.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := child.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("preparing the sweeper: %w", err)
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("starting the sweeper: %w", err)
	}
	return input, nil
}
