package assay

// Ceiling is the best that telemetry can say of a requirement. It stands
// beside a state and is never merged into it.
type Ceiling string

// The ceilings.
const (
	Decidable Ceiling = "A" // a machine can decide it: pass or fail
	Partial   Ceiling = "P" // a violation can be proved, fulfilment only supported
	OwnRecord Ceiling = "S" // shown by records that this product itself keeps
	ByHand    Ceiling = "M" // needs a person: records an attestation
)

// Valid reports whether c is one of the four.
func (c Ceiling) Valid() bool {
	return c == Decidable || c == Partial || c == OwnRecord || c == ByHand
}

// Obligation says how a standard binds. An addressable requirement may be met
// by an equivalent, which needs an exception on record.
type Obligation string

// The obligations.
const (
	Required    Obligation = "required"
	Addressable Obligation = "addressable"
)

// Framework is a standard at a version. Titles are in our own words.
type Framework struct {
	ID           string // "pci-dss"
	Version      string // "4.0.1"
	Title        string
	Requirements []Requirement // in the standard's order
	// Digest is SHA-256 over the pack's canonical bytes.
	Digest [32]byte
}

// Requirement is one clause of a framework.
type Requirement struct {
	ID         string // as the standard numbers it: "10.2.1.6", "164.312(b)"
	Title      string
	Chapter    string
	Obligation Obligation
	Ceiling    Ceiling
	// Checks are the ids of the checks that bear on it; none makes it manual.
	Checks []string
}
