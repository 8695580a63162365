// Package framework owns the packs (standards and their requirements) and the
// checks that speak for them: YAML files embedded in the program, and the
// loader that refuses whatever it cannot read exactly. It knows what a check
// says; it never judges a host (evaluate does), never opens a log and never
// talks to a database.
//
// A check's languages are the field's own: selectors are Sigma rules over raw
// Windows field names, predicates are CEL over small rows: f holds the fields
// that selectors keep (absent ones are ""), p the parameters, host the host's
// kind, tags, os and expected_on.
//
// # Kinds
//
// Besides what all checks have (id, title, kind, subject, window, description,
// violation, remedy, minimum_grade, parameters, requires, selectors), a check
// has the one section of its kind:
//
//	occurrence  events that must not be; key and per (event, day) fold them into
//	            findings; explained_by takes the blame: near other selectors, or
//	            inside a change window; resolves_when ends a finding
//	state       facets, each off and on by signals; one that is the proof must
//	            have been reported on no longer ago than fresh
//	latest      the age of a value: new, aged (with the age it states), unchanged;
//	            or of health: the agent's own life
//	expect      ask, answered within a time by answer, of the same key
//	list        values of items that must be on a list of the organisation
//	metric      a share of a UTC day against a threshold
//	record      a record of ours within a time
//	capability  nothing but its clauses: what must be able to see, and alive
//
// # Capabilities
//
// A clause of `requires` names what must be able to see an event: a source, a
// channel, and the capabilities that source health states for it, from the
// closed vocabulary of proto/telemetry. A clause without a capability asks only
// that the channel is read.
package framework
