package assay

import (
	"fmt"
	"time"
)

// Grade is the fidelity of what a fact or verdict rests on; A is best. The
// zero value means that there is none to state.
type Grade uint8

// The grades.
const (
	NoGrade Grade = iota
	GradeA
	GradeB
	GradeC
	GradeD
)

func (g Grade) String() string {
	if g < GradeA || g > GradeD {
		return ""
	}
	return string(rune('A' + g - GradeA))
}

// Worse returns the lower fidelity of the two; NoGrade does not count.
func (g Grade) Worse(other Grade) Grade { return max(g, other) }

// Mode says how an event came to us.
type Mode string

// The modes. Only live events say anything of forwarding lag.
const (
	Live     Mode = "live"
	Backfill Mode = "backfill"
	Imported Mode = "import"
)

// EventRef names one event: the ledger position of its batch and its index in
// the batch, from 0. It is the total order in which facts are recorded.
type EventRef struct {
	Position uint64
	Ordinal  uint32
}

// Compare orders references by position, then ordinal.
func (r EventRef) Compare(other EventRef) int {
	switch {
	case r.Position < other.Position:
		return -1
	case r.Position > other.Position:
		return 1
	case r.Ordinal < other.Ordinal:
		return -1
	case r.Ordinal > other.Ordinal:
		return 1
	}
	return 0
}

// Hit is an event that a selector of a check matched. It is all that an
// evaluation ever sees of the event.
type Hit struct {
	Host     HostID
	Check    string // check id, e.g. "log.cleared"
	Selector string // selector name within the check
	Ref      EventRef
	// ObservedAt is the host's clock, ReceivedAt the server's. BookedAt is the
	// time that the hit counts for: ObservedAt, or ReceivedAt where the host's
	// clock is out of the bounds of receipt (then ClockFault is true).
	ObservedAt time.Time
	ReceivedAt time.Time
	BookedAt   time.Time
	ClockFault bool
	Mode       Mode
	Grade      Grade
	Source     string // "event_log", "sysmon", ...
	Channel    string
	Provider   string
	EventID    uint32
	RecordID   uint64
	// Fields are the raw fields that the check's YAML asks to keep.
	Fields map[string]string
}

// CoverageState says what is known of a stretch of time.
type CoverageState string

// The states of coverage.
const (
	Covered      CoverageState = "covered"
	ExplainedOff CoverageState = "explained_off" // the host was shut down, and that is on record
	Unexplained  CoverageState = "unexplained"
	Pending      CoverageState = "pending" // not yet decided at the watermark
)

// CoverageRange is a contiguous stretch in which one source and channel of a
// host could, or could not, see what a capability names. Ranges of one
// (host, source, channel, capability) do not overlap.
type CoverageRange struct {
	Host       HostID
	Source     string
	Channel    string
	Capability string
	State      CoverageState
	Mode       Mode
	Grade      Grade
	From, To   time.Time // [From, To)
	Reason     string    // for what is not covered: "no health", "not running: …", "lost 12", "capability missing"
	Since      EventRef  // the event that opened the range
	Until      EventRef  // the newest event that extended it
}

// Metric counts something of a host and UTC day, for the metric checks.
type Metric struct {
	Host HostID
	Name string    // "fields" or "forward_lag"
	Key  string    // fields: the table; forward_lag: the bucket's upper bound
	Day  time.Time // UTC midnight
	// Good of Total: records with all six fields; events at or under the bound.
	Good, Total uint64
}

// String prints position:ordinal.
func (r EventRef) String() string { return fmt.Sprintf("%d:%d", r.Position, r.Ordinal) }
