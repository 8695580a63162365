package assay

import "time"

// HoldID names a hold.
type HoldID [16]byte

func (id HoldID) String() string { return formatID(id) }

// ParseHoldID reads a UUID.
func ParseHoldID(text string) (HoldID, error) {
	id, err := parseID(text)
	return HoldID(id), err
}

// Hold is an order to keep what a host sent: while it is placed nothing of the
// host is erased or deleted, whatever else says so.
type Hold struct {
	ID       HoldID
	Host     HostID // zero: all hosts
	Reason   string
	PlacedBy string
	PlacedAt time.Time
	Position uint64
	// ReleasedAt is zero while it is placed.
	ReleasedBy    string
	ReleasedAt    time.Time
	ReleaseReason string
}

// MaxReason bounds the reason of a hold, an erasure and the like, in bytes.
const MaxReason = 1000
