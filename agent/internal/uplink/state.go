package uplink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/proto/evidence"
)

// State is what an uplink remembers between runs: the newest checkpoint that it
// has verified, to which every later one must be consistent.
type State struct {
	// Size and Root are of the newest verified checkpoint, Note its signed form.
	Size int64         `json:"size"`
	Root evidence.Hash `json:"root"`
	Note string        `json:"note,omitempty"`
	At   time.Time     `json:"at,omitzero"`
	// Fork says why the ledger contradicts itself; from then on nothing is
	// deleted. ForkNote is the checkpoint that does.
	Fork     string    `json:"fork,omitempty"`
	ForkNote string    `json:"fork_note,omitempty"`
	ForkAt   time.Time `json:"fork_at,omitzero"`
	// KeyChanges lead from the ledger key of the enrolment to the one that is
	// trusted now: notes that the key before signed.
	KeyChanges []string `json:"key_changes,omitempty"`
	// Opened says that an epoch was granted to this agent before.
	Opened bool `json:"opened"`
}

const maxState = 1 << 20

// ReadState reads a state file; no file is the zero State.
func ReadState(name string) (State, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("reading uplink state: %w", err)
	}
	var s State
	if len(b) > maxState {
		return State{}, fmt.Errorf("reading uplink state: %s is too large", name)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return State{}, fmt.Errorf("reading uplink state: %s is damaged: %w", name, err)
	}
	return s, nil
}

func (u *Uplink) saveState(change func(*State)) error {
	u.mu.Lock()
	next := u.state
	change(&next)
	u.mu.Unlock()
	b, err := json.MarshalIndent(&next, "", "  ")
	if err != nil {
		return fmt.Errorf("saving uplink state: %w", err)
	}
	if err := spool.ReplaceFile(spool.Disk{}, u.cfg.StateFile, b); err != nil {
		return fmt.Errorf("saving uplink state: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state = next
	return nil
}

// State returns what is remembered now.
func (u *Uplink) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state
}
