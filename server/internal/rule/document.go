package rule

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is one YAML document that is not yet bound to anything else.
type document struct {
	node   *yaml.Node
	rule   *Rule
	tree   *expr // of a rule or a filter
	filter *filter
}

// label names a rule in problems: its id, or else its title.
func label(n *yaml.Node) string {
	for _, key := range [...]string{"id", "title"} {
		if v := lookup(n, key); v != nil && v.Kind == yaml.ScalarNode && v.Value != "" {
			return v.Value
		}
	}
	return ""
}

// parseDocument reads one document of any kind.
func (c *compiler) parseDocument(n *yaml.Node, source string) (*document, error) {
	if a := lookup(n, "action"); a != nil {
		return nil, errAt(a, "action documents are obsolete; write the rules out")
	}
	r, err := parseMeta(n)
	if err != nil {
		return nil, err
	}
	r.Source = source
	d := &document{node: n, rule: r}
	switch {
	case lookup(n, "correlation") != nil:
		return d, c.parseCorrelation(d)
	case lookup(n, "filter") != nil:
		return d, c.parseFilter(d)
	}
	if r.Logsource, err = parseLogsource(n); err != nil {
		return nil, err
	}
	d.tree, err = c.parseDetection(orRoot(lookup(n, "detection"), n))
	return d, err
}

// orRoot keeps a line for the problem when a section is missing.
func orRoot(n, root *yaml.Node) *yaml.Node {
	if n == nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Line: root.Line}
	}
	return n
}

// parseMeta reads what says nothing about matching.
func parseMeta(n *yaml.Node) (*Rule, error) {
	r := &Rule{Line: n.Line, Standalone: true}
	var level string
	for _, f := range []struct {
		key string
		to  *string
	}{
		{"id", &r.ID}, {"name", &r.Name}, {"title", &r.Title}, {"level", &level}, {"status", &r.Status},
		{"description", &r.Description}, {"author", &r.Author}, {"date", &r.Date},
		{"modified", &r.Modified}, {"license", &r.License},
	} {
		var err error
		if *f.to, err = text(n, f.key); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		key string
		to  *[]string
	}{{"tags", &r.Tags}, {"references", &r.References}, {"falsepositives", &r.FalsePositives}} {
		var err error
		if *f.to, err = texts(n, f.key); err != nil {
			return nil, err
		}
	}
	r.ID = strings.ToLower(r.ID)
	r.Level = Level(level)
	if r.Title == "" {
		return nil, errAt(n, "there is no title")
	}
	levels := []Level{"", LevelInformational, LevelLow, LevelMedium, LevelHigh, LevelCritical}
	if !slices.Contains(levels, r.Level) {
		return nil, errAt(lookup(n, "level"), "level %q is not defined", level)
	}
	switch r.Status {
	case "", "stable", "test", "experimental", "deprecated", "unsupported":
	default:
		return nil, errAt(lookup(n, "status"), "status %q is not defined", r.Status)
	}
	taxonomy, err := text(n, "taxonomy")
	if err != nil {
		return nil, err
	}
	if taxonomy != "" && taxonomy != "sigma" {
		return nil, errAt(lookup(n, "taxonomy"), "taxonomy %q is not known", taxonomy)
	}
	return r, nil
}

func parseLogsource(n *yaml.Node) (Logsource, error) {
	m := lookup(n, "logsource")
	if m == nil || m.Kind != yaml.MappingNode {
		return Logsource{}, errAt(orRoot(m, n), "there is no logsource mapping")
	}
	var l Logsource
	for _, f := range []struct {
		key string
		to  *string
	}{{"category", &l.Category}, {"product", &l.Product}, {"service", &l.Service}, {"definition", &l.Definition}} {
		var err error
		if *f.to, err = text(m, f.key); err != nil {
			return Logsource{}, err
		}
	}
	if l.Category == "" && l.Product == "" && l.Service == "" {
		return Logsource{}, errAt(m, "logsource names no category, product or service")
	}
	return l, nil
}
