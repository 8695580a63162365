// Package rule owns the Sigma rule engine: it reads Sigma 2 rules, filters and
// correlations from YAML, compiles them into one immutable Set, and says which
// rules an event matches and on which fields. The same engine selects the
// events of compliance checks and detects attacks, so it follows the Sigma
// specification to the letter and refuses, with file, line and reason, what it
// cannot evaluate exactly.
//
// The package is pure: it opens no file, asks no clock, speaks to no database
// and no network. A Set may be used by any number of goroutines, each with a
// Scratch of its own.
//
// # Semantics that the specification leaves open
//
//   - Case-insensitive means equal under Unicode simple case folding.
//   - Field names are compared exactly; an event field whose name contains
//     spaces also answers to the name without them, and one without a name to
//     Data, the name of its element.
//   - A field that occurs several times matches if any of its values does. Under
//     neq it matches if it occurs and none of its values equals.
//   - null accepts a missing field and an empty value; the empty string only
//     an empty value.
//   - A field of the event hides the system field of the same name (System 104
//     has a Channel of its own), except EventID and Provider_Name.
//   - Keywords are looked for in every field value, the provider, the channel,
//     the computer and the user SID.
//   - windash makes the five dashes equal at every place of the value.
//   - A correlation holds at an event if the matches of its group in the timespan
//     that ends there satisfy its condition. It is reported when it comes to hold
//     and again only after it has ceased to. An upper bound alone is refused: it
//     would hold at the first match. A correlation counts for another as often as
//     it is reported; for a temporal one it has happened for as long as it holds.
//   - The condition of a filter is and-ed to the condition of the rules it names.
package rule
