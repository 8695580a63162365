package evaluate

import (
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// Product defaults of coverage: what a window must have for its absence of
// violations to mean anything.
const (
	// MinimumShare of the expected time must be covered.
	MinimumShare = 0.99
	// MaximumGap is the longest unexplained gap that is tolerated.
	MaximumGap = 15 * time.Minute
	// Window is the length of time that a verdict looks back on.
	Window = 24 * time.Hour
)

// Host is the subject.
type Host struct {
	ID assay.HostID
	// Imported hosts are known from exported logs alone.
	Imported bool
	Tags     []string
	OS       string
	// ExpectedOn says that the host is never off: a shutdown explains nothing.
	ExpectedOn bool
	// FirstSeen is when the host was first heard of, zero if never: expected by
	// the inventory but not enrolled.
	FirstSeen time.Time
	Simulated bool
}

// Health is the newest SourceHealth of the host.
type Health struct {
	At  time.Time
	Ref assay.EventRef
}

// List is a list of the organisation with its entries' valid times.
type List struct {
	Owner    string
	Entries  []ListEntry
	Position uint64 // leaf of the change that this version of the list rests on
	// ValidFrom is when there began to be such a list at all.
	ValidFrom time.Time
}

// ListEntry is a value, with * for any run of characters, compared without
// case, and when it holds: [From, To), To zero for ever.
type ListEntry struct {
	Value    string
	From, To time.Time
}

// ChangeWindow is a recorded, approved time of change.
type ChangeWindow struct {
	From, To time.Time
	Checks   []string // none: every check that asks for change windows
	Approver string
	Reason   string
	Position uint64
}

// Verification is one run of the ledger's verifier.
type Verification struct {
	At       time.Time
	Good     bool
	Detail   string
	Position uint64
}

// Review is a person's going through alerts and logs.
type Review struct {
	At       time.Time
	Position uint64
}

// Opening is one opening of an alert of the host, with what was done about it.
type Opening struct {
	Alert  assay.AlertID
	Number int // 0 the first
	// Failure says that it is of a finding, not of a rule.
	Failure  bool
	Title    string
	Level    assay.Level
	At       time.Time
	Position uint64
	// Due times are of the policy that held then; zero: no clock.
	AcknowledgeDue, CloseDue time.Time
	Acknowledged, Closed     Deed // zero while it was not
}

// Deed is something done about an alert.
type Deed struct {
	At       time.Time
	Position uint64
}

// RulesOn says how many detection rules were on from a time.
type RulesOn struct {
	At       time.Time
	Rules    int
	Position uint64
}

// Inputs are the facts about one host and what people decided. Evaluate reads
// them and keeps nothing of them but strings, maps of fields and references.
type Inputs struct {
	Host    Host
	Library *framework.Library
	Hits    []assay.Hit
	// Coverage holds every range that overlaps the time from From on and, for
	// each source and channel, the newest covered range before it if there is
	// any. Order does not matter.
	Coverage []assay.CoverageRange
	Metrics  []assay.Metric
	Health   Health
	// From is where the coverage, metrics, reviews and verifications begin to be
	// complete. Zero: from the host's first sight.
	From time.Time
	// Lists are the organisation's lists by name; an absent one is not set.
	Lists map[string]List
	// Parameters are overrides by check and name, as text.
	Parameters    map[string]map[string]string
	ChangeWindows []ChangeWindow
	Exceptions    []assay.Exception
	Closures      []assay.Closure
	Verifications []Verification
	Reviews       []Review
	// Openings are of the host's alerts, RulesOn of all hosts.
	Openings []Opening
	RulesOn  []RulesOn
	// LedgerSince is when the ledger began.
	LedgerSince time.Time
	// Watermark is how far telemetry had been projected.
	Watermark time.Time
}

// Result is what is known of a host at an instant.
type Result struct {
	Host    assay.HostID
	Instant time.Time
	// Judged is how far freshness and silence were judged: the instant, the
	// watermark, or an imported host's last event.
	Judged   time.Time
	Size     uint64
	Verdicts []assay.Verdict // one per check, by id
	Findings []assay.Finding // open and resolved, by check, opening time and id
}
