package project

import (
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// ImportKey names an imported file within a stream.
type ImportKey struct {
	Stream assay.StreamID
	SHA256 [32]byte
}

// ImportMark is the last record of a file that was projected. Records of one
// file come in (chunk, ordinal) order, so all at or before the mark are known.
type ImportMark struct {
	Chunk, Ordinal uint32
}

func (m ImportMark) covers(chunk, ordinal uint32) bool {
	return chunk < m.Chunk || chunk == m.Chunk && ordinal <= m.Ordinal
}

// Memory is what a lane carries from one transaction to the next. It mirrors
// rows of Postgres that only this lane writes; whoever loses the cursor throws
// it away and loads it again.
type Memory struct {
	Clocks   map[assay.StreamID]time.Time
	Imports  map[ImportKey]ImportMark
	Coverage map[assay.HostID]*CoverageMemory
	Hosts    map[assay.HostID]bool // imported hosts that are known to exist
}

// maxRemembered bounds a lane's memory in hosts; past it, all is reloaded.
const maxRemembered = 20_000

// NewMemory returns an empty memory.
func NewMemory() *Memory {
	return &Memory{
		Clocks: map[assay.StreamID]time.Time{}, Imports: map[ImportKey]ImportMark{},
		Coverage: map[assay.HostID]*CoverageMemory{}, Hosts: map[assay.HostID]bool{},
	}
}

func (m *Memory) full() bool { return len(m.Coverage)+len(m.Imports)+len(m.Hosts) > 3*maxRemembered }
