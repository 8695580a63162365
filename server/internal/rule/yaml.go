package rule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// lineError is a reason with the line it speaks of.
type lineError struct {
	line   int
	reason string
}

func (e *lineError) Error() string { return e.reason }

// errAt makes a lineError at a node.
func errAt(n *yaml.Node, format string, args ...any) error {
	line := 0
	if n != nil {
		line = n.Line
	}
	return &lineError{line: line, reason: fmt.Sprintf(format, args...)}
}

// readDocuments splits a file into the root mappings of its documents, with
// aliases expanded, within bounds. Documents read before an error are returned
// with it: a syntax error ends the file since what follows cannot be trusted.
func readDocuments(data []byte) (docs []*yaml.Node, err error) {
	if len(data) > maxFileBytes {
		return nil, &lineError{reason: fmt.Sprintf("file is larger than %d bytes", maxFileBytes)}
	}
	// The parser reports syntax errors as errors; a panic would be a defect of
	// it, and must cost one file and not the process.
	defer func() {
		if p := recover(); p != nil {
			err = &lineError{reason: fmt.Sprintf("the YAML parser failed: %v", p)}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < maxDocuments {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			if errors.Is(err, io.EOF) {
				return docs, nil
			}
			return docs, syntaxError(err)
		}
		root, err := rootMapping(&n)
		if err != nil {
			return docs, err
		}
		if root != nil {
			docs = append(docs, root)
		}
	}
	return docs, &lineError{reason: fmt.Sprintf("file has more than %d documents", maxDocuments)}
}

// rootMapping returns the expanded root of a document, nil for an empty one.
func rootMapping(doc *yaml.Node) (*yaml.Node, error) {
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil, nil
	}
	budget := maxNodes
	root, err := expandAliases(doc.Content[0], 0, &budget)
	if err != nil {
		return nil, err
	}
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, errAt(root, "document is not a mapping")
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// syntaxError turns an error of the YAML parser into a lineError.
func syntaxError(err error) error {
	text := err.Error()
	line := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits by the expression; overflow leaves a number that is only shown
	}
	return &lineError{line: line, reason: "not valid YAML: " + text}
}

// expandAliases copies a node with every alias replaced by what it names. The
// budget counts copied nodes, so neither a bomb nor a self reference gets far.
// Every mapping of the copy has distinct scalar keys.
func expandAliases(n *yaml.Node, depth int, budget *int) (*yaml.Node, error) {
	if *budget--; *budget < 0 {
		return nil, errAt(n, "document has more than %d nodes", maxNodes)
	}
	if depth > maxDepth {
		return nil, errAt(n, "document is nested deeper than %d levels", maxDepth)
	}
	line := n.Line
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	c := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.ShortTag(), Value: n.Value, Line: line}
	switch c.Tag {
	case "!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
	default:
		return nil, errAt(c, "YAML tag %s is not used in rules", c.Tag)
	}
	if len(n.Content) == 0 {
		return c, nil
	}
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, k := range n.Content {
		var err error
		if c.Content[i], err = expandAliases(k, depth+1, budget); err != nil {
			return nil, err
		}
	}
	if c.Kind == yaml.MappingNode {
		return c, checkKeys(c)
	}
	return c, nil
}

func checkKeys(m *yaml.Node) error {
	seen := make(map[string]struct{}, len(m.Content)/2)
	for i := 0; i < len(m.Content); i += 2 {
		k := m.Content[i]
		if k.Kind != yaml.ScalarNode {
			return errAt(k, "mapping key is not a scalar")
		}
		if _, dup := seen[k.Value]; dup {
			return errAt(k, "key %q is given twice", k.Value)
		}
		seen[k.Value] = struct{}{}
	}
	return nil
}

// lookup returns the value of a key of a mapping, nil if absent.
func lookup(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// text returns the scalar of a key as text; empty if absent or null.
func text(m *yaml.Node, key string) (string, error) {
	n := lookup(m, key)
	if n == nil || n.ShortTag() == "!!null" {
		return "", nil
	}
	if n.Kind != yaml.ScalarNode {
		return "", errAt(n, "%s is not a scalar", key)
	}
	return n.Value, nil
}

// texts returns a key's list of scalars, or its one scalar, as texts.
func texts(m *yaml.Node, key string) ([]string, error) {
	n := lookup(m, key)
	if n == nil || n.ShortTag() == "!!null" {
		return nil, nil
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	out := make([]string, 0, len(items))
	for _, it := range items {
		if it.Kind != yaml.ScalarNode {
			return nil, errAt(it, "%s holds something other than scalars", key)
		}
		out = append(out, it.Value)
	}
	return out, nil
}
