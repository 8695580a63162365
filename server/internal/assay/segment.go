package assay

import "time"

// Segment is a run of ledger positions whose batches were archived.
type Segment struct {
	Number int64
	// Object is its name in the archive, SHA256 its digest.
	Object  string
	Bytes   int64
	SHA256  [32]byte
	Batches int64
	// Hosts are those that sent them, with how many each.
	Hosts         map[HostID]int64
	FirstReceived time.Time
	LastReceived  time.Time
	ArchivedAt    time.Time
	Position      uint64 // of the leaf that says so
	// DroppedAt: its payloads left Postgres. DeletedAt: its object was deleted.
	// Zero while they are there.
	DroppedAt, DeletedAt time.Time
}
