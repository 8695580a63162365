package rule

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// builtinTable says where Windows writes what Sigma's log sources name.
//
//go:embed logsources.yml
var builtinTable []byte

// logEntry is one entry of a logsource table: what a rule's logsource must say
// for the entry to apply, and the records it then selects.
type logEntry struct {
	name       string
	source     Logsource
	rewrite    *Logsource
	conditions *expr // nil if none
	ids        []uint32
	fields     map[string]string
	channels   []string // case-folded
	// foreign is set if the entry reads something other than event channels.
	foreign bool
}

// logTable is a logsource table in order. Entries of one name replace each
// other.
type logTable struct {
	entries []*logEntry
}

const channelPrefix = "WinEventLog:"

// binding is one way to read a rule: the records it looks at and what its
// fields are called there.
type binding struct {
	channels []string // case-folded; nil for any
	ids      []uint32 // nil for any
	// conditions must hold besides the rule's own; nil if none.
	conditions *expr
	// fields maps names of the rule to names of the record.
	fields map[string]string
}

// readTable adds the entries of a table file.
func (c *compiler) readTable(data []byte) error {
	docs, err := readDocuments(data)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		root := lookup(doc, "logsources")
		if root == nil || root.Kind != yaml.MappingNode {
			return errAt(doc, "a logsource table needs a logsources mapping")
		}
		c.tableDocs = append(c.tableDocs, digestOf(domainTable, doc))
		for i := 0; i < len(root.Content); i += 2 {
			e, err := c.readEntry(root.Content[i].Value, root.Content[i+1])
			if err != nil {
				return err
			}
			at := slices.IndexFunc(c.table.entries, func(o *logEntry) bool { return o.name == e.name })
			if at < 0 {
				c.table.entries = append(c.table.entries, e)
			} else {
				c.table.entries[at] = e
			}
		}
	}
	return nil
}

func (c *compiler) readEntry(name string, n *yaml.Node) (*logEntry, error) {
	e := &logEntry{name: name}
	var err error
	if e.source, err = sourceOf(n); err != nil {
		return nil, err
	}
	if rw := lookup(n, "rewrite"); rw != nil {
		s, err := sourceOf(rw)
		if err != nil {
			return nil, err
		}
		e.rewrite = &s
	}
	sources, err := texts(n, "sources")
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if channel, ok := strings.CutPrefix(s, channelPrefix); ok {
			e.channels = append(e.channels, c.foldText(channel))
		} else {
			e.foreign = true
		}
	}
	if err := c.readConditions(e, lookup(n, "conditions")); err != nil {
		return nil, err
	}
	return e, c.readMappings(e, lookup(n, "fieldmappings"))
}

func sourceOf(n *yaml.Node) (Logsource, error) {
	var l Logsource
	for _, f := range []struct {
		key string
		to  *string
	}{{"category", &l.Category}, {"product", &l.Product}, {"service", &l.Service}} {
		var err error
		if *f.to, err = text(n, f.key); err != nil {
			return l, err
		}
	}
	return l, nil
}

// readConditions keeps EventID as numbers and the rest as a selection.
func (c *compiler) readConditions(e *logEntry, n *yaml.Node) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errAt(n, "conditions is not a mapping")
	}
	var kids []*expr
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value != fieldEventID {
			a, err := c.parseEntry(key, value)
			if err != nil {
				return err
			}
			kids = append(kids, &expr{op: opAtom, atom: a})
			continue
		}
		ids, err := texts(n, fieldEventID)
		if err != nil {
			return err
		}
		for _, s := range ids {
			id, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return errAt(value, "EventID %q is not a number", s)
			}
			e.ids = append(e.ids, uint32(id))
		}
	}
	if len(kids) > 0 {
		e.conditions = &expr{op: opSelection, name: "logsource", kids: []*expr{join(opAnd, kids)}}
	}
	return nil
}

func (c *compiler) readMappings(e *logEntry, n *yaml.Node) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errAt(n, "fieldmappings is not a mapping")
	}
	e.fields = map[string]string{}
	for i := 0; i < len(n.Content); i += 2 {
		to := n.Content[i+1]
		if to.Kind != yaml.ScalarNode || to.Value == "" {
			return errAt(to, "a field is mapped to something other than a name")
		}
		e.fields[n.Content[i].Value] = to.Value
	}
	return nil
}

// resolve returns the bindings of a logsource, none if the table has no Windows
// records for it.
func (t *logTable) resolve(l Logsource) []binding {
	if l.Category == "" && l.Service == "" {
		if l.Product == "windows" {
			return []binding{{}}
		}
		return nil
	}
	var out []binding
	for _, e := range t.entries {
		if e.source.Category != l.Category || !e.applies(l) {
			continue
		}
		b := binding{ids: e.ids, conditions: e.conditions, fields: e.fields, channels: e.channels}
		if e.rewrite != nil && (e.rewrite.Service != "" || e.rewrite.Category != "") {
			if b.channels = t.channelsOf(*e.rewrite); b.channels == nil {
				continue
			}
		}
		if b.channels == nil && (e.foreign || e.source.Category == "") {
			continue
		}
		out = append(out, b)
	}
	return out
}

// applies reports whether the entry, of the right category, fits the rest of a
// rule's logsource.
func (e *logEntry) applies(l Logsource) bool {
	product, service := e.source.Product, e.source.Service
	if e.rewrite != nil {
		if product == "" {
			product = e.rewrite.Product
		}
		if service == "" {
			service = e.rewrite.Service
		}
	}
	return (l.Product == "" || product == "" || l.Product == product) &&
		(l.Service == "" || l.Service == service)
}

// channelsOf returns the channels of a service.
func (t *logTable) channelsOf(l Logsource) []string {
	var out []string
	for _, e := range t.entries {
		if e.source.Category == "" && e.source.Service == l.Service && e.applies(l) {
			out = append(out, e.channels...)
		}
	}
	return out
}
