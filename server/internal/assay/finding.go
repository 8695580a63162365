package assay

import (
	"crypto/sha256"
	"time"
)

// FindingID is computed from what the finding is about, so that evaluating the
// same facts again, or on another machine, names the same findings.
type FindingID [16]byte

func (id FindingID) String() string { return formatID(id) }

// ParseFindingID reads a UUID.
func ParseFindingID(text string) (FindingID, error) {
	id, err := parseID(text)
	return FindingID(id), err
}

// NewFindingID is the identity of the finding of a check on a host about key.
func NewFindingID(check string, host HostID, key string) FindingID {
	h := sha256.New()
	h.Write([]byte("assay/finding/v1\x00" + check + "\x00"))
	h.Write(host[:])
	h.Write([]byte(key))
	var id FindingID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80 // version 8: our own scheme
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Finding is a violation. It is open until what resolves it is seen or a
// person closes it with a cause.
type Finding struct {
	ID    FindingID
	Host  HostID
	Check string
	// Key tells findings of one check and host apart.
	Key   string
	Title string
	// OpenedAt is the first violation, LastAt the newest.
	OpenedAt time.Time
	LastAt   time.Time
	// ResolvedAt is when it ended, zero while it is open.
	ResolvedAt time.Time
	// ClosedBy and Cause are of the person that closed it; empty where what
	// resolves it was seen.
	ClosedBy string
	Cause    string
	Grade    Grade
	// ClockFault says that all its times are times of receipt.
	ClockFault bool
	// Evidence is newest first, at most MaxEvidence of EvidenceTotal.
	Evidence      []EventRef
	EvidenceTotal int
	// Fields are the kept fields of the first violating event.
	Fields map[string]string
}

// Open reports whether the finding is open.
func (f *Finding) Open() bool { return f.ResolvedAt.IsZero() }

// Closure is a person's closing of a finding. A violation after At opens the
// finding again.
type Closure struct {
	Finding  FindingID
	At       time.Time
	By       string
	Cause    string
	Position uint64 // its leaf
}
