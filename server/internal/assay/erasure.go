package assay

import (
	"time"
)

// ErasureID names an erasure.
type ErasureID [16]byte

func (id ErasureID) String() string { return formatID(id) }

// Erasure is the deletion of all that a host sent in a month (UTC, by receipt):
// the key under which it rests is deleted. Headers, leaves and commitments stay.
type Erasure struct {
	ID    ErasureID
	Host  HostID
	Month time.Time // its first moment
	// Reason, RequestedBy: why, and by whom it was asked for.
	Reason      string
	RequestedBy string
	RequestedAt time.Time
	Position    uint64
	// DueAt is when the statutory retention of the month ends: not before.
	DueAt time.Time
	// DoneAt is when it was recorded, and KeyDeletedAt when the key was deleted
	// after that; zero before.
	DoneAt, KeyDeletedAt time.Time
	// Held: a hold stands against it now.
	Held bool
}

// State is the erasure's in one word, at an instant.
func (e *Erasure) State(at time.Time) string {
	switch {
	case !e.DoneAt.IsZero():
		return "done"
	case e.Held:
		return "held"
	case at.Before(e.DueAt):
		return "waiting"
	}
	return "due"
}

// ParseMonth reads 2026-03 as the month's first moment in UTC.
func ParseMonth(text string) (time.Time, error) {
	month, err := time.Parse("2006-01", text)
	if err != nil {
		return time.Time{}, Errorf(Invalid, "%q is no month: write 2026-03", text)
	}
	return month, nil
}
