package framework

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"
)

// SigmaSelector is a selector as the rule engine compiles it. Its rule is named
// Check + "/" + Selector.
type SigmaSelector struct {
	Check     string
	Selector  string
	SigmaYAML []byte
	Keep      []string
}

// Name is the rule's name: "check/selector".
func (s *SigmaSelector) Name() string { return s.Check + "/" + s.Selector }

// maxKeep bounds the fields that one hit may keep.
const maxKeep = 24

func (b *builder) selectorList() {
	for i, f := range b.file.Selectors {
		path := at("selectors", i)
		if !nameForm.MatchString(f.Name) || slices.Contains(b.selectors, f.Name) {
			b.problem(path, "selector name %q is malformed or doubled", f.Name)
		}
		if f.Title == "" || f.Logsource.Kind != yaml.MappingNode || f.Detection.Kind != yaml.MappingNode {
			b.problem(path, "selector %s needs title, logsource and detection", f.Name)
			continue
		}
		if len(f.Keep) > maxKeep {
			b.problem(path, "selector %s keeps more than %d fields", f.Name, maxKeep)
		}
		sigma, err := sigmaDocument(b.file.ID, &f)
		if err != nil {
			b.problem(path, "writing the rule of selector %s: %w", f.Name, err)
			continue
		}
		b.selectors = append(b.selectors, f.Name)
		b.check.Selectors = append(b.check.Selectors, Selector{Name: f.Name, Keep: f.Keep, Sigma: sigma})
		for _, field := range f.Keep {
			if strings.ContainsAny(field, "{}") || field == "" {
				b.problem(path, "selector %s keeps the malformed field %q", f.Name, field)
			}
			if !slices.Contains(b.keep, field) {
				b.keep = append(b.keep, field)
			}
		}
	}
}

// sigmaDocument writes the whole Sigma rule of a selector. Its id is computed
// from its name, so that hits of one selector carry one id on every machine.
func sigmaDocument(check string, f *selectorFile) ([]byte, error) {
	name := check + "/" + f.Name
	rule := struct {
		Title     string    `yaml:"title"`
		ID        string    `yaml:"id"`
		Name      string    `yaml:"name"`
		Status    string    `yaml:"status"`
		Logsource yaml.Node `yaml:"logsource"`
		Detection yaml.Node `yaml:"detection"`
	}{f.Title, selectorID(name), name, "stable", f.Logsource, f.Detection}
	return yaml.Marshal(&rule)
}

func selectorID(name string) string {
	sum := sha256.Sum256([]byte("assay/selector/v1\x00" + name))
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprint(id)
}
