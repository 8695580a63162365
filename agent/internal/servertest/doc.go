// Package servertest is a server in memory for tests of the agent: real gRPC
// over loopback TLS, a CA, a ledger with real proofs, and the same fences as
// the real one. Faults are put into it by hooks. It never stores anything.
package servertest
