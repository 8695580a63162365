// Package postgres owns all SQL, one file per noun. An exported method opens
// its own transaction and returns assay.Errors; unexported functions take one
// and compose. It never decides policy, and it never reads a clock of the
// database's: times that are evidence are the program's.
//
// Locks are taken in one order: agent, stream (by id), ledger_head. Whoever
// needs positions takes them last, and waits for nothing after.
package postgres
