package pg_test

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/deploy/pg"
)

// orphanDir is set in the environment of this test binary when it is run again
// to be killed while its Postgres runs.
const orphanDir = "ASSAY_PG_ORPHAN_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanDir); dir != "" {
		beKilled(dir)
	}
	os.Exit(m.Run())
}

// beKilled starts a server, says so on stdout and waits to be killed.
func beKilled(dir string) {
	if _, err := pg.Start(context.Background(), pg.Config{Dir: dir}); err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("ready")
	select {}
}

func folder(t *testing.T) string {
	t.Helper()
	dir, err := pg.MkdirTemp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func start(t *testing.T, cfg pg.Config) *pg.Server {
	t.Helper()
	server, err := pg.Start(t.Context(), cfg)
	if errors.Is(err, pg.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

func connect(t *testing.T, server *pg.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it may have been killed
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func TestCommittedRowsSurviveKill(t *testing.T) {
	t.Parallel()
	server := start(t, pg.Config{Dir: folder(t)})
	conn := connect(t, server)
	execute(t, conn, "create table kept (n int)")
	execute(t, conn, "insert into kept select generate_series(1, 1000)")
	execute(t, conn, "begin")
	execute(t, conn, "insert into kept values (0)")

	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a session outlived the kill")
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, connect(t, server), "select count(*)::text from kept"); got != "1000" {
		t.Errorf("%s rows after the kill, want the 1000 that were committed", got)
	}
}

func TestStopAndStartGoesOn(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first, err := pg.Start(t.Context(), pg.Config{Dir: dir})
	if errors.Is(err, pg.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	execute(t, connect(t, first), "create table kept (n int)")
	if _, err := pg.Start(t.Context(), pg.Config{Dir: dir}); !errors.Is(err, pg.ErrInUse) {
		t.Errorf("a second start on a folder in use: %v, want ErrInUse", err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Errorf("stopping again: %v", err)
	}
	if err := first.Restart(t.Context()); err == nil {
		t.Error("a server that was stopped for good restarted")
	}
	second := start(t, pg.Config{Dir: dir})
	if got := query(t, connect(t, second), "select count(*)::text from kept"); got != "0" {
		t.Errorf("got %s rows", got)
	}
}

// TestStopWhileForking: whatever this process forks has all its files for a moment.
func TestStopWhileForking(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first := start(t, pg.Config{Dir: dir})
	inherited := duplicate(t, filepath.Join(dir, "lock"))
	defer inherited.Close()
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, pg.Config{Dir: dir})
}

// duplicate is the open file of that name once more, as a forked process has it.
func duplicate(t *testing.T, name string) *os.File {
	t.Helper()
	const mine = "/proc/self/fd"
	open, err := os.ReadDir(mine)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range open {
		if target, err := os.Readlink(filepath.Join(mine, one.Name())); err != nil || target != name {
			continue
		}
		descriptor, err := strconv.Atoi(one.Name())
		if err != nil {
			t.Fatal(err)
		}
		copied, err := syscall.Dup(descriptor)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(copied), name)
	}
	t.Fatalf("nobody has %s open", name)
	return nil
}

func TestSettings(t *testing.T) {
	t.Parallel()
	server := start(t, pg.Config{Dir: folder(t), Settings: map[string]string{
		"work_mem":         "7MB",
		"listen_addresses": "localhost", // what makes it private is not to be overridden
	}})
	conn := connect(t, server)
	for name, want := range map[string]string{
		"work_mem": "7MB", "listen_addresses": "", "fsync": "on", "synchronous_commit": "on",
		"max_locks_per_transaction": "1024", "timezone": "UTC", "server_encoding": "UTF8", "data_checksums": "on",
	} {
		if got := query(t, conn, "select current_setting('"+name+"')"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, err := pg.Start(t.Context(), pg.Config{Dir: folder(t), Settings: map[string]string{"a=b -c c": ""}}); err == nil {
		t.Error("a setting with a name that is none was taken")
	}
	_, err := pg.Start(t.Context(), pg.Config{Dir: folder(t), Settings: map[string]string{"no_such_thing": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_thing") {
		t.Errorf("the error does not show what Postgres said: %v", err)
	}
}

func TestLongFolder(t *testing.T) {
	t.Parallel()
	long := filepath.Join(folder(t), strings.Repeat("long-", 20))
	server := start(t, pg.Config{Dir: long})
	if got := query(t, connect(t, server), "select 'here'"); got != "here" {
		t.Error(got)
	}
	dsn, err := url.Parse(server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	socket := dsn.Query().Get("host")
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary socket folder %s was left: %v", socket, err)
	}
}

func TestStalePidFile(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	server := start(t, pg.Config{Dir: dir})
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	// The pid now belongs to a program that is no Postgres: this one.
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKilledOwner(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), orphanDir+"="+dir)
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 5)
	if _, err := out.Read(said); err != nil || string(said) != "ready" {
		t.Fatalf("the owner did not start: %q, %v", said, err)
	}
	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	server := start(t, pg.Config{Dir: dir})
	if got := query(t, connect(t, server), "select 'here'"); got != "here" {
		t.Error(got)
	}
}

func TestUnenterableFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs Postgres as somebody else")
	}
	closed := folder(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := pg.Start(t.Context(), pg.Config{Dir: filepath.Join(closed, "inner")})
	if errors.Is(err, pg.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), closed+" cannot be entered") {
		t.Errorf("got %v, want an error that names %s", err, closed)
	}
}
