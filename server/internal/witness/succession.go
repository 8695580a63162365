package witness

import (
	"fmt"

	"github.com/assay-audit/assay/proto/evidence"
)

// maxSuccessors bounds the logs that follow each other.
const maxSuccessors = 64

// Current is the log that is watched in the place of one: the last of those that
// follow it and were accepted.
func (w *Witness) Current(origin string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range maxSuccessors {
		next := w.state.Known(origin).Successor
		if next == "" {
			break
		}
		origin = next
	}
	return origin
}

// succession is the statement, if there is one among the log's key changes, by
// which the log ends; the rotations before it are followed on the way.
func (w *Witness) succession(origin string, changes []string) (*evidence.Succession, error) {
	if err := w.Follow(origin, changes); err != nil {
		return nil, err
	}
	key := w.LogKey(origin)
	for _, change := range changes {
		if s, _, err := evidence.OpenSuccession([]byte(change), key); err == nil {
			return &s, nil
		}
	}
	return nil, nil
}

// Accept goes over to the log that follows one, by the statement among its key
// changes. It is an error where that statement denies what this witness has signed.
func (w *Witness) Accept(origin string, changes []string) (evidence.Succession, error) {
	found, err := w.succession(origin, changes)
	if err != nil {
		return evidence.Succession{}, err
	}
	if found == nil {
		return evidence.Succession{}, fmt.Errorf("the log %s does not say that another follows it", origin)
	}
	s := *found
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.state.Known(origin)
	switch {
	case known.Size > s.Held.Size:
		return s, fmt.Errorf("the log's last word is that nobody held more than %d leaves; this witness has signed %d, and keeps that: it is proof", s.Held.Size, known.Size)
	case known.Size == s.Held.Size && known.Root != s.Held.Root:
		return s, fmt.Errorf("the log's last word is that its %d leaves had another root than this witness has signed, who keeps that: it is proof", known.Size)
	}
	// What is no longer than what was kept must be a prefix of it, which the next
	// look proves. The old log's memory stays: it is the proof of what was.
	next := Known{Size: known.Size, Root: known.Root, Note: known.Note, At: known.At, Key: s.Key}
	if known.Size > s.Kept.Size {
		next.Size, next.Root, next.Note = s.Kept.Size, s.Kept.Root, ""
	}
	known.Successor = evidence.KeyName(s.Key)
	return s, w.state.keepAll(map[string]Known{origin: known, known.Successor: next})
}
