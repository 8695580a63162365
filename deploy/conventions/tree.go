// Package conventions owns the rules of the house that a program can check:
// which package may know which, where SQL and protobuf messages stop, how files
// look. It reads source as text and syntax, and never builds or runs it; what
// linters already find is theirs.
package conventions

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the repository's root.
const Module = "github.com/assay-audit/assay"

// Tree is the repository's source.
type Tree struct {
	files  fs.FS
	Go     []*GoFile
	Others []string // every other file with a known ending, by path
	fset   *token.FileSet
}

// GoFile is one Go file.
type GoFile struct {
	Path      string // from the root, with slashes
	Folder    string // the package's folder from the root, "." for the root
	Test      bool
	Generated bool
	Syntax    *ast.File
	Lines     int
}

// Problem is one breach of a convention.
type Problem struct {
	Path string
	Line int // 0 when it is about the whole file or folder
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.Path + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
}

// skipped are folders without source of ours.
func skipped(at string) bool {
	name := path.Base(at)
	return name == "node_modules" || name == "testdata" || at == "bin" || at == "web/dist" || at == "web/src/gen" ||
		(strings.HasPrefix(name, ".") && at != "." && at != ".ci")
}

// others are the endings, besides .go, of files that conventions speak of.
var others = []string{".c", ".cpp", ".css", ".h", ".inf", ".js", ".mjs", ".proto", ".sh", ".sql", ".ts", ".tsx", ".yaml", ".yml"}

// Load reads the tree at the root of files.
func Load(files fs.FS) (*Tree, error) {
	tree := &Tree{files: files, fset: token.NewFileSet()}
	err := fs.WalkDir(files, ".", func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(at):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		case path.Ext(at) == ".go":
			return tree.addGo(at)
		case slices.Contains(others, path.Ext(at)), path.Base(at) == "Makefile":
			tree.Others = append(tree.Others, at)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the source: %w", err)
	}
	return tree, nil
}

func (t *Tree) addGo(at string) error {
	source, err := fs.ReadFile(t.files, at)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(t.fset, at, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.Go = append(t.Go, &GoFile{
		Path:      at,
		Folder:    path.Dir(at),
		Test:      strings.HasSuffix(at, "_test.go"),
		Generated: ast.IsGenerated(syntax),
		Syntax:    syntax,
		Lines:     lines(source),
	})
	return nil
}

// Check runs every convention and gives the problems in order of place.
func (t *Tree) Check() ([]Problem, error) {
	var found []Problem
	for _, check := range []func(*Tree) []Problem{
		ImportDirection, Pure, Confined, PackageDocs, PackageNames, NoRootGo, NoInit, ClockIsAField, NoSleepInTests, SQLInPostgres,
	} {
		found = append(found, check(t)...)
	}
	for _, check := range []func(*Tree) ([]Problem, error){FileLength, NothingLeftOpen, Migrations} {
		problems, err := check(t)
		if err != nil {
			return nil, err
		}
		found = append(found, problems...)
	}
	slices.SortFunc(found, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), a.Line-b.Line, strings.Compare(a.Text, b.Text))
	})
	return found, nil
}

func (t *Tree) line(at token.Pos) int { return t.fset.Position(at).Line }

// imports calls visit for every import of the given files.
func (t *Tree) imports(want func(*GoFile) bool, visit func(file *GoFile, imported string, line int)) {
	for _, file := range t.Go {
		if !want(file) {
			continue
		}
		for _, spec := range file.Syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser has unquoted it before
			}
			visit(file, imported, t.line(spec.Pos()))
		}
	}
}

// within says whether folder is one of roots or below one.
func within(folder string, roots ...string) bool {
	for _, root := range roots {
		if folder == root || strings.HasPrefix(folder, root+"/") {
			return true
		}
	}
	return false
}

// internal is the folder of an imported package of this module.
func internal(imported string) (folder string, ok bool) {
	return strings.CutPrefix(imported, Module+"/")
}

func lines(text []byte) int {
	n := strings.Count(string(text), "\n")
	if len(text) > 0 && text[len(text)-1] != '\n' {
		n++
	}
	return n
}
