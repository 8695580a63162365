package framework

import (
	"github.com/assay-audit/assay/server/internal/assay"
)

// Check is a compiled check. It is immutable and may be shared.
type Check struct {
	assay.Check
	// Applies says of a host whether the check is about it; nil: always.
	Applies       *Expression
	NotApplicable string // why not, where Applies is false
	// ImportedNotApplicable says that a host known from logs alone is never
	// judged by this check.
	ImportedNotApplicable bool
	Clauses               []Clause
	Selectors             []Selector
	ExplainedBy           []Explanation

	// Exactly one of these is set, as Kind says.
	Occurrence []Occurrence
	State      *State
	Latest     *Latest
	Expect     *Expect
	List       *List
	Metric     *Metric
	Record     *Record
	Capability *Capability

	parameters []parameter
	defaults   Values
	unset      []string
}

// Clause is one thing that must be able to see: at least AtLeast of AnyOf, each
// of at least the minimum grade.
type Clause struct {
	Name         string
	AtLeast      int
	MinimumGrade assay.Grade
	AnyOf        []Source
}

// Source is one alternative of a clause. Without capabilities it is enough
// that the channel is read.
type Source struct {
	Source       string
	Channel      string
	Capabilities []string
}

// Selector is a named Sigma rule body with the raw fields that a hit keeps.
type Selector struct {
	Name  string
	Keep  []string
	Sigma []byte // a whole rule document
}

// Signal is a hit of any of the selectors for which When holds.
type Signal struct {
	On   []string
	When *Expression
}

// Occurrence is a violation by the mere event.
type Occurrence struct {
	Name   string
	Signal Signal
	Title  string
	// Key are the fields that tell findings apart. PerDay folds the violations
	// of one key and UTC day into one finding; otherwise each event is its own.
	Key          []string
	PerDay       bool
	ResolvesWhen *Resolve
}

// Resolve is what ends a finding: a later hit that agrees in the fields Same.
type Resolve struct {
	Signal Signal
	Same   []string
}

// Explanation takes the blame from a violation.
type Explanation struct {
	Of            []string // names of occurrences; none: all
	Near          []string // selectors
	Before, After string   // durations or parameter names: how far Near may stand
	ChangeWindow  bool     // inside a recorded change window
}

// Explains reports whether it speaks of the named occurrence.
func (e *Explanation) Explains(occurrence string) bool {
	for _, name := range e.Of {
		if name == occurrence {
			return true
		}
	}
	return len(e.Of) == 0
}

// OfCoverage, OfHealth and the records are facts that the engine itself has.
const (
	OfCoverage     = "coverage"
	OfHealth       = "health"
	OfVerification = "ledger_verification"
	OfReview       = "review"        // a person went through alerts and logs
	OfAlert        = "alert"         // of a detection rule
	OfFailureAlert = "failure_alert" // of a finding that a control failed
)

// State judges intervals of on and off.
type State struct {
	// Of is OfCoverage for the engine's own check of gaps, else "".
	Of     string
	Facets []Facet
	// Fresh is the parameter that says how old the newest proof may be.
	Fresh string
	Title string
}

// Facet is one thing that is on or off. A pass needs an on-signal of a facet
// with Proof that is fresh.
type Facet struct {
	Name  string
	Off   []Signal
	On    []Signal
	Proof bool
	Title string
}

// Latest judges the age of the newest value.
type Latest struct {
	// Of is OfHealth for the agent's own life, else "".
	Of string
	// New says that the value was renewed at the hit; Aged that it was Age old;
	// Unchanged that it was not renewed. Off is a recorded shutdown.
	New       []Signal
	Aged      []Aged
	Unchanged []Signal
	Off       []Signal
	Limit     string // parameter: how old is too old
	Fresh     string // parameter: how old the newest report may be
	Title     string
}

// Aged is a signal with the age that it reports.
type Aged struct {
	Signal Signal
	Age    *Expression
}

// Expect wants each Ask answered by an Answer with the same key.
type Expect struct {
	Ask    []Signal
	Answer []Signal
	Key    []string // the first field that is not empty is the key
	Within string   // parameter
	Title  string
}

// List wants each value on a list.
type List struct {
	List  string
	Items []Item
	Title string
}

// Item is a signal with the value to look for.
type Item struct {
	Signal Signal
	Value  *Expression
}

// Metric wants a ratio over a UTC day. Limit is empty for a plain ratio, else
// the parameter with the bound that Threshold percent must keep.
type Metric struct {
	Name      string
	Threshold string
	Limit     string
	Minimum   string // parameter: fewer than this decide nothing
	Title     string
}

// Record wants a good record of ours within a time. Alerts have clocks of their
// own: Within is empty for them.
type Record struct {
	Of     string
	Within string
	Title  string
}

// Capability wants the clauses covered; Title is of the finding where every
// alternative of one says that it cannot see.
type Capability struct{ Title string }
