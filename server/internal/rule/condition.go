package rule

import (
	"fmt"
	"slices"
	"strings"
)

// selections are the search identifiers of a rule, in order.
type selections struct {
	names []string
	exprs map[string]*expr
}

func (s *selections) get(name string) (*expr, bool) {
	e, ok := s.exprs[name]
	if !ok {
		return nil, false
	}
	return &expr{op: opSelection, name: name, kids: []*expr{e}}, true
}

// conditionParser is a recursive-descent parser of the condition language:
// or, and, not, `1 of`, `all of` and parentheses, binding ever tighter.
type conditionParser struct {
	tokens []string
	pos    int
	depth  int
	nodes  int
	sel    *selections
}

// parseCondition reads a condition over the selections.
func parseCondition(s string, sel *selections) (*expr, error) {
	if strings.Contains(s, "|") {
		return nil, fmt.Errorf("aggregations in conditions are obsolete; write a correlation")
	}
	p := &conditionParser{tokens: lexCondition(s), sel: sel}
	if len(p.tokens) == 0 {
		return nil, fmt.Errorf("condition is empty")
	}
	if len(p.tokens) > maxConditionTokens {
		return nil, fmt.Errorf("condition has more than %d tokens", maxConditionTokens)
	}
	e, err := p.parseOr()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.tokens) {
		return nil, fmt.Errorf("condition: unexpected %q", p.tokens[p.pos])
	}
	return e, nil
}

func lexCondition(s string) []string {
	s = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s)
	return strings.Fields(s)
}

// peek returns the next token, empty at the end.
func (p *conditionParser) peek() string {
	if p.pos < len(p.tokens) {
		return p.tokens[p.pos]
	}
	return ""
}

// accept takes the next token if it is the word, in any case, and not the name
// of a selection.
func (p *conditionParser) accept(word string) bool {
	t := p.peek()
	if !strings.EqualFold(t, word) {
		return false
	}
	if _, isName := p.sel.exprs[t]; isName && t != word {
		return false
	}
	p.pos++
	return true
}

func (p *conditionParser) parseOr() (*expr, error) {
	return p.parseList(opOr, "or", p.parseAnd)
}

func (p *conditionParser) parseAnd() (*expr, error) {
	return p.parseList(opAnd, "and", p.parseNot)
}

func (p *conditionParser) parseList(op exprOp, word string, operand func() (*expr, error)) (*expr, error) {
	var kids []*expr
	for {
		e, err := operand()
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
		if !p.accept(word) {
			return join(op, kids), nil
		}
	}
}

func (p *conditionParser) parseNot() (*expr, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxConditionDepth {
		return nil, fmt.Errorf("condition is nested deeper than %d", maxConditionDepth)
	}
	if p.accept("not") {
		e, err := p.parseNot()
		if err != nil {
			return nil, err
		}
		return &expr{op: opNot, kids: []*expr{e}}, nil
	}
	return p.parsePrimary()
}

func (p *conditionParser) parsePrimary() (*expr, error) {
	t := p.peek()
	if t == "" {
		return nil, fmt.Errorf("condition ends where a search identifier is expected")
	}
	p.pos++
	if t == "(" {
		e, err := p.parseOr()
		if err != nil {
			return nil, err
		}
		if p.peek() != ")" {
			return nil, fmt.Errorf("condition: parenthesis is not closed")
		}
		p.pos++
		return e, nil
	}
	if strings.EqualFold(p.peek(), "of") {
		p.pos++
		return p.parseOf(t)
	}
	e, ok := p.sel.get(t)
	if !ok {
		return nil, fmt.Errorf("condition: %q is not a search identifier of the rule", t)
	}
	p.nodes++
	return e, nil
}

// parseOf reads what follows `1 of`, `any of` or `all of`.
func (p *conditionParser) parseOf(quantifier string) (*expr, error) {
	op := opOr
	switch strings.ToLower(quantifier) {
	case "1", "any":
	case "all":
		op = opAnd
	default:
		return nil, fmt.Errorf("condition: %q of is not defined; 1, any or all is", quantifier)
	}
	target := p.peek()
	if target == "" || target == "(" || target == ")" {
		return nil, fmt.Errorf("condition: a pattern is expected after of")
	}
	p.pos++
	var kids []*expr
	for _, name := range p.sel.names {
		if !targets(target, name) {
			continue
		}
		if p.nodes++; p.nodes > maxConditionNodes {
			return nil, fmt.Errorf("condition names more than %d search identifiers", maxConditionNodes)
		}
		e, _ := p.sel.get(name) // names and exprs hold the same names
		kids = append(kids, e)
	}
	if len(kids) == 0 {
		return nil, fmt.Errorf("condition: no search identifier is named like %q", target)
	}
	return join(op, kids), nil
}

// targets reports whether a name is meant by `them` or a pattern. Names that
// start with an underscore are left out unless the pattern spells it.
func targets(pattern, name string) bool {
	if strings.HasPrefix(name, "_") && !strings.HasPrefix(pattern, "_") {
		return false
	}
	if strings.EqualFold(pattern, "them") {
		return true
	}
	return matchStars(strings.Split(pattern, "*"), name)
}

// matchStars matches a name with a pattern that was split at its stars.
func matchStars(parts []string, name string) bool {
	if len(parts) == 1 {
		return parts[0] == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	return !slices.ContainsFunc(parts[1:len(parts)-1], func(part string) bool {
		i := strings.Index(name, part)
		if i >= 0 {
			name = name[i+len(part):]
		}
		return i < 0
	})
}
