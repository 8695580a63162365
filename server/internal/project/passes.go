package project

// Names and versions of the passes. A version changes whenever the same
// batches would give other rows.
const (
	FactsPass         = "facts"
	FactsVersion      = 1
	DetectionsPass    = "detections"
	DetectionsVersion = 1
	RulesPass         = "rules"
	RulesVersion      = 1
)

// PassNames lists the passes that verdicts rest on, for the watermark.
func PassNames() []string { return []string{FactsPass, DetectionsPass} }

// Passes are the passes of the program: facts and events; what the checks'
// selectors match, which changes with them and is rebuilt on its own; and what
// the detection rules match. Without rules (nil) there is no such pass.
func Passes(hits *Hits, rules *Rules) []Pass {
	passes := []Pass{
		{Name: FactsPass, Version: FactsVersion, New: func() []Projection {
			return []Projection{Typed{}, Coverage{}, Posture{}, Metrics{}}
		}},
		{Name: DetectionsPass, Version: DetectionsVersion, New: func() []Projection {
			return []Projection{hits.Lane()}
		}},
	}
	if rules != nil {
		passes = append(passes, Pass{Name: RulesPass, Version: RulesVersion, New: func() []Projection {
			return []Projection{rules.Lane()}
		}})
	}
	return passes
}
