// Package assay is the vocabulary: the nouns that every other package speaks
// in, and the rules that belong to one noun alone. It imports nothing of ours
// but proto/evidence and does no I/O.
//
// Glossary
//
//	Host        a machine: enrolled (it runs an agent) or imported (known from logs only)
//	Agent       one enrolment of a host: a key, its certificates, its rights
//	Stream      a chain of batches of one agent: control, bulk or import
//	Epoch       a run of a stream that no rollback or loss interrupts
//	Batch       up to 500 events with their header, as received
//	Leaf        one entry of the ledger; its index is its position
//	Checkpoint  a signed root of the ledger at a size
//	Hit         an event that a selector of a check matched
//	Coverage    the times in which a source was able to see and alive
//	Framework   a standard at a version; Requirement, one clause of it
//	Check       what is tested on a host; Verdict, its outcome at an instant
//	Finding     a violation, open until closed or resolved
//	Transition  a verdict's change of state
//	Run         one evaluation; its root proves every state it computed
//	User        a person who signs in to the console, with a role
//	Server      one run of the server program on the database
//	Lease       a server's hold, for seconds, of a task that one server is enough for
package assay
