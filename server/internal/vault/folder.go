package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder keeps keys as files of a folder, which servers may share over a
// network file system.
type Folder struct{ dir string }

// NewFolder returns the keys in dir, which is made where it is not there.
func NewFolder(dir string) (Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Folder{}, fmt.Errorf("opening the vault: %w", err)
	}
	return Folder{dir}, nil
}

func (f Folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// maxKeyFile bounds what is read of a file, in bytes.
const maxKeyFile = 4096

// Create implements Keys. The file is written aside, made durable and linked
// into place, which fails where there is one: no server ever sees part of a key
// or loses another's.
func (f Folder) Create(_ context.Context, name string, wrapped []byte) (err error) {
	path := f.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("creating key: %w", err)
	}
	aside := path + "." + rand.Text()
	file, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating key: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(aside)) }()
	_, err = file.Write(wrapped)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	switch err := os.Link(aside, path); {
	case errors.Is(err, fs.ErrExist):
		return errExists
	case err != nil:
		return fmt.Errorf("putting key into place: %w", err)
	}
	// The host's folder may be new: its entry must be durable too.
	return errors.Join(syncFolder(filepath.Dir(path)), syncFolder(f.dir))
}

func syncFolder(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("making key durable: %w", err)
	}
	return errors.Join(file.Sync(), file.Close())
}

// Read implements Keys.
func (f Folder) Read(_ context.Context, name string) ([]byte, error) {
	info, err := os.Stat(f.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errAbsent
	case err != nil:
		return nil, err
	case info.Size() > maxKeyFile:
		return nil, fmt.Errorf("it has %d bytes, at most %d", info.Size(), maxKeyFile)
	}
	wrapped, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errAbsent
	}
	return wrapped, err
}

// Delete implements Keys.
func (f Folder) Delete(_ context.Context, name string) error {
	err := os.Remove(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.path(name)))
}
