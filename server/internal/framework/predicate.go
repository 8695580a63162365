package framework

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
)

// Bounds on one expression. The cost is CEL's own unit; the shipped checks
// stay under a thousand.
const (
	maxExpression = 4096
	maxCost       = 100_000
)

// Row is what an expression sees.
type Row struct {
	Fields     map[string]string // f: kept fields; absent ones read as ""
	Parameters Values            // p
	Host       map[string]any    // host: kind, tags, os, expected_on
}

// Expression is a compiled CEL expression. It may be used by many goroutines.
type Expression struct {
	source  string
	program cel.Program
}

// String is the expression's source.
func (e *Expression) String() string { return e.source }

// compiler makes expressions for one check: it knows which names exist.
type compiler struct {
	env        *cel.Env
	fields     []string
	parameters []string
}

// hostNames are the keys of Row.Host.
var hostNames = []string{"kind", "tags", "os", "expected_on"}

func newCompiler(fields, parameters []string) (*compiler, error) {
	env, err := cel.NewEnv(
		cel.Variable("f", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("p", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("host", cel.MapType(cel.StringType, cel.DynType)),
		ext.Strings(),
	)
	if err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	return &compiler{env: env, fields: fields, parameters: parameters}, nil
}

// compile reads an expression of the wanted type; an empty one is nil.
func (c *compiler) compile(source string, want *cel.Type) (*Expression, error) {
	if source == "" {
		return nil, nil
	}
	if len(source) > maxExpression {
		return nil, fmt.Errorf("expression is longer than %d bytes", maxExpression)
	}
	checked, issues := c.env.Compile(source)
	if issues.Err() != nil {
		return nil, fmt.Errorf("compiling %q: %w", source, issues.Err())
	}
	if got := checked.OutputType(); !got.IsExactType(want) && !got.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("expression %q is a %s, want a %s", source, got, want)
	}
	if err := c.checkNames(checked.NativeRep().Expr()); err != nil {
		return nil, fmt.Errorf("expression %q: %w", source, err)
	}
	program, err := c.env.Program(checked, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("planning %q: %w", source, err)
	}
	return &Expression{source: source, program: program}, nil
}

// checkNames refuses a key that the rows will not have: a misspelt field would
// otherwise read as empty for ever.
func (c *compiler) checkNames(root ast.Expr) error {
	known := map[string][]string{"f": c.fields, "p": c.parameters, "host": hostNames}
	var err error
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		variable, key := "", ""
		switch {
		case e.Kind() == ast.SelectKind && e.AsSelect().Operand().Kind() == ast.IdentKind:
			variable, key = e.AsSelect().Operand().AsIdent(), e.AsSelect().FieldName()
		case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "_[_]" && len(e.AsCall().Args()) == 2 &&
			e.AsCall().Args()[0].Kind() == ast.IdentKind && e.AsCall().Args()[1].Kind() == ast.LiteralKind:
			variable = e.AsCall().Args()[0].AsIdent()
			key, _ = e.AsCall().Args()[1].AsLiteral().Value().(string)
		}
		if names, watched := known[variable]; watched && !slices.Contains(names, key) && err == nil {
			err = fmt.Errorf("%s has no %q, only %s", variable, key, strings.Join(names, ", "))
		}
	}))
	return err
}

// ErrExpression is wrapped by every failure to evaluate.
var ErrExpression = errors.New("expression failed")

// ResolveName gives a variable of the row to CEL.
func (r *Row) ResolveName(name string) (any, bool) {
	switch name {
	case "f":
		return fieldsVal{types.NewStringStringMap(types.DefaultTypeAdapter, r.Fields)}, true
	case "p":
		return map[string]any(r.Parameters), true
	case "host":
		return r.Host, true
	}
	return nil, false
}

// Parent is nil: a row stands alone.
func (r *Row) Parent() cel.Activation { return nil }

func (e *Expression) eval(row Row) (ref.Val, error) {
	value, _, err := e.program.Eval(&row)
	if err != nil {
		return nil, fmt.Errorf("evaluating %q: %w: %w", e.source, ErrExpression, err)
	}
	return value, nil
}

// Bool evaluates a predicate. A nil expression is true.
func (e *Expression) Bool(row Row) (bool, error) {
	if e == nil {
		return true, nil
	}
	value, err := e.eval(row)
	if err != nil {
		return false, err
	}
	b, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("evaluating %q: %w: it is not a bool", e.source, ErrExpression)
	}
	return b, nil
}

// Text evaluates an expression for a string.
func (e *Expression) Text(row Row) (string, error) {
	value, err := e.eval(row)
	if err != nil {
		return "", err
	}
	s, ok := value.Value().(string)
	if !ok {
		return "", fmt.Errorf("evaluating %q: %w: it is not a string", e.source, ErrExpression)
	}
	return s, nil
}

// Duration evaluates an expression for a duration.
func (e *Expression) Duration(row Row) (time.Duration, error) {
	value, err := e.eval(row)
	if err != nil {
		return 0, err
	}
	d, ok := value.Value().(time.Duration)
	if !ok {
		return 0, fmt.Errorf("evaluating %q: %w: it is not a duration", e.source, ErrExpression)
	}
	return d, nil
}

// fieldsVal is a map in which every key exists: an event that lacks a field
// reads as one that has it empty, as Windows itself writes both.
type fieldsVal struct{ traits.Mapper }

// Find implements traits.Mapper.
func (m fieldsVal) Find(key ref.Val) (ref.Val, bool) {
	if value, found := m.Mapper.Find(key); found {
		return value, true
	}
	return types.String(""), true
}

// Get implements traits.Indexer.
func (m fieldsVal) Get(key ref.Val) ref.Val {
	value, _ := m.Find(key)
	return value
}
