// Package uplink owns the agent's connection to the server: it sends what the
// spools hold, in order and within the server's window, takes acknowledgements,
// opens epochs where the chain cannot go on, and verifies the ledger's
// checkpoints before anything may be deleted. It never reads events and never
// decides what is collected.
//
// One goroutine owns a session; a second one receives. Nothing is lost by a
// session that ends anywhere: on connect the server states what it has, and
// everything after that is sent again.
package uplink
