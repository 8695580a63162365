// Package bench owns the measurement of Assay's speed: made-up hosts whose
// batches are replayed over mutual TLS into the real agents' API on a real
// Postgres, the projections behind it, the evaluation of a fleet, the reading of
// event logs, and the plain COPY of the same rows that the first two are
// compared with. Only cmd/assay-bench imports it. It holds no code that the
// product runs on, and it judges nothing: it prints what it measured.
package bench
