package assay

import (
	"slices"
	"time"
)

// State is the outcome of a check or requirement. Its numbers are those of the
// wire and of the run's digests.
type State uint8

// The states. The zero value is no state at all.
const (
	NoState State = iota
	StatePass
	StateFail
	StateUnknown
	StateError
	StateNotApplicable
	StateManual
)

func (s State) String() string {
	names := [...]string{"", "pass", "fail", "unknown", "error", "not_applicable", "manual"}
	if int(s) >= len(names) {
		return ""
	}
	return names[s]
}

// ParseState reads what String prints.
func ParseState(text string) (State, error) {
	for s := StatePass; s <= StateManual; s++ {
		if s.String() == text {
			return s, nil
		}
	}
	return NoState, Errorf(Invalid, "%q is not a state", text)
}

// severity orders states in a roll-up: the highest wins.
func (s State) severity() int {
	return slices.Index([]State{NoState, StateNotApplicable, StatePass, StateManual, StateUnknown, StateError, StateFail}, s)
}

// Worse returns the state that wins in a roll-up: fail, error, unknown,
// manual, pass, not applicable.
func (s State) Worse(other State) State {
	if other.severity() > s.severity() {
		return other
	}
	return s
}

// ReasonCode says why a verdict has its state; the list is closed. A pass has
// none.
type ReasonCode string

// The reasons.
const (
	NoReason         ReasonCode = ""
	ReasonViolated   ReasonCode = "violated"        // fail: a violation is in the window or open
	ReasonClock      ReasonCode = "clock"           // what it rests on was booked at receipt: the host's clock was out of bounds
	ReasonNoData     ReasonCode = "no_data"         // nothing that could tell was ever received for the window
	ReasonSilent     ReasonCode = "silent"          // the host is not heard of at the end of the window
	ReasonStale      ReasonCode = "stale"           // the newest report is too old
	ReasonCoverage   ReasonCode = "coverage"        // too little of the expected time, or too long a gap
	ReasonDisabled   ReasonCode = "source_disabled" // the source says that it cannot see this
	ReasonGrade      ReasonCode = "grade"           // seen only by sources below the minimum grade
	ReasonParam      ReasonCode = "param_missing"   // a parameter or list that only the organisation can give
	ReasonPending    ReasonCode = "pending"         // not decided yet at the watermark
	ReasonImported   ReasonCode = "imported"        // the host is known from exported logs alone
	ReasonEvaluator  ReasonCode = "evaluator_error" // the check itself failed
	ReasonScope      ReasonCode = "scope"           // not applicable, by a stated predicate or an empty scope
	ReasonByHand     ReasonCode = "manual"          // no check speaks for it
	ReasonUnenrolled ReasonCode = "not_enrolled"    // expected, but never heard of
)

// Disposition is what people decided about a verdict. It changes what is
// displayed and counted, never the state.
type Disposition string

// The dispositions.
const (
	NoDisposition Disposition = ""
	Compensating  Disposition = "compensating"
	Customized    Disposition = "customized"
	Alternative   Disposition = "alternative" // an addressable specification met by an equivalent
	RiskAccepted  Disposition = "risk_accepted"
	FalsePositive Disposition = "false_positive"
)

// Exception is a disposition with a term: before From and from Expiry on, the
// raw state shows again.
type Exception struct {
	ID            string
	Host          HostID // zero: every host
	Check         string
	Disposition   Disposition
	Owner         string
	Approver      string
	Justification string
	From, Expiry  time.Time
	Position      uint64 // its leaf
}

// In reports whether the exception holds at the instant.
func (e *Exception) In(at time.Time) bool { return !at.Before(e.From) && at.Before(e.Expiry) }

// MaxEvidence is how many events a verdict or finding names; more are counted.
const MaxEvidence = 20

// Verdict is the outcome of one check on one host over [WindowFrom, WindowTo).
type Verdict struct {
	Host   HostID
	Check  string
	State  State
	Reason ReasonCode
	Detail string // in words
	// Grade is the worst of what the state rests on.
	Grade Grade
	// Coverage is the covered share of the expected time, 0 to 1; it says
	// nothing where HasCoverage is false.
	Coverage    float64
	HasCoverage bool
	WindowFrom  time.Time
	WindowTo    time.Time
	// Evidence names events that it rests on, newest first, at most
	// MaxEvidence of EvidenceTotal.
	Evidence      []EventRef
	EvidenceTotal int
	// Since is when, by the facts, it became so; zero where they do not say.
	Since time.Time
	// LastFailing is the newest violation ever seen, zero for a check that has
	// never been seen to fail here.
	LastFailing  time.Time
	OpenFindings int
	Disposition  Disposition
	// Excepted is the exception behind the disposition, "" if none.
	Excepted string
	// Accruing is set while the host has been observed for less than a window.
	Accruing bool
}

// StateCounts is the vector that is always shown beside a rolled-up state.
// Excepted counts verdicts under an exception; they are not in the others.
type StateCounts struct {
	Pass, Fail, Unknown, Error, NotApplicable, Manual, Excepted int
}

// Add counts one state.
func (c *StateCounts) Add(s State) {
	switch s {
	case StatePass:
		c.Pass++
	case StateFail:
		c.Fail++
	case StateUnknown:
		c.Unknown++
	case StateError:
		c.Error++
	case StateNotApplicable:
		c.NotApplicable++
	case StateManual:
		c.Manual++
	case NoState:
	}
}

// Worst is the state that the vector rolls up to: StateNotApplicable where nothing
// else is in it, NoState where it is empty.
func (c *StateCounts) Worst() State {
	switch {
	case c.Fail > 0:
		return StateFail
	case c.Error > 0:
		return StateError
	case c.Unknown > 0:
		return StateUnknown
	case c.Manual > 0:
		return StateManual
	case c.Pass > 0:
		return StatePass
	case c.NotApplicable > 0:
		return StateNotApplicable
	}
	return NoState
}
