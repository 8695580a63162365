package project

// Names and versions of the passes. A version changes whenever the same
// batches would give other rows.
const (
	FactsPass         = "facts"
	FactsVersion      = 1
	DetectionsPass    = "detections"
	DetectionsVersion = 1
)

// PassNames lists all passes, for the watermark.
func PassNames() []string { return []string{FactsPass, DetectionsPass} }

// Passes are the passes of the program: facts and events, and what the checks'
// selectors match, which changes with them and is rebuilt on its own.
func Passes(hits *Hits) []Pass {
	return []Pass{
		{Name: FactsPass, Version: FactsVersion, New: func() []Projection {
			return []Projection{Typed{}, Coverage{}, Posture{}, Metrics{}}
		}},
		{Name: DetectionsPass, Version: DetectionsVersion, New: func() []Projection {
			return []Projection{hits.Lane()}
		}},
	}
}
