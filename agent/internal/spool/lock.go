package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Lock is the right to be the only agent in a directory.
type Lock struct{ file *os.File }

// InUseError says who holds the directory.
type InUseError struct {
	Dir    string
	Holder string // as the holder wrote it, "" where it could not be read
}

func (e *InUseError) Error() string {
	holder := e.Holder
	if holder == "" {
		holder = "another process"
	}
	return fmt.Sprintf("%s is in use by %s: stop it first, or use another directory", e.Dir, holder)
}

const (
	lockName    = "lock"
	holderLimit = 200
)

// AcquireLock takes the lock of dir, which must exist. holder names the caller
// for the error that others get, e.g. "assay-agent run". The lock goes with the
// process, whatever ends it. A held lock is an *InUseError.
func AcquireLock(dir, holder string) (*Lock, error) {
	f, err := openLockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("opening lock file: %w", err)
	}
	got, err := tryLock(f)
	if err != nil || !got {
		name := readHolder(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		return nil, &InUseError{Dir: dir, Holder: name}
	}
	text := fmt.Sprintf("%s (process %d)\n", holder, os.Getpid())
	// The name is for people; a full disk must not keep the agent from running.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(text), 0)
	}
	return &Lock{file: f}, nil
}

// Holder says who holds the lock of dir, "" for nobody.
func Holder(dir string) (string, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("opening lock file: %w", err)
	}
	defer func() { _ = f.Close() }()
	got, err := tryLock(f)
	if err != nil {
		return "", fmt.Errorf("asking for the lock of %s: %w", dir, err)
	}
	if got {
		return "", nil
	}
	return cmp.Or(readHolder(f), "another process"), nil
}

func readHolder(f *os.File) string {
	b := make([]byte, holderLimit)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	return strings.Map(printable, strings.TrimSpace(string(b[:n])))
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// Release gives the directory back.
func (l *Lock) Release() error { return l.file.Close() }
