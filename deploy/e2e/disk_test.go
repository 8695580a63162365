package e2e

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// TestFullDisk imports into a state directory on a disk that is too small, and
// makes room while the import waits.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount the small disk that this drill fills")
	}
	w := newWorld(t)
	disk := w.path("disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("assay-drill", disk, "tmpfs", 0, "size=512k,mode=0700")
	if errors.Is(err, syscall.EPERM) {
		t.Skip("no right to mount the small disk that this drill fills")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting the small disk: %v", err)
		}
	})
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
