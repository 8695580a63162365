package conventions

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// PackageDocs checks that every package says what it owns.
func PackageDocs(t *Tree) []Problem {
	documented := map[string]bool{}
	for _, file := range t.Go {
		if file.Test || file.Generated {
			continue
		}
		doc := file.Syntax.Doc.Text()
		want := "Package " + file.Syntax.Name.Name + " "
		if file.Syntax.Name.Name == "main" {
			want = "Command "
		}
		documented[file.Folder] = documented[file.Folder] || strings.HasPrefix(doc, want)
	}
	var found []Problem
	for _, folder := range slices.Sorted(maps.Keys(documented)) {
		if !documented[folder] {
			found = append(found, Problem{folder, 0, "the package has no doc comment that says what it owns"})
		}
	}
	return found
}

// meaningless are package names that tell nothing of what is inside.
var meaningless = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "misc", "shared"}

// PackageNames checks that no package is named after nothing.
func PackageNames(t *Tree) []Problem {
	var found []Problem
	for _, file := range t.Go {
		if slices.Contains(meaningless, strings.TrimSuffix(file.Syntax.Name.Name, "_test")) {
			found = append(found, Problem{file.Path, t.line(file.Syntax.Name.Pos()), "a package is named after what it owns, not " + file.Syntax.Name.Name})
		}
	}
	return found
}

// NoRootGo checks that the root holds no Go file.
func NoRootGo(t *Tree) []Problem {
	var found []Problem
	for _, file := range t.Go {
		if file.Folder == "." {
			found = append(found, Problem{file.Path, 0, "the root holds no Go file"})
		}
	}
	return found
}

// NoInit checks that importing a package does nothing.
func NoInit(t *Tree) []Problem {
	var found []Problem
	for _, file := range t.Go {
		if file.Generated {
			continue
		}
		for _, decl := range file.Syntax.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
				found = append(found, Problem{file.Path, t.line(function.Pos()), "importing a package does nothing: no init"})
			}
		}
	}
	return found
}

// clockless are the packages whose clock is a field: what they decide can be
// decided again for any moment.
var clockless = []string{
	"proto", "agent/evtx", "agent/winevent", "agent/filter", "agent/internal/spool", "agent/internal/pipeline",
	"server/internal/assay", "server/internal/rule", "server/internal/evaluate", "server/internal/framework",
	"server/internal/ledger", "server/internal/project", "server/internal/ca",
}

// ClockIsAField checks that logic never reads the machine's clock.
func ClockIsAField(t *Tree) []Problem {
	var found []Problem
	for _, file := range t.Go {
		if file.Test || file.Generated || !within(file.Folder, clockless...) || file.Syntax.Name.Name == "main" {
			continue
		}
		for _, use := range t.uses(file, "time", "Now", "Since", "Until") {
			found = append(found, Problem{file.Path, use.line, "the clock is a field, not time." + use.name})
		}
	}
	return found
}

// NoSleepInTests checks that tests wait for signals, not for time to pass. In
// the bubble of synctest.Test time is made up and sleeping moves it on.
func NoSleepInTests(t *Tree) []Problem {
	var found []Problem
	for _, file := range t.Go {
		if !file.Test {
			continue
		}
		bubbles := calls(file, "testing/synctest", "Test")
		for _, use := range t.uses(file, "time", "Sleep") {
			inBubble := func(call *ast.CallExpr) bool { return call.Pos() <= use.at && use.at < call.End() }
			if !slices.ContainsFunc(bubbles, inBubble) {
				found = append(found, Problem{file.Path, use.line, "a test waits for a signal: no time.Sleep"})
			}
		}
	}
	return found
}

// calls finds the calls of a function of an imported package.
func calls(file *GoFile, imported, name string) []*ast.CallExpr {
	local := localName(file.Syntax, imported)
	var found []*ast.CallExpr
	ast.Inspect(file.Syntax, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && local != "" && isQualified(call.Fun, local, name) {
			found = append(found, call)
		}
		return true
	})
	return found
}

type use struct {
	name string
	at   token.Pos
	line int
}

// uses finds where file names one of the given things of an imported package.
func (t *Tree) uses(file *GoFile, imported string, names ...string) []use {
	local := localName(file.Syntax, imported)
	if local == "" {
		return nil
	}
	var found []use
	ast.Inspect(file.Syntax, func(n ast.Node) bool {
		if expr, ok := n.(ast.Expr); ok && isQualified(expr, local, names...) {
			found = append(found, use{expr.(*ast.SelectorExpr).Sel.Name, expr.Pos(), t.line(expr.Pos())})
		}
		return true
	})
	return found
}

// isQualified says whether expr is local.NAME for one of names.
func isQualified(expr ast.Expr, local string, names ...string) bool {
	selector, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && of.Name == local && slices.Contains(names, selector.Sel.Name)
}

// localName is what a file calls a package whose name is the last part of its
// path, "" if it does not import it.
func localName(file *ast.File, imported string) string {
	for _, spec := range file.Imports {
		if spec.Path.Value == strconv.Quote(imported) {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(imported)
		}
	}
	return ""
}

var statement = regexp.MustCompile(`(?is)^\s*(select\s.+\sfrom\s|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|` +
	`(create|alter|drop)\s+(table|database|index|role|view|materialized|schema|type|function)\s|truncate\s|copy\s+\S+\s*\(|with\s+\S+\s+as\s*\()`)

// SQLInPostgres checks that the server speaks SQL in one package only. What the
// agent asks of osquery is not meant, nor what tests and the benchmark look at.
func SQLInPostgres(t *Tree) []Problem {
	var found []Problem
	for _, file := range t.Go {
		if file.Test || file.Generated || !within(file.Folder, "server") || within(file.Folder, "server/internal/postgres", "server/internal/pgtest", "server/internal/bench") {
			continue
		}
		ast.Inspect(file.Syntax, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err == nil && statement.MatchString(text) {
				found = append(found, Problem{file.Path, t.line(literal.Pos()), "SQL stops in package postgres"})
			}
			return true
		})
	}
	return found
}
