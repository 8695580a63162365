package rule

// exprOp is an operator of a rule's boolean tree.
type exprOp uint8

const (
	opAnd exprOp = iota
	opOr
	opNot
	opAtom
	// opSelection names the search identifier its one kid belongs to.
	opSelection
)

// expr is a rule's boolean tree before fields are bound to a log source.
type expr struct {
	op   exprOp
	kids []*expr
	atom *atom
	name string
}

// join makes an AND or OR, without a level for a single kid.
func join(op exprOp, kids []*expr) *expr {
	if len(kids) == 1 {
		return kids[0]
	}
	return &expr{op: op, kids: kids}
}
