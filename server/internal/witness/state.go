package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// State is what a witness remembers, in a file that is its own: the newest
// checkpoint that it signed of each log.
type State struct {
	path string
	lock *os.File
	logs map[string]Known
}

// Known is the newest checkpoint of a log that was verified and signed.
type Known struct {
	Size int64         `json:"size"`
	Root evidence.Hash `json:"root"`
	Note string        `json:"note"`
	At   time.Time     `json:"at"`
	// Key is the log's key as it was trusted last, with what led to it.
	Key string `json:"key,omitempty"`
	// Successor is the log that follows this one, once that was accepted.
	Successor string `json:"successor,omitempty"`
}

const maxState = 16 << 20

// OpenState reads a state file, or begins one, and keeps other processes off it
// until Close.
func OpenState(path string) (_ *State, err error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening witness state: %w", err)
	}
	s := &State{path: path, lock: lock, logs: map[string]Known{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := lockFile(lock); err != nil {
		return nil, fmt.Errorf("opening witness state: %s is used by another process: %w", path, err)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading witness state: %w", err)
	}
	if len(text) > maxState {
		return nil, fmt.Errorf("reading witness state: %s has %d bytes", path, len(text))
	}
	if err := json.Unmarshal(text, &s.logs); err != nil {
		return nil, fmt.Errorf("reading witness state: %s is damaged: %w (do not delete it: without it the witness would sign a fork; restore it from a backup)", path, err)
	}
	return s, nil
}

// Close gives the file back.
func (s *State) Close() error { return s.lock.Close() }

// Known returns what is remembered of a log; the zero Known of a new one.
func (s *State) Known(origin string) Known { return s.logs[origin] }

// keep remembers a checkpoint, and returns once that is on disk.
func (s *State) keep(origin string, k Known) error {
	return s.keepAll(map[string]Known{origin: k})
}

// keepAll remembers all of them or none.
func (s *State) keepAll(logs map[string]Known) error {
	next := maps.Clone(s.logs)
	maps.Copy(next, logs)
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding witness state: %w", err)
	}
	if err := replace(s.path, text); err != nil {
		return fmt.Errorf("keeping witness state: %w", err)
	}
	s.logs = next
	return nil
}

// keepFork writes both notes beside the state, under a name of its own.
func (s *State) keepFork(e *ForkError, at time.Time) error {
	name := fmt.Sprintf("%s.fork-%s-%d.txt", s.path, at.UTC().Format("20060102T150405Z"), e.Shown.Size)
	text := "The log " + e.Shown.Origin + " has shown two histories. Verified and signed before:\n\n" + e.KnownNote + "\nShown at " + at.UTC().Format(time.RFC3339) + ":\n\n" + e.ShownNote
	if err := replace(name, []byte(text)); err != nil {
		return fmt.Errorf("keeping the notes of a fork: %w", err)
	}
	e.File = name
	return nil
}

// replace writes a file aside, syncs it and renames it into place.
func replace(path string, text []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+strings.TrimPrefix(filepath.Base(path), ".")+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	if _, err := file.Write(text); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
