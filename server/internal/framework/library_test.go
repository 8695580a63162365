package framework

import (
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	library, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(library.Checks()); got != 18 {
		t.Errorf("checks = %d, want 18", got)
	}
	for _, s := range library.Selectors() {
		if !strings.Contains(string(s.SigmaYAML), "name: "+s.Name()) {
			t.Errorf("rule of %s does not name itself:\n%s", s.Name(), s.SigmaYAML)
		}
	}
	t.Log(string(library.Selectors()[0].SigmaYAML))
}
