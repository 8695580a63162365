package assay

// CheckKind names the fact that a check judges.
type CheckKind string

// The kinds of check.
const (
	Occurrence CheckKind = "occurrence" // an event that must not happen
	StateKind  CheckKind = "state"      // something that must be on all the time
	Latest     CheckKind = "latest"     // the newest value must not be too old
	Expect     CheckKind = "expect"     // one event must be answered by another
	ListKind   CheckKind = "list"       // what appears must be on a list
	MetricKind CheckKind = "metric"     // a ratio over a day must hold
	RecordKind CheckKind = "record"     // our own records must show it
	Capability CheckKind = "capability" // a source must be able to see, and alive
)

// Subject is what a check judges.
type Subject string

// The subjects. A verdict is always stored for a host; a check of the log
// service has the same outcome on all of them.
const (
	OfHost       Subject = "host"
	OfLogService Subject = "log_service"
)

// Check is what people are told of a check; how it is computed is framework's.
type Check struct {
	ID           string // "log.cleared"
	Title        string
	Kind         CheckKind
	Subject      Subject
	Description  string
	Violation    string   // in words: what fails it
	Requires     []string // in words: what must be able to see it, one per clause
	Remedy       string   // what would turn a failing or unknown host
	MinimumGrade Grade    // evidence of a lower grade does not support a pass
	Parameters   []Parameter
	// Digest is SHA-256 over the check's canonical bytes, defaults included.
	Digest [32]byte
}

// Parameter is a typed setting of a check.
type Parameter struct {
	Name  string
	Type  string // "duration", "int", "percent", "string" or "strings"
	About string
	// Default is printed as the product's own choice; empty where the parameter
	// must be set by the organisation.
	Default string
}
