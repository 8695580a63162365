package conventions

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxLines is how long a file may be before it is two files.
const maxLines = 450

// long are the endings of files that are read as code and so must be short.
var long = []string{".c", ".cpp", ".h", ".js", ".mjs", ".ts", ".tsx"}

// FileLength checks that no file of code is too long to be read at one sitting.
func FileLength(t *Tree) ([]Problem, error) {
	var found []Problem
	tooLong := func(at string, n int) {
		if n > maxLines {
			found = append(found, Problem{at, 0, fmt.Sprintf("%d lines, more than %d: split it by what its parts own", n, maxLines)})
		}
	}
	for _, file := range t.Go {
		if !file.Generated {
			tooLong(file.Path, file.Lines)
		}
	}
	for _, at := range t.Others {
		if !slices.Contains(long, path.Ext(at)) {
			continue
		}
		text, err := fs.ReadFile(t.files, at)
		if err != nil {
			return nil, err
		}
		tooLong(at, lines(text))
	}
	return found, nil
}

// The words are put together here so that this file does not hold them.
var leftOpen = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b(\(#\d+\))?`)

// NothingLeftOpen checks that what is left to do has a number where it is kept.
func NothingLeftOpen(t *Tree) ([]Problem, error) {
	all := slices.Clone(t.Others)
	for _, file := range t.Go {
		if !file.Generated {
			all = append(all, file.Path)
		}
	}
	var found []Problem
	for _, at := range all {
		text, err := fs.ReadFile(t.files, at)
		if err != nil {
			return nil, err
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			for _, match := range leftOpen.FindAllStringSubmatch(line, -1) {
				if match[2] == "" {
					found = append(found, Problem{at, n, "something is left open without a number: " + match[1]})
				}
			}
		}
	}
	return found, nil
}

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

// Migrations checks that the schema's steps are numbered without gaps and only
// ever go forward.
func Migrations(t *Tree) ([]Problem, error) {
	names, err := fs.Glob(t.files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var found []Problem
	for i, at := range names {
		name := migrationName.FindStringSubmatch(path.Base(at))
		if name == nil || name[1] != fmt.Sprintf("%04d", i+1) {
			found = append(found, Problem{at, 0, fmt.Sprintf("a migration is named NNNN_what.sql, and this one's number is %04d", i+1)})
		}
		text, err := fs.ReadFile(t.files, at)
		if err != nil {
			return nil, err
		}
		if !strings.Contains(string(text), "-- +goose Up\n") {
			found = append(found, Problem{at, 0, "a migration holds `-- +goose Up`"})
		}
		if strings.Contains(string(text), "-- +goose Down") {
			found = append(found, Problem{at, 0, "migrations only go forward"})
		}
	}
	return found, nil
}
