package rule

import (
	"go.yaml.in/yaml/v3"
)

// parseDetection compiles a mapping of search identifiers and a condition. The
// keys in skip are not search identifiers.
func (c *compiler) parseDetection(n *yaml.Node, skip ...string) (*expr, error) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, errAt(n, "there is no detection mapping")
	}
	sel := &selections{exprs: map[string]*expr{}}
	var condition *yaml.Node
next:
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		for _, s := range skip {
			if key.Value == s {
				continue next
			}
		}
		switch key.Value {
		case "condition":
			condition = value
			continue
		case "timeframe":
			return nil, errAt(key, "timeframe belongs to obsolete aggregations; write a correlation")
		}
		e, err := c.parseSelection(value)
		if err != nil {
			return nil, err
		}
		sel.names = append(sel.names, key.Value)
		sel.exprs[key.Value] = e
	}
	if condition == nil {
		return nil, errAt(n, "there is no condition")
	}
	return parseConditions(condition, sel)
}

// parseConditions reads one condition, or a list of which any must hold.
func parseConditions(n *yaml.Node, sel *selections) (*expr, error) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	kids := make([]*expr, 0, len(items))
	for _, it := range items {
		if it.Kind != yaml.ScalarNode {
			return nil, errAt(it, "condition is not a text")
		}
		e, err := parseCondition(it.Value, sel)
		if err != nil {
			return nil, errAt(it, "%s", err)
		}
		kids = append(kids, e)
	}
	if len(kids) == 0 {
		return nil, errAt(n, "condition is empty")
	}
	return join(opOr, kids), nil
}

// parseSelection compiles a search identifier: a mapping (all of its entries),
// a list (any of its members), or one keyword.
func (c *compiler) parseSelection(n *yaml.Node) (*expr, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return c.parseEntries(n)
	case yaml.SequenceNode:
		return c.parseMembers(n)
	default:
		return c.keywordExpr([]*yaml.Node{n})
	}
}

func (c *compiler) parseEntries(n *yaml.Node) (*expr, error) {
	var kids []*expr
	for i := 0; i < len(n.Content); i += 2 {
		a, err := c.parseEntry(n.Content[i], n.Content[i+1])
		if err != nil {
			return nil, err
		}
		kids = append(kids, &expr{op: opAtom, atom: a})
	}
	if len(kids) == 0 {
		return nil, errAt(n, "a selection is empty")
	}
	return join(opAnd, kids), nil
}

func (c *compiler) parseMembers(n *yaml.Node) (*expr, error) {
	var kids []*expr
	var words []*yaml.Node
	for _, it := range n.Content {
		if it.Kind == yaml.ScalarNode {
			words = append(words, it)
			continue
		}
		e, err := c.parseSelection(it)
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	if len(words) > 0 {
		e, err := c.keywordExpr(words)
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	if len(kids) == 0 {
		return nil, errAt(n, "a selection is empty")
	}
	return join(opOr, kids), nil
}

func (c *compiler) keywordExpr(words []*yaml.Node) (*expr, error) {
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: words[0].Line}
	a, err := c.parseEntry(key, &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: words, Line: words[0].Line})
	if err != nil {
		return nil, err
	}
	return &expr{op: opAtom, atom: a}, nil
}
