package framework

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/assay-audit/assay/server/internal/assay"
)

//go:embed packs/*.yaml checks/*.yaml
var shipped embed.FS

// maxFile bounds one YAML file.
const maxFile = 256 << 10

// Library is a set of packs and checks that agree with each other. It is
// immutable and may be shared.
type Library struct {
	frameworks []assay.Framework // by id
	checks     []*Check          // by id
	byID       map[string]*Check
}

// Load reads the packs and checks that are built into the program.
func Load() (*Library, error) { return LoadFS(shipped) }

// LoadFS reads packs/*.yaml and checks/*.yaml. Every problem of every file is
// reported, as file:line: reason.
func LoadFS(files fs.FS) (*Library, error) {
	l := &Library{byID: map[string]*Check{}}
	var problems []error
	for _, kind := range []string{"checks", "packs"} {
		names, err := fs.Glob(files, kind+"/*.yaml")
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", kind, err)
		}
		for _, name := range names {
			if err := l.add(files, kind, name); err != nil {
				problems = append(problems, locate(name, err))
			}
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("loading checks and packs: %w", err)
	}
	slices.SortFunc(l.checks, func(a, b *Check) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(l.frameworks, func(a, b assay.Framework) int {
		return strings.Compare(a.ID+"@"+a.Version, b.ID+"@"+b.Version)
	})
	return l, nil
}

func (l *Library) add(files fs.FS, kind, name string) error {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if len(data) > maxFile {
		return fmt.Errorf("file is larger than %d bytes", maxFile)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	if len(doc.Content) == 0 {
		return errors.New("file is empty")
	}
	if kind == "packs" {
		return l.addPack(data, doc.Content[0])
	}
	return l.addCheck(data, doc.Content[0], strings.TrimSuffix(strings.TrimPrefix(name, "checks/"), ".yaml"))
}

// strict decodes one document and refuses keys that the shape does not have.
func strict(data []byte, shape any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	return decoder.Decode(shape)
}

func (l *Library) addCheck(data []byte, root *yaml.Node, base string) error {
	var file checkFile
	if err := strict(data, &file); err != nil {
		return err
	}
	check, err := compileCheck(&file, root)
	if err != nil {
		return err
	}
	if check.ID != base {
		return &lineError{lineOf(root, at("id")), fmt.Errorf("id %q does not agree with the file's name", check.ID)}
	}
	if check.Digest, err = digest("check", root); err != nil {
		return err
	}
	l.checks = append(l.checks, check)
	l.byID[check.ID] = check
	return nil
}

var packIDForm = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func (l *Library) addPack(data []byte, root *yaml.Node) error {
	var file packFile
	if err := strict(data, &file); err != nil {
		return err
	}
	pack := assay.Framework{ID: file.ID, Version: file.Version, Title: file.Title}
	if !packIDForm.MatchString(file.ID) || file.Version == "" || file.Title == "" || len(file.Requirements) == 0 {
		return errors.New("a pack needs id, version, title and requirements")
	}
	if slices.ContainsFunc(l.frameworks, func(f assay.Framework) bool { return f.ID == file.ID }) {
		return &lineError{lineOf(root, at("id")), fmt.Errorf("pack %q exists twice", file.ID)}
	}
	var problems []error
	seen := map[string]bool{}
	for i, r := range file.Requirements {
		if err := l.requirement(&r); err != nil || seen[r.ID] {
			problems = append(problems, &lineError{lineOf(root, at("requirements", i)),
				errors.Join(err, doubled(seen[r.ID], r.ID))})
		}
		seen[r.ID] = true
		pack.Requirements = append(pack.Requirements, assay.Requirement{
			ID: r.ID, Title: r.Title, Chapter: r.Chapter, Obligation: assay.Obligation(r.Obligation),
			Ceiling: assay.Ceiling(r.Ceiling), Checks: r.Checks,
		})
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	var err error
	if pack.Digest, err = digest("pack", root); err != nil {
		return err
	}
	l.frameworks = append(l.frameworks, pack)
	return nil
}

func doubled(is bool, id string) error {
	if is {
		return fmt.Errorf("requirement %s exists twice", id)
	}
	return nil
}

func (l *Library) requirement(r *requirementFile) error {
	if r.ID == "" || r.Title == "" || r.Chapter == "" {
		return errors.New("a requirement needs id, title and chapter")
	}
	if r.Obligation != string(assay.Required) && r.Obligation != string(assay.Addressable) {
		return fmt.Errorf("obligation %q is neither required nor addressable", r.Obligation)
	}
	if !assay.Ceiling(r.Ceiling).Valid() {
		return fmt.Errorf("ceiling %q is none of A, P, S, M", r.Ceiling)
	}
	if r.Ceiling == string(assay.ByHand) && len(r.Checks) > 0 {
		return errors.New("a manual requirement cannot have checks")
	}
	for i, id := range r.Checks {
		if l.byID[id] == nil {
			return fmt.Errorf("check %q does not exist", id)
		}
		if slices.Contains(r.Checks[:i], id) {
			return fmt.Errorf("check %q is listed twice", id)
		}
	}
	return nil
}

// Frameworks returns the packs by id. The caller must not change them.
func (l *Library) Frameworks() []assay.Framework { return l.frameworks }

// Checks returns the checks by id. The caller must not change them.
func (l *Library) Checks() []*Check { return l.checks }

// Check returns a check, nil if there is none of that id.
func (l *Library) Check(id string) *Check { return l.byID[id] }

// Selectors returns the selectors of all checks, by check and in the order of
// its file, for the rule engine to compile.
func (l *Library) Selectors() []SigmaSelector {
	var list []SigmaSelector
	for _, c := range l.checks {
		for _, s := range c.Selectors {
			list = append(list, SigmaSelector{Check: c.ID, Selector: s.Name, SigmaYAML: s.Sigma, Keep: s.Keep})
		}
	}
	return list
}

// RequirementsOf names the requirements that a check bears on, as
// "framework requirement".
func (l *Library) RequirementsOf(check string) []string {
	var list []string
	for _, f := range l.frameworks {
		for _, r := range f.Requirements {
			if slices.Contains(r.Checks, check) {
				list = append(list, f.ID+" "+r.ID)
			}
		}
	}
	return list
}
