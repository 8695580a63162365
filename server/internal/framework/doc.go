// Package framework owns the packs (standards and their requirements) and the
// checks that speak for them: YAML files embedded in the program, and the
// loader that refuses whatever it cannot read exactly. It knows what a check
// says; it never judges a host (evaluate does), never opens a log and never
// talks to a database.
//
// A check's languages are the field's own: selectors are Sigma rules over raw
// Windows field names, predicates are CEL over small rows: f holds the fields
// that a selector keeps (absent ones are ""), p the parameters, host the host.
//
// # Capabilities
//
// A clause of `requires` names what must be able to see an event: a source, a
// channel, and the capabilities that source health states for it, from the
// closed vocabulary of proto/telemetry. A clause without a capability asks only
// that the channel is read.
package framework
