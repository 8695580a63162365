package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestFullDisk imports into a state directory on a disk that is too small, and
// makes room while the import waits.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	disk := w.path("disk")
	mountSmall(t, disk, 512<<10, ",mode=0700")
	a := &agent{world: w, dir: disk + "/agent"}
	mustRun(t, promptly, "assay-agent", w.enrolArgs(a.dir, w.token(t, "small", "enrol", "import"))...)
	made := generate(t, w.path("logs"), 1, 20_000)

	under := a.startImport(t, made.folders...)
	under.awaitLine(t, under.stderr, "no space left on device", promptly)
	if under.ended() {
		t.Fatal("the import ended on a full disk instead of waiting for room")
	}
	if err := syscall.Mount("assay-drill", disk, "tmpfs", syscall.MS_REMOUNT, "size=64m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	if r := under.result(t, 0); r.New != made.total {
		t.Errorf("with room again %d of %d records were imported", r.New, made.total)
	}
	w.holds(t, made)
}

// TestFullDatabase fills the disk under Postgres: first the one that its tables
// are on, then the one that its log is on. Nothing is acknowledged that it
// refused, and what agents keep arrives once there is room.
func TestFullDatabase(t *testing.T) {
	t.Parallel()
	// A checkpoint in the middle of the drill is not to make segments of the log ahead:
	// those would be room.
	w := newDatabaseWith(t, map[string]string{"min_wal_size": "32MB"})
	w.initialise(t)
	tables := w.smallDisk(t, "tables", 512<<20)
	conn := w.maintenance(t)
	for _, sql := range []string{
		`CREATE TABLESPACE small LOCATION '` + tables.dir + `'`,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'assay'`,
		`ALTER DATABASE assay SET TABLESPACE small`,
	} {
		await(t, sql, promptly, func(ctx context.Context) (bool, string) {
			_, err := conn.Exec(ctx, sql)
			return err == nil, fmt.Sprint(err) // a connection of before still ends
		})
	}
	w.server = w.newServer(t)
	w.server.start(t)
	w.login(t)
	a := w.enrol(t, "importer", "enrol", "import")
	made := generate(t, w.path("logs"), 3, 36_000)
	a.startImport(t, made.folders[2]).result(t, 0) // opens the streams
	w.awaitProjected(t)

	// What batches take of a page or two, and no more.
	tables.shrink(t, 64<<10)
	under := a.startImport(t, made.folders[0])
	w.server.child.awaitLine(t, w.server.child.stderr, "committing batches failed", promptly)
	w.server.child.awaitLine(t, w.server.child.stderr, "No space left on device", promptly)
	w.refuses(t, under)
	tables.resize(t, 512<<20)
	if r := under.result(t, 0); r.New != r.Records || r.New == 0 {
		t.Errorf("with room again %d of %d records were imported", r.New, r.Records)
	}

	w.awaitProjected(t) // nobody else is to write to the log in a moment
	log := w.moveLog(t)
	w.fillLog(t, log)
	under = a.startImport(t, made.folders[1])
	await(t, "Postgres to end for want of room for its log", promptly, func(context.Context) (bool, string) {
		text, err := os.ReadFile(w.db.LogFile())
		if err != nil {
			return false, err.Error()
		}
		return strings.Contains(string(text), "PANIC:") && strings.Contains(string(text), "No space left on device"), tail(string(text), 3)
	})
	w.server.awaitReady(t, http.StatusServiceUnavailable)
	w.refuses(t, under)
	log.resize(t, 512<<20)
	w.killPostgres(t) // what is left of it
	w.restartPostgres(t)
	w.server.awaitReady(t, http.StatusOK)
	if r := under.result(t, 0); r.New != r.Records || r.New == 0 {
		t.Errorf("with room for the log again %d of %d records were imported", r.New, r.Records)
	}
	w.holds(t, made)
}

// refuses checks that an import waits, and that the agent was told of it.
func (w *world) refuses(t *testing.T, under importing) {
	t.Helper()
	under.awaitLine(t, under.stderr, "events are kept", promptly)
	if under.ended() {
		t.Fatal("the import ended while the database had no room")
	}
}

func (w *world) maintenance(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // Postgres may have been killed
	return conn
}

// moveLog moves Postgres' write-ahead log to a small disk of its own.
func (w *world) moveLog(t *testing.T) *smallDisk {
	t.Helper()
	disk := w.smallDisk(t, "log", 1<<30)
	w.killPostgres(t)
	own, moved := filepath.Join(w.path("postgres"), "data", "pg_wal"), filepath.Join(disk.dir, "pg_wal")
	command(t, "cp", "-a", own, moved)
	command(t, "rm", "-r", own)
	if err := os.Symlink(moved, own); err != nil {
		t.Fatal(err)
	}
	w.restartPostgres(t)
	w.server.awaitReady(t, http.StatusOK)
	return disk
}

// fillLog leaves a MiB of the log's last segment, and no room for another.
func (w *world) fillLog(t *testing.T, disk *smallDisk) {
	t.Helper()
	const segment, used = 16 << 20, `SELECT (pg_walfile_name_offset(pg_current_wal_insert_lsn())).file_offset`
	// On to one that has just been begun, and behind which none was made ahead: what
	// others write meanwhile must not be what fills it.
	for w.number(t, used) > segment/2 || w.number(t, `SELECT count(*) FROM pg_ls_waldir() WHERE name > pg_walfile_name(pg_current_wal_insert_lsn())`) > 0 {
		w.number(t, `SELECT count(*) FROM (SELECT pg_switch_wal(), pg_logical_emit_message(false, 'drill', 'on to the next')) AS switched`)
	}
	disk.shrink(t, 1<<20)
	w.number(t, `SELECT count(pg_logical_emit_message(false, 'drill', repeat('x', $1)))`, segment-1<<20-w.number(t, used))
}

// smallDisk is a disk in memory, whose owner is Postgres'.
type smallDisk struct {
	dir, owner string
}

func (w *world) smallDisk(t *testing.T, name string, size int64) *smallDisk {
	t.Helper()
	info, err := os.Stat(filepath.Join(w.path("postgres"), "data"))
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("what is known of a folder is a %T", info.Sys())
	}
	d := &smallDisk{dir: w.path(name), owner: fmt.Sprintf(",mode=0700,uid=%d,gid=%d", stat.Uid, stat.Gid)}
	mountSmall(t, d.dir, size, d.owner)
	t.Cleanup(func() { w.killPostgres(t) }) // nobody writes to what is unmounted
	return d
}

func (d *smallDisk) resize(t *testing.T, size int64) {
	t.Helper()
	if err := syscall.Mount("assay-drill", d.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size)+d.owner); err != nil {
		t.Fatal(err)
	}
}

// shrink leaves so many bytes beyond what is used.
func (d *smallDisk) shrink(t *testing.T, left int64) {
	t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &stat); err != nil {
		t.Fatal(err)
	}
	d.resize(t, int64(stat.Blocks-stat.Bfree)*stat.Bsize+left)
}

// mountSmall mounts a small disk, or skips the drill where that is not allowed.
func mountSmall(t *testing.T, dir string, size int64, options string) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "only root can mount the small disk that this drill fills")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("assay-drill", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)+options)
	if errors.Is(err, syscall.EPERM) {
		lacking(t, "no right to mount the small disk that this drill fills")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting the small disk: %v", err)
		}
	})
}
