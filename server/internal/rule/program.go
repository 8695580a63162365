package rule

import (
	"math"
	"slices"
)

// node is a rule's boolean tree bound to a log source: fields are numbers.
type node struct {
	op   exprOp
	kids []node
	atom *atom
	// field is the atom's field.
	field int32
	// refs are the fields that fieldref matchers name, by matcher; nil if none.
	refs []int32
	// selection is the search identifier the atom belongs to.
	selection string
}

// program is a rule as it reads the records of one log source.
type program struct {
	rule *Rule
	root node
	// channels (case-folded) and ids are the records that can match; nil is any.
	channels []string
	ids      []uint32
	// fields maps names of the rule to names of the record.
	fields map[string]string
}

// bindOne makes the program of a rule for one binding, nil if no record can
// satisfy both.
func (c *compiler) bindOne(d *document, b *binding) *program {
	root := c.bindExpr(d.tree, "", b.fields)
	required := requiredIDs(&root)
	if len(required) > maxRuleIDs {
		required = nil // the rule itself still asks for them
	}
	ids := intersect(b.ids, required)
	if ids != nil && len(ids) == 0 {
		return nil
	}
	if b.conditions != nil {
		// The table's own fields are names of the record, so never mapped.
		conditions := c.bindExpr(b.conditions, "", nil)
		root = node{op: opAnd, kids: []node{conditions, root}}
	}
	root.order()
	return &program{rule: d.rule, root: root, channels: b.channels, ids: ids, fields: b.fields}
}

// bindExpr numbers the fields of a tree and drops the selection level. Past the
// bound on nodes it returns a part of the tree; the caller must look.
func (c *compiler) bindExpr(e *expr, selection string, fields map[string]string) node {
	c.nodes++
	switch e.op {
	case opSelection:
		return c.bindExpr(e.kids[0], e.name, fields)
	case opAtom:
		n := node{op: opAtom, atom: e.atom, field: -1, selection: selection}
		if !e.atom.keyword() {
			n.field = c.fieldID(mapped(fields, e.atom.field))
		}
		for i, m := range e.atom.matchers {
			if m.kind != matchRef {
				continue
			}
			if n.refs == nil {
				n.refs = make([]int32, len(e.atom.matchers))
			}
			n.refs[i] = c.fieldID(mapped(fields, m.ref))
		}
		return n
	case opAnd, opOr, opNot:
	}
	n := node{op: e.op, kids: make([]node, 0, len(e.kids))}
	for _, k := range e.kids {
		if c.nodes > maxProgramNodes {
			break
		}
		kid := c.bindExpr(k, selection, fields)
		if kid.op == n.op && n.op != opNot {
			n.kids = append(n.kids, kid.kids...)
		} else {
			n.kids = append(n.kids, kid)
		}
	}
	return n
}

func mapped(fields map[string]string, name string) string {
	if to, ok := fields[name]; ok {
		return to
	}
	return name
}

// requiredIDs returns the event ids a tree allows, nil if it allows any. It may
// return too many and never too few.
func requiredIDs(n *node) []uint32 {
	switch n.op {
	case opAnd:
		var ids []uint32
		for i := range n.kids {
			ids = intersect(ids, requiredIDs(&n.kids[i]))
		}
		return ids
	case opOr:
		ids := []uint32{}
		for i := range n.kids {
			k := requiredIDs(&n.kids[i])
			if k == nil {
				return nil
			}
			ids = append(ids, k...)
		}
		slices.Sort(ids)
		return slices.Compact(ids)
	case opAtom:
		return n.atom.eventIDs()
	case opNot: // all but some
	case opSelection: // bound trees have none
	}
	return nil
}

// eventIDs returns the ids that an atom over EventID allows, nil if it is not a
// plain list of them.
func (a *atom) eventIDs() []uint32 {
	if a.field != fieldEventID || a.negate || a.all && len(a.matchers) > 1 {
		return nil
	}
	ids := []uint32{}
	for _, m := range a.matchers {
		if m.kind != matchText || m.shape != shapeEqual {
			return nil
		}
		n, ok := parseNumber(string(m.text))
		if !ok || !n.integer || n.text() != string(m.text) || n.negative || n.magnitude > math.MaxUint32 {
			continue // no event id reads so: the value allows nothing
		}
		ids = append(ids, uint32(n.magnitude))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// intersect intersects two sets of which nil is everything.
func intersect(a, b []uint32) []uint32 {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	out := []uint32{}
	for _, v := range a {
		if slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}

// order puts the kids of each AND and OR that are cheap to evaluate first and
// returns the cost of the node. Kids have no effects, so order decides only how
// soon the answer is known.
func (n *node) order() int {
	if n.op == opAtom {
		return n.atom.cost()
	}
	costs := make(map[*node]int, len(n.kids))
	sum := 0
	kids := make([]*node, len(n.kids))
	for i := range n.kids {
		kids[i] = &n.kids[i]
		costs[kids[i]] = n.kids[i].order()
		sum += costs[kids[i]]
	}
	slices.SortStableFunc(kids, func(a, b *node) int { return costs[a] - costs[b] })
	sorted := make([]node, len(kids))
	for i, k := range kids {
		sorted[i] = *k
	}
	n.kids = sorted
	return sum
}

// cost is the time an atom takes, roughly in units of a comparison.
func (a *atom) cost() int {
	sum := 0
	for _, m := range a.matchers {
		switch {
		case m.kind == matchRegexp:
			sum += 300
		case m.kind == matchText && m.shape == shapeContains:
			sum += 4
		case m.kind == matchText && m.shape == shapeGlob:
			sum += 8
		case m.kind == matchCIDR || m.kind == matchNumber || m.kind == matchRef:
			sum += 6
		default:
			sum++
		}
		if m.variant != 0 {
			sum += 6 // the form is made for each comparison
		}
	}
	if a.keyword() {
		sum *= 20
	}
	return sum
}
