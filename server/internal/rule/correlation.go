package rule

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// CorrelationType is what a correlation counts.
type CorrelationType string

// The types of the specification.
const (
	// EventCount counts the matches of the rules.
	EventCount CorrelationType = "event_count"
	// ValueCount counts the distinct values of a field among them.
	ValueCount CorrelationType = "value_count"
	// Temporal counts how many of the rules have matched.
	Temporal CorrelationType = "temporal"
	// TemporalOrdered asks for a match of each rule, in their order.
	TemporalOrdered CorrelationType = "temporal_ordered"
)

// maxCorrelationCount bounds the counts that conditions ask for, since a count
// is of matches kept in memory.
const maxCorrelationCount = 10_000

// maxCorrelationRules bounds the rules that a correlation refers to.
const maxCorrelationRules = 256

// maxTimespan bounds the window of a correlation.
const maxTimespan = 366 * 24 * time.Hour

// Correlation is the correlation section of a rule. It is immutable.
type Correlation struct {
	Type CorrelationType
	// Rules are the rules and correlations referred to.
	Rules    []*Rule
	GroupBy  []string
	Timespan time.Duration
	// Fields are those of which a value_count counts the values together.
	Fields []string
	// Min and Max bound the count, both included; Max is -1 for none.
	Min, Max int

	refs []string
	// aliases maps an alias and the name of a rule to the rule's field.
	aliases  map[string]map[string]string
	generate bool
}

// parseCorrelation reads a correlation document.
func (c *compiler) parseCorrelation(d *document) error {
	n := lookup(d.node, "correlation")
	if n.Kind != yaml.MappingNode {
		return errAt(n, "correlation is not a mapping")
	}
	k := &Correlation{Max: -1}
	kind, err := text(n, "type")
	if err != nil {
		return err
	}
	switch k.Type = CorrelationType(kind); k.Type {
	case EventCount, ValueCount, Temporal, TemporalOrdered:
	default:
		return errAt(n, "correlation type %q is not defined", kind)
	}
	if k.refs, err = texts(n, "rules"); err != nil {
		return err
	}
	if len(k.refs) == 0 || len(k.refs) > maxCorrelationRules {
		return errAt(n, "correlation names no rules, or more than %d", maxCorrelationRules)
	}
	if sorted := slices.Sorted(slices.Values(k.refs)); len(slices.Compact(sorted)) < len(k.refs) {
		return errAt(n, "correlation names a rule twice")
	}
	if k.GroupBy, err = texts(n, "group-by"); err != nil {
		return err
	}
	if err := k.readTimespan(n); err != nil {
		return err
	}
	if err := k.readAliases(lookup(n, "aliases")); err != nil {
		return err
	}
	if g := lookup(n, "generate"); g != nil {
		if g.Tag != "!!bool" {
			return errAt(g, "generate is not true or false")
		}
		k.generate = strings.EqualFold(g.Value, "true")
	}
	d.rule.Correlation = k
	return k.readCondition(n)
}

func (k *Correlation) readTimespan(n *yaml.Node) error {
	s, err := text(n, "timespan")
	if err != nil {
		return err
	}
	at := orRoot(lookup(n, "timespan"), n)
	if len(s) < 2 {
		return errAt(at, "timespan %q is not a number with s, m, h or d", s)
	}
	unit, ok := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[len(s)-1]]
	count, err := strconv.ParseUint(s[:len(s)-1], 10, 31)
	if !ok || err != nil || count == 0 || count > uint64(maxTimespan/unit) {
		return errAt(at, "timespan %q is not a number with s, m, h or d within %s", s, maxTimespan)
	}
	k.Timespan = time.Duration(count) * unit
	return nil
}

func (k *Correlation) readAliases(n *yaml.Node) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errAt(n, "aliases is not a mapping")
	}
	k.aliases = map[string]map[string]string{}
	for i := 0; i < len(n.Content); i += 2 {
		name, of := n.Content[i].Value, n.Content[i+1]
		if of.Kind != yaml.MappingNode {
			return errAt(of, "alias %s is not a mapping of rules to fields", name)
		}
		k.aliases[name] = map[string]string{}
		for j := 0; j < len(of.Content); j += 2 {
			if of.Content[j+1].Kind != yaml.ScalarNode {
				return errAt(of.Content[j+1], "alias %s names something other than a field", name)
			}
			k.aliases[name][of.Content[j].Value] = of.Content[j+1].Value
		}
	}
	return nil
}

// readCondition reads the condition, which the temporal types may leave out.
func (k *Correlation) readCondition(n *yaml.Node) error {
	m := lookup(n, "condition")
	temporal := k.Type == Temporal || k.Type == TemporalOrdered
	if m == nil && temporal {
		k.Min = len(k.refs)
		return nil
	}
	if m == nil || m.Kind != yaml.MappingNode {
		return errAt(orRoot(m, n), "%s needs a condition mapping", k.Type)
	}
	var err error
	if k.Fields, err = texts(m, "field"); err != nil {
		return err
	}
	if (len(k.Fields) > 0) != (k.Type == ValueCount) {
		return errAt(m, "the condition of value_count names a field, and of no other")
	}
	for i := 0; i < len(m.Content); i += 2 {
		if err := k.readBound(m.Content[i], m.Content[i+1]); err != nil {
			return err
		}
	}
	switch {
	case k.Min < 1:
		// A count is taken when something matches, so it never is zero, and an
		// upper bound alone would hold at the first match.
		return errAt(m, "the condition needs a lower bound of one or more (gt, gte or eq)")
	case k.Max >= 0 && k.Max < k.Min:
		return errAt(m, "the condition can never hold")
	case k.Min > maxCorrelationCount:
		return errAt(m, "the condition asks for more than %d", maxCorrelationCount)
	case temporal && k.Min > len(k.refs):
		return errAt(m, "the condition asks for more rules than are named")
	case k.Type == TemporalOrdered && (k.Min != len(k.refs) || k.Max >= 0):
		return errAt(m, "temporal_ordered asks for all rules in their order and takes no other condition")
	}
	return nil
}

func (k *Correlation) readBound(key, value *yaml.Node) error {
	if key.Value == "field" {
		return nil
	}
	v, err := strconv.ParseInt(value.Value, 10, 32)
	if err != nil || value.Tag != "!!int" || v < 0 {
		return errAt(value, "condition %s is not a count", key.Value)
	}
	low, high := 0, -1
	switch n := int(v); key.Value {
	case "gt":
		low = n + 1
	case "gte":
		low = n
	case "lt":
		high = n - 1
	case "lte":
		high = n
	case "eq":
		low, high = n, n
	default:
		return errAt(key, "condition %q is not defined", key.Value)
	}
	k.Min = max(k.Min, low)
	if high >= 0 && (k.Max < 0 || high < k.Max) {
		k.Max = high
	} else if key.Value == "lt" && high < 0 {
		return errAt(key, "the condition can never hold")
	}
	return nil
}

// holds reports whether a count satisfies the condition.
func (k *Correlation) holds(count int) bool {
	return count >= k.Min && (k.Max < 0 || count <= k.Max)
}

// linkCorrelations resolves what correlations refer to among the rules that
// live, and returns the correlations that live in turn, each after those it
// refers to. Rules referred to without `generate` are no findings of their own.
func (c *compiler) linkCorrelations(rules []*Rule) []*Rule {
	live := map[string]*Rule{}
	publish := func(r *Rule) {
		for _, key := range [...]string{r.ID, r.Name} {
			if key != "" {
				live[key] = r
			}
		}
	}
	var waiting []*document
	for _, r := range rules {
		if r.Correlation == nil {
			publish(r)
		}
	}
	for _, d := range c.docs {
		if d.rule.Correlation != nil {
			waiting = append(waiting, d)
		}
	}
	var out []*Rule
	for progress := true; progress; {
		progress = false
		waiting = slices.DeleteFunc(waiting, func(d *document) bool {
			if !d.rule.Correlation.resolve(live) {
				return false
			}
			publish(d.rule)
			out = append(out, d.rule)
			progress = true
			return true
		})
	}
	for _, d := range waiting {
		missing := slices.DeleteFunc(slices.Clone(d.rule.Correlation.refs), func(ref string) bool { return find(live, ref) != nil })
		c.refuse(d, "correlation refers to rules that are missing, refused or in a circle: %s", strings.Join(missing, ", "))
	}
	markStandalone(out)
	return out
}

func find(live map[string]*Rule, ref string) *Rule {
	if r := live[ref]; r != nil {
		return r
	}
	return live[strings.ToLower(ref)]
}

// resolve finds the rules referred to and reports whether all are there.
func (k *Correlation) resolve(live map[string]*Rule) bool {
	k.Rules = nil
	for _, ref := range k.refs {
		r := find(live, ref)
		if r == nil {
			return false
		}
		k.Rules = append(k.Rules, r)
	}
	return true
}

func markStandalone(correlations []*Rule) {
	kept := map[*Rule]bool{}
	for _, r := range correlations {
		for _, of := range r.Correlation.Rules {
			kept[of] = kept[of] || r.Correlation.generate
		}
	}
	for r, keep := range kept {
		r.Standalone = keep
	}
}
