// Command lint is the project's vet tool: `go vet -vettool=bin/tools/lint ./...`
// runs the analyzers below over packages and their tests. It owns how they are
// set up; what staticcheck and go vet find is theirs to say. There is no way to
// silence it in the code: an error that is meant to be dropped is assigned to _.
package main

import (
	"go/ast"
	"go/token"
	"strings"

	"github.com/kisielk/errcheck/errcheck"
	"github.com/nishanths/exhaustive/passes/exhaustive"
	"github.com/polyfloyd/go-errorlint/errorlint"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"go-simpler.org/sloglint"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	// Switches over an enumeration of ours name all of it; a default case says
	// that the rest was thought of.
	must(exhaustive.Analyzer.Flags.Set("check", "switch"))
	must(exhaustive.Analyzer.Flags.Set("d", "true"))
	must(exhaustive.Analyzer.Flags.Set("typeonly", `^github\.com/assay-audit/assay/`))

	analyzers := []*analysis.Analyzer{
		only(errcheck.Analyzer, uncheckedError),
		only(exhaustive.Analyzer, handWritten),
		only(errorlint.NewAnalyzer(), handWritten),
		only(sloglint.New(&sloglint.Options{
			NoGlobalLogger:   "all",
			StaticMessage:    true,
			NoMixedArguments: true,
			KeyNamingCase:    "snake",
			ForbiddenKeys:    []string{"time", "level", "msg", "source"},
		}), handWritten),
		only(bodyclose.Analyzer, handWritten),
		only(nilness.Analyzer, handWritten),
		only(unusedwrite.Analyzer, handWritten),
	}
	unitchecker.Main(analyzers...)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// only is analyzer, reporting just what keep keeps.
func only(analyzer *analysis.Analyzer, keep func(*analysis.Pass, *ast.File, token.Pos) bool) *analysis.Analyzer {
	inner := analyzer.Run
	narrowed := *analyzer
	narrowed.Run = func(pass *analysis.Pass) (any, error) {
		filtered := *pass
		filtered.Report = func(d analysis.Diagnostic) {
			if file := fileOf(pass, d.Pos); file == nil || keep(pass, file, d.Pos) {
				pass.Report(d)
			}
		}
		return inner(&filtered)
	}
	return &narrowed
}

func fileOf(pass *analysis.Pass, pos token.Pos) *ast.File {
	for _, file := range pass.Files {
		if file.FileStart <= pos && pos <= file.FileEnd {
			return file
		}
	}
	return nil
}

func handWritten(_ *analysis.Pass, file *ast.File, _ token.Pos) bool {
	return !ast.IsGenerated(file)
}

// uncheckedError keeps what errcheck finds outside tests, but for two habits:
// `defer x.Close()` at the usual ending of something read or rolled back, and
// printing, where a failure has nowhere to be told.
func uncheckedError(pass *analysis.Pass, file *ast.File, pos token.Pos) bool {
	name := pass.Fset.Position(pos).Filename
	return handWritten(pass, file, pos) && !strings.HasSuffix(name, "_test.go") && !habit(file, pos)
}

func habit(file *ast.File, pos token.Pos) bool {
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil || pos < n.Pos() || n.End() < pos {
			return false
		}
		switch n := n.(type) {
		case *ast.DeferStmt:
			name := called(n.Call)
			found = found || name == "Close" || name == "Rollback"
		case *ast.CallExpr:
			function, ok := n.Fun.(*ast.SelectorExpr)
			found = found || ok && isName(function.X, "fmt") && strings.HasPrefix(called(n), "Fprint")
		}
		return true
	})
	return found
}

// called is the last part of the name of what is called: Close in x.y.Close().
func called(call *ast.CallExpr) string {
	if function, ok := call.Fun.(*ast.SelectorExpr); ok {
		return function.Sel.Name
	}
	return ""
}

func isName(expr ast.Expr, name string) bool {
	id, ok := expr.(*ast.Ident)
	return ok && id.Name == name
}
