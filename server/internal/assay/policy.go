package assay

import "time"

// PolicyKind says what a person decided.
type PolicyKind string

// The kinds of policy change.
const (
	PolicyList         PolicyKind = "list"          // a list of the organisation, by name
	PolicyParameter    PolicyKind = "parameter"     // "check/parameter"
	PolicyChangeWindow PolicyKind = "change_window" // an approved time of change
)

// PolicyChange is one decision. The newest of a kind and name holds.
type PolicyChange struct {
	Kind PolicyKind `json:"kind"`
	Name string     `json:"name"`
	// Values are a list's entries, or the one text of a parameter. Empty unsets.
	Values []string `json:"values,omitempty"`
	Owner  string   `json:"owner,omitempty"`
	// From, To, Checks and Reason are of a change window.
	From       time.Time `json:"from,omitzero"`
	To         time.Time `json:"to,omitzero"`
	Checks     []string  `json:"checks,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	By         string    `json:"by"`
	RecordedAt time.Time `json:"recorded_at"`
	Position   uint64    `json:"-"`
}

// Bounds on a policy change.
const (
	MaxPolicyValues = 10_000
	MaxPolicyValue  = 512
)

// Validate is Invalid if the change is out of its bounds or incomplete.
func (p *PolicyChange) Validate() error {
	if p.Name == "" {
		return Errorf(Invalid, "a %s needs a name", p.Kind)
	}
	if err := CheckText("name", p.Name, 128); err != nil {
		return err
	}
	if len(p.Values) > MaxPolicyValues {
		return Errorf(Invalid, "%d values, at most %d", len(p.Values), MaxPolicyValues)
	}
	for _, v := range p.Values {
		if err := CheckText("value", v, MaxPolicyValue); err != nil {
			return err
		}
	}
	switch p.Kind {
	case PolicyList, PolicyParameter:
	case PolicyChangeWindow:
		if p.Reason == "" || !p.To.After(p.From) {
			return Errorf(Invalid, "a change window needs a reason, and an end after its beginning")
		}
	default:
		return Errorf(Invalid, "%q is no kind of policy", p.Kind)
	}
	return nil
}
