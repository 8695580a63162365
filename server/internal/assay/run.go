package assay

import "time"

// Run is one evaluation of all hosts in scope. It is recorded as a leaf, so
// its root proves every state that it computed and that no host was left out.
type Run struct {
	Instant   time.Time // what the verdicts are for
	Watermark time.Time // how far telemetry had been projected
	Size      uint64    // ledger size: facts at positions below it were known
	// Root is the root of the sorted Merkle map of all states, over Leaves
	// entries for Hosts hosts.
	Root   [32]byte
	Leaves uint64
	Hosts  uint64
	// Engine is the evaluator's version; the digests pin what it judged by.
	Engine string
	Packs  map[string][32]byte // framework id@version
	Checks map[string][32]byte // check id
	Lists  map[string][32]byte // list name
}
