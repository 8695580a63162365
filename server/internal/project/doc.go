// Package project turns batches into projections: typed events, coverage,
// posture, metrics and hits. A projection is a pure function of the batches in
// ledger order; it has no side effects but its rows, which can be dropped and
// rebuilt. The package never judges: verdicts are evaluate's.
package project
