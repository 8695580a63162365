// Package telemetry owns the table registry: which event tables there are, their
// columns, and what is known of an event by its kind alone (grade, stream
// class, OCSF class, capabilities). Everything is derived from the messages of
// assay.telemetry.v1, so that osquery tables, SQL, filters, exports and pages
// cannot disagree. It is pure: it holds no data, reads no clock and knows
// nothing of databases beyond the names of types.
package telemetry
