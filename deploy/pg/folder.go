package pg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// ErrInUse tells that another process runs a Postgres on the same folder.
var ErrInUse = errors.New("another process runs Postgres in this folder")

const (
	// maxSocketPath is the longest path that a unix socket's address can hold.
	maxSocketPath = 107
	// maxLog is how large the log may have grown before a start sets it aside.
	maxLog = 16 << 20
)

// MkdirTemp makes a folder among the temporary files that Postgres can be
// started in whoever we are. The caller removes it after Stop.
func MkdirTemp() (string, error) {
	dir, err := os.MkdirTemp("", "assay-pg-")
	if err != nil {
		return "", fmt.Errorf("making a folder for Postgres: %w", err)
	}
	// Enterable by the user that Postgres runs as; what is in it is not readable.
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", errors.Join(fmt.Errorf("opening folder %s: %w", dir, err), os.Remove(dir))
	}
	return dir, nil
}

// prepare makes the folder ready to be started on: locked, initialised, with a
// place for the socket.
func (s *Server) prepare(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("making folder %s: %w", s.cfg.Dir, err)
	}
	if err := s.run.canEnter(s.cfg.Dir); err != nil {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	if err := s.initialise(ctx); err != nil {
		return err
	}
	return s.makeSocketDir()
}

// takeLock keeps two processes off one folder. Postgres' own postmaster.pid
// cannot: a postmaster orphaned by a killed owner looks like a live one.
func (s *Server) takeLock() error {
	path := filepath.Join(s.cfg.Dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening lock %s: %w", path, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close() // what failed is the lock
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking %s: %w", s.cfg.Dir, ErrInUse)
		}
		return fmt.Errorf("locking %s: %w", path, err)
	}
	s.lock = file
	return nil
}

// initialise makes the cluster once. It is made aside and renamed into place,
// so that a crash in between leaves no half-made one.
func (s *Server) initialise(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.dataDir(), "PG_VERSION")); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for a cluster in %s: %w", s.cfg.Dir, err)
	}
	fresh := s.dataDir() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return fmt.Errorf("making folder %s: %w", fresh, err)
	}
	if err := s.run.own(fresh); err != nil {
		return err
	}
	args := []string{
		"-D", fresh, "-U", superuser, "--encoding=UTF8", "--locale=C", "--lc-ctype=C.UTF-8",
		"--auth-local=trust", "--auth-host=reject", "--data-checksums",
	}
	if s.cfg.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, s.prog.initdb, args...)
	cmd.Dir = fresh
	cmd.Env = environment()
	cmd.SysProcAttr = s.run.attributes()
	// The signal that a parent's death sends is tied to the thread that forked.
	// Another goroutine that ends locked to it would end initdb with it.
	runtime.LockOSThread()
	out, err := cmd.CombinedOutput()
	runtime.UnlockOSThread()
	if err != nil {
		return fmt.Errorf("initialising a cluster in %s: %w\n%s", s.cfg.Dir, err, lastLines(string(out), 10))
	}
	if err := os.Rename(fresh, s.dataDir()); err != nil {
		return fmt.Errorf("putting the new cluster into place: %w", err)
	}
	s.cfg.Logger.Info("postgres cluster made", "dir", s.cfg.Dir)
	return nil
}

// socketDir is the folder of the server's socket, readable by its user alone.
type socketDir struct {
	path      string
	temporary bool
}

// makeSocketDir prefers a folder beside the data. Where that path is too long
// for a socket's address it takes a short one in the folder for temporary files.
func (s *Server) makeSocketDir() error {
	dir := filepath.Join(s.cfg.Dir, "socket")
	temporary := len(filepath.Join(dir, ".s.PGSQL."+port)) > maxSocketPath
	if temporary {
		short, err := os.MkdirTemp("", "assay-pg-")
		if err != nil {
			return fmt.Errorf("making a folder for the socket: %w", err)
		}
		dir = short
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a folder for the socket: %w", err)
	}
	s.socket = socketDir{path: dir, temporary: temporary}
	return s.run.own(dir)
}

// remove takes a temporary socket folder away; one beside the data stays.
func (d socketDir) remove() error {
	if !d.temporary {
		return nil
	}
	return os.RemoveAll(d.path)
}

// openLog opens the server's log to append, setting a large one aside first so
// that two files of about maxLog are the most there is.
func (s *Server) openLog() (*os.File, error) {
	path := s.LogFile()
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("setting the log aside: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return file, nil
}

// logTail is the end of the log, to be shown under an error.
func (s *Server) logTail() string {
	file, err := os.Open(s.LogFile())
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > 4096 {
		if _, err := file.Seek(-4096, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, 4096))
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\n" + lastLines(string(text), 8)
}

// canEnter tells which of dir's parents, if any, the user that Postgres runs as
// may not enter: Postgres itself would only say "permission denied".
func (r runAs) canEnter(dir string) error {
	if !r.switched {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("looking at %s: %w", at, err)
		}
		if !r.mayEnter(info) {
			return fmt.Errorf("folder %s cannot be entered by user %s, who runs Postgres for root: choose another folder than %s, or chmod o+x %s",
				at, r.name, dir, at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func (r runAs) mayEnter(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && owner.Uid == r.uid:
		return mode&0o100 != 0
	case ok && owner.Gid == r.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
