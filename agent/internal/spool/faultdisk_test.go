package spool

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

var errCrashed = errors.New("crashed")

// crashDisk is Disk until its step budget is used up. Then the machine "loses
// power": the failing write lands in part, what was not synced is cut or lost,
// and every further call fails.
type crashDisk struct {
	Disk
	mu      sync.Mutex
	budget  int // mutating steps left; negative: no crash
	steps   int
	rng     *rand.Rand
	crashed bool
	files   map[string]*crashFile // written and not yet synced
	entries map[string]bool       // created and directory not yet synced
	// fail makes one kind of call fail without a crash.
	fail func(call, name string) error
}

type crashFile struct {
	File
	disk   *crashDisk
	name   string
	synced int64
	size   int64
}

func newCrashDisk(budget int, seed uint64) *crashDisk {
	return &crashDisk{
		budget: budget, rng: rand.New(rand.NewPCG(seed, 1)),
		files: map[string]*crashFile{}, entries: map[string]bool{},
	}
}

// step counts a mutating call and reports whether it may happen.
func (d *crashDisk) step(call, name string) error {
	if d.crashed {
		return errCrashed
	}
	if d.fail != nil {
		if err := d.fail(call, name); err != nil {
			return err
		}
	}
	d.steps++
	if d.budget < 0 || d.steps <= d.budget {
		return nil
	}
	return errCrashed
}

// crash undoes what the disk never promised.
func (d *crashDisk) crash() {
	if d.crashed {
		return
	}
	d.crashed = true
	for name, f := range d.files {
		if f.size > f.synced {
			_ = os.Truncate(name, f.synced+d.rng.Int64N(f.size-f.synced+1))
		}
	}
	for name := range d.entries {
		if d.rng.IntN(2) == 0 {
			_ = os.Remove(name)
		}
	}
}

func (d *crashDisk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("create", name); err != nil {
		if errors.Is(err, errCrashed) {
			d.crash()
		}
		return nil, err
	}
	f, err := d.Disk.Create(name)
	if err != nil {
		return nil, err
	}
	d.entries[name] = true
	c := &crashFile{File: f, disk: d, name: name}
	d.files[name] = c
	return c, nil
}

func (d *crashDisk) Open(name string, write bool) (File, error) {
	f, err := d.Disk.Open(name, write)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	return &crashFile{File: f, disk: d, name: name, synced: size, size: size}, err
}

func (d *crashDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("rename", to); err != nil {
		if errors.Is(err, errCrashed) {
			d.crash()
		}
		return err
	}
	delete(d.entries, from)
	delete(d.files, from)
	return d.Disk.Rename(from, to)
}

func (d *crashDisk) Remove(name string) error {
	if _, err := os.Lstat(name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("remove", name); err != nil {
		if errors.Is(err, errCrashed) {
			d.crash()
		}
		return err
	}
	delete(d.files, name)
	delete(d.entries, name)
	return d.Disk.Remove(name)
}

func (d *crashDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("syncdir", dir); err != nil {
		if errors.Is(err, errCrashed) {
			d.crash()
		}
		return err
	}
	for name := range d.entries {
		if filepath.Dir(name) == filepath.Clean(dir) {
			delete(d.entries, name)
		}
	}
	return d.Disk.SyncDir(dir)
}

func (f *crashFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.disk.step("write", f.name)
	n := len(b)
	if err != nil {
		n = f.disk.rng.IntN(len(b) + 1)
	}
	if f.disk.crashed {
		return 0, errCrashed
	}
	if n, werr := f.File.WriteAt(b[:n], at); werr != nil {
		return n, werr
	}
	f.size = max(f.size, at+int64(n))
	f.disk.files[f.name] = f
	if errors.Is(err, errCrashed) {
		f.disk.crash()
	}
	return n, err
}

func (f *crashFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.step("truncate", f.name); err != nil {
		if errors.Is(err, errCrashed) {
			f.disk.crash()
		}
		return err
	}
	f.size, f.synced = size, min(f.synced, size)
	return f.File.Truncate(size)
}

func (f *crashFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.step("sync", f.name); err != nil {
		if errors.Is(err, errCrashed) {
			f.disk.crash()
		}
		return err
	}
	f.synced = f.size
	delete(f.disk.files, f.name)
	return nil
}
