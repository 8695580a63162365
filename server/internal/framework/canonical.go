package framework

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lineError is a problem with the line that it speaks of, 0 if unknown.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// lineOf follows a path of keys and indexes as far as it exists and returns
// the line where it ends.
func lineOf(n *yaml.Node, path []any) int {
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	if n == nil {
		return 0
	}
	return n.Line
}

func child(n *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case string:
		if n.Kind != yaml.MappingNode {
			return nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	}
	return nil
}

// locate prefixes each of joined errors with file and line.
func locate(file string, err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, locate(file, e))
		}
		return errors.Join(out...)
	}
	var typed *yaml.TypeError
	if errors.As(err, &typed) {
		var out []error
		for _, text := range typed.Errors {
			// "line 7: field kee not found in type framework.checkFile"
			text, _, _ = strings.Cut(text, " in type ")
			text = strings.Replace(text, "field ", "key ", 1)
			out = append(out, errors.New(file+":"+strings.TrimPrefix(text, "line ")))
		}
		return errors.Join(out...)
	}
	var lined *lineError
	if errors.As(err, &lined) && lined.line > 0 {
		return fmt.Errorf("%s:%d: %w", file, lined.line, err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// digest is SHA-256 over the canonical bytes of a file: its YAML as JSON with
// sorted keys. Comments, order of keys and style do not change it.
func digest(kind string, root *yaml.Node) ([32]byte, error) {
	var content any
	if err := root.Decode(&content); err != nil {
		return [32]byte{}, fmt.Errorf("reading for the digest: %w", err)
	}
	canonical, err := json.Marshal(content)
	if err != nil {
		return [32]byte{}, fmt.Errorf("writing canonical bytes: %w", err)
	}
	return sha256.Sum256(append([]byte("assay/"+kind+"/v1\x00"), canonical...)), nil
}
