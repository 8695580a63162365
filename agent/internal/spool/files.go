package spool

import (
	"io"
	"os"
	"path/filepath"
)

// Files is the part of a file system that a spool uses. Tests put faults and
// crashes behind it; Disk is the real one.
type Files interface {
	// Create makes a new file for reading and writing; it fails if name exists.
	Create(name string) (File, error)
	// Open opens an existing file, for reading and writing where write is set.
	Open(name string, write bool) (File, error)
	// List returns the names in dir, sorted.
	List(dir string) ([]string, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
}

// File is an open file of Files.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Sync returns once everything written is durable.
	Sync() error
	Size() (int64, error)
}

// Disk is the operating system's file system.
type Disk struct{}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Create implements Files.
func (Disk) Create(name string) (File, error) {
	f, err := os.OpenFile(filepath.Clean(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// Open implements Files.
func (Disk) Open(name string, write bool) (File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(filepath.Clean(name), flag, 0)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// List implements Files.
func (Disk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Rename implements Files.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements Files.
func (Disk) Remove(name string) error { return os.Remove(name) }

// SyncDir implements Files.
func (Disk) SyncDir(dir string) error { return syncDir(dir) }
