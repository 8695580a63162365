package spool

import (
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
)

// memoryDisk is a file system in memory, for tests that open thousands of spools.
type memoryDisk struct {
	mu    sync.Mutex
	files map[string]*memoryFile // by base name: a spool has one folder
}

type memoryFile struct {
	disk *memoryDisk
	b    []byte // under the disk's mu
}

func (d *memoryDisk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[filepath.Base(name)] != nil {
		return nil, fs.ErrExist
	}
	f := &memoryFile{disk: d}
	d.files[filepath.Base(name)] = f
	return f, nil
}

func (d *memoryDisk) Open(name string, _ bool) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[filepath.Base(name)]; f != nil {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

func (d *memoryDisk) List(string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files)), nil
}

func (d *memoryDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[filepath.Base(from)]
	if f == nil {
		return fs.ErrNotExist
	}
	delete(d.files, filepath.Base(from))
	d.files[filepath.Base(to)] = f
	return nil
}

func (d *memoryDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[filepath.Base(name)] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, filepath.Base(name))
	return nil
}

func (d *memoryDisk) SyncDir(string) error { return nil }

func (f *memoryFile) ReadAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if at >= int64(len(f.b)) {
		return 0, io.EOF
	}
	n := copy(p, f.b[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if end := int(at) + len(p); end > len(f.b) {
		f.b = append(f.b, make([]byte, end-len(f.b))...)
	}
	return copy(f.b[at:], p), nil
}

func (f *memoryFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if size > int64(len(f.b)) {
		f.b = append(f.b, make([]byte, int(size)-len(f.b))...)
	}
	f.b = f.b[:size]
	return nil
}

func (f *memoryFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.b)), nil
}

func (f *memoryFile) Sync() error  { return nil }
func (f *memoryFile) Close() error { return nil }
