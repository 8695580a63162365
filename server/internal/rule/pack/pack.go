// Package pack owns the detection rules that come with the server, as Sigma
// YAML. It holds no code of the engine; each rule is written for this product.
package pack

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/assay-audit/assay/server/internal/rule"
)

//go:embed rules
var files embed.FS

// Builtin returns the files of the built-in pack.
func Builtin() ([]rule.Source, error) {
	var sources []rule.Source
	root, err := fs.Sub(files, "rules")
	if err != nil {
		return nil, fmt.Errorf("reading the built-in rules: %w", err)
	}
	err = fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		sources = append(sources, rule.Source{Name: path, Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the built-in rules: %w", err)
	}
	return sources, nil
}
