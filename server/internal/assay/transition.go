package assay

import "time"

// Transition is a verdict's change of state.
type Transition struct {
	Host     HostID
	Check    string
	From, To State // From is NoState for the first verdict
	Reason   ReasonCode
	// ValidAt is when it became so by the facts, RecordedAt when we knew. Late
	// facts make a ValidAt that lies before earlier transitions: they restate.
	ValidAt    time.Time
	RecordedAt time.Time
	Position   uint64 // its leaf, once recorded
}
