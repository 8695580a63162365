package rule

import "fmt"

// Source is one YAML file of one or more documents, each a rule, a filter or a
// correlation.
type Source struct {
	// Name is shown in problems and in Rule.Source; usually a path.
	Name string
	Data []byte
}

// Problem says why a document was refused, or what was wrong with a file. A
// refused document never stops the others.
type Problem struct {
	Source string
	// Line is the line of the file the reason speaks of, from 1; 0 if unknown.
	Line int
	// RuleID is the id (or else the title) of the refused rule, if it could be read.
	RuleID string
	Reason string
	// Foreign: the rule is sound and reads logs that Windows does not write, as
	// far as the logsource tables say.
	Foreign bool
}

// String prints the problem as source:line: reason.
func (p Problem) String() string {
	if p.RuleID == "" {
		return fmt.Sprintf("%s:%d: %s", p.Source, p.Line, p.Reason)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.Source, p.Line, p.RuleID, p.Reason)
}

// Level is the criticality of a rule; empty where the rule states none.
type Level string

// The levels of the specification, rising.
const (
	LevelInformational Level = "informational"
	LevelLow           Level = "low"
	LevelMedium        Level = "medium"
	LevelHigh          Level = "high"
	LevelCritical      Level = "critical"
)

// Logsource names the logs a rule applies to, as the rule writes it.
type Logsource struct {
	Category   string
	Product    string
	Service    string
	Definition string
}

// String prints the attributes that are set.
func (l Logsource) String() string {
	s := ""
	for _, a := range [...][2]string{{"category", l.Category}, {"product", l.Product}, {"service", l.Service}} {
		if a[1] == "" {
			continue
		}
		if s != "" {
			s += " "
		}
		s += a[0] + "=" + a[1]
	}
	if s == "" {
		return "(empty)"
	}
	return s
}

// Rule is a compiled rule or correlation. It is immutable.
type Rule struct {
	// ID is the rule's UUID in lower case, empty where it has none.
	ID          string
	Name        string
	Title       string
	Level       Level
	Status      string
	Description string
	Author      string
	Date        string
	Modified    string
	License     string
	Tags        []string
	References  []string
	// FalsePositives are the known benign causes the author names.
	FalsePositives []string
	Logsource      Logsource
	// Source and Line are where the rule was read.
	Source string
	Line   int
	// Digest is SHA-256 over the canonical form of the rule's YAML and of the
	// filters applied to it: comments, key order and style do not change it,
	// everything a YAML reader sees does.
	Digest [32]byte
	// Filters are the ids (or titles) of the filters applied to the rule.
	Filters []string
	// Standalone is false for a rule that a correlation refers to without
	// `generate: true`: its matches feed the correlation and are not findings.
	Standalone bool
	// Correlation is nil except for correlation rules, which Match never
	// returns: feed a Correlator.
	Correlation *Correlation

	index int32
}

// Match is one rule that an event matched.
type Match struct {
	Rule *Rule
	// Fields are the field values that made it match.
	Fields []MatchedField

	// fields maps names of the rule to names of the record.
	fields map[string]string
}

// Value returns the first value of the matched event's field that the rule calls
// name; ok is false where the event has none. ev must be the event that matched.
func (m *Match) Value(ev Event, name string) (value string, ok bool) {
	return eventValue(ev, mapped(m.fields, name))
}

// MatchedField is a field value that satisfied a part of the rule.
type MatchedField struct {
	// Selection is the search identifier of the rule.
	Selection string
	// Field is the name the rule uses; empty for a keyword.
	Field string
	// Value is the event's value as it was handed in; empty where the rule asks
	// for a missing field.
	Value string
}
