package pack

import (
	"testing"

	"github.com/assay-audit/assay/server/internal/rule"
)

func event(channel, provider string, id uint32, data ...string) *rule.FieldsEvent {
	e := &rule.FieldsEvent{ProviderName: provider, ChannelName: channel, ID: id}
	for i := 0; i+1 < len(data); i += 2 {
		e.Data = append(e.Data, rule.Field{Name: data[i], Value: data[i+1]})
	}
	return e
}

func sysmon(image, parent, command string) *rule.FieldsEvent {
	return event("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon", 1, "Image", image, "ParentImage", parent, "CommandLine", command, "User", `CORP\ann`)
}

func TestBuiltinRules(t *testing.T) {
	t.Parallel()
	sources, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	set, problems := rule.Compile(sources, rule.Config{})
	for _, p := range problems {
		t.Error(p)
	}
	for _, r := range set.Rules() {
		if r.ID == "" || r.Level == "" || len(r.Tags) == 0 || len(r.FalsePositives) == 0 || r.License != "Apache-2.0" {
			t.Errorf("%s lacks an id, a level, tags, known benign causes or its licence", r.Source)
		}
	}
	all := cases()
	for _, r := range set.Rules() {
		if _, ok := all[r.Name]; !ok && r.Correlation == nil {
			t.Errorf("%s has no case", r.Name)
		}
	}
	for name, c := range all {
		matched := func(e *rule.FieldsEvent) bool {
			for _, m := range set.Match(e, new(rule.Scratch)) {
				if m.Rule.Name == name {
					return true
				}
			}
			return false
		}
		if !matched(c.hit) {
			t.Errorf("%s does not match what it is for", name)
		}
		if matched(c.miss) {
			t.Errorf("%s matches a look-alike", name)
		}
	}
}
