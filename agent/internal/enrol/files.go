package enrol

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/assay-audit/assay/agent/internal/spool"
)

const (
	keyName      = "agent.key"
	identityName = "identity.json"
	// maxFile bounds what is read of a state file, in bytes.
	maxFile = 1 << 20
)

// PrepareDir makes the state directory, or refuses one that others could write
// to or that is a link.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making state directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("checking state directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a directory (links are not followed)", ErrUnsafe, dir)
	}
	return checkOwner(dir, info, 0o022)
}

// readPrivate reads a file that nobody else may read or write.
func readPrivate(name string) ([]byte, error) {
	f, err := openNoFollow(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, name)
	}
	if err := checkOwner(name, info, 0o077); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// createPrivate writes a new file, durable when it returns.
func createPrivate(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replacePrivate puts b in the place of name: after a crash it is the old
// content or the new.
func replacePrivate(name string, b []byte) error {
	temp := name + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := createPrivate(temp, b); err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		return err
	}
	return spool.Disk{}.SyncDir(filepath.Dir(name))
}
