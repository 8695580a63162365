package rule

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestPublicRulesParseOrSayWhy(t *testing.T) {
	t.Parallel()
	sources := publicRules(t)
	s, problems := Compile(sources, publicConfig())
	foreign := 0
	for _, p := range problems {
		if p.Source == "" || p.Line == 0 || p.RuleID == "" || p.Reason == "" {
			t.Errorf("problem lacks file, line, rule or reason: %+v", p)
		}
		if p.Foreign {
			foreign++
			if strings.Contains(p.Reason, "windows") {
				t.Errorf("a Windows rule has no log source: %s", p)
			}
			continue
		}
		t.Errorf("refused: %s", p)
	}
	t.Logf("%d files: %d rules, %d of other products", len(sources), len(s.Rules()), foreign)
	if len(s.Rules())+foreign != len(sources) {
		t.Errorf("%d rules and %d foreign ones of %d files", len(s.Rules()), foreign, len(sources))
	}
}

// TestRegressionCases checks that each public positive case is found by the
// rule it was recorded for.
func TestRegressionCases(t *testing.T) {
	t.Parallel()
	s := compilePublic(t)
	type regression struct {
		ID    string `yaml:"-"`
		Rules []struct {
			ID string `yaml:"id"`
		} `yaml:"rule_metadata"`
		Tests []struct {
			Type  string `yaml:"type"`
			Path  string `yaml:"path"`
			Count int    `yaml:"match_count"`
		} `yaml:"regression_tests_info"`
	}
	files, infos := map[string][]byte{}, map[string]regression{}
	untar(t, corpusFile(t, "sigma/regression-public.tar.gz"), func(name string, data []byte) {
		if path.Base(name) != "info.yml" {
			files[path.Base(name)] = data
			return
		}
		var info regression
		if err := yaml.Unmarshal(data, &info); err != nil {
			t.Fatalf("%s: %s", name, err)
		}
		infos[name] = info
	})
	sc, cases := new(Scratch), 0
	for name, info := range infos {
		for _, c := range info.Tests {
			if c.Type != "evtx" {
				continue
			}
			cases++
			found := 0
			for _, r := range readEVTX(t, files[path.Base(c.Path)]) {
				for _, m := range s.Match(r.event, sc) {
					if m.Rule.ID == info.Rules[0].ID {
						found++
					}
				}
			}
			if found < max(c.Count, 1) {
				t.Errorf("%s: %d matches of %s, want %d", name, found, info.Rules[0].ID, max(c.Count, 1))
			}
		}
	}
	t.Logf("%d cases", cases)
	if cases < 90 {
		t.Errorf("only %d cases were read", cases)
	}
}

// difference is a known difference from the golden matches: how many records of
// a file match a rule here only, or there only, and why.
type difference struct {
	file, rule   string
	extra, fewer int
	reason       string
}

const (
	reasonChannel = "the cleared log's name is the field Channel of the event's data; the record itself is in the channel System, " +
		"where the golden engine no longer looked for it since the field had replaced the channel"
	reasonSpaces    = "a field called Threat Name answers to ThreatName, as the specification says of spaces"
	reasonBraces    = "Windows prints a GUID with braces, as the rule writes it; the golden engine's reader dropped them"
	reasonTruncated = "the file is cut; its last chunk, which the golden engine's reader left out, is salvaged"
)

var goldenDifferences = []difference{
	{"ID104-1102-Event_log_cleared.evtx", "a62b37e0-45d3-48d9-a517-90c1a1b0186b", 89, 0, reasonChannel},
	{"omerbenamram-system.evtx", "100ef69e-3327-481c-8e5c-6d80d9507556", 2, 0, reasonChannel},
	{"ID1116-1117-Defender_threat_detected.evtx", "06d71506-7beb-4f22-8888-e2e5e2ca7fd8", 2, 0, reasonSpaces},
	{"ID1116-1117-Defender_threat_detected.evtx", "78cc2dd2-7d20-4d32-93ff-057084c38b93", 3, 0, reasonSpaces},
	{"ID1116-1117-Defender_threat_detected.evtx", "fa0c05b6-8ad3-468d-8231-c1cbccb64fba", 5, 0, reasonSpaces},
	{"ID4719-Audit_policy_deactivation.evtx", "ab4561b1-6c7e-48a7-ad08-087cfb9ce8f1", 13, 0, reasonBraces},
	{"ID4719-Audit_policy_deactivation.evtx", "69aeb277-f15f-4d2d-b32a-55e883609563", 0, 13, reasonBraces},
	{"log2timeline-System2.evtx", "0badd08f-c6a3-4630-90d3-6875cca440be", 7, 0, reasonTruncated},
	{"log2timeline-System2.evtx", "e9faba72-4974-4ab2-a4c5-46e25ad59e9b", 4, 0, reasonTruncated},
}

// TestGoldenMatches compares the matches over the public event logs with those
// an independent engine found. The specification is the judge of differences.
func TestGoldenMatches(t *testing.T) {
	t.Parallel()
	s := compilePublic(t)
	type key struct{ file, rule string }
	golden, found := map[string]key{}, map[string]key{}
	for line := range strings.Lines(string(corpusFile(t, "sigma/golden-matches.tsv"))) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 && !strings.HasPrefix(line, "#") {
			golden[strings.TrimSpace(line)] = key{path.Base(f[0]), f[2]}
		}
	}
	sc, records := new(Scratch), 0
	for file, rs := range corpusRecords(t) {
		for _, r := range rs {
			records++
			for _, m := range s.Match(r.event, sc) {
				found[fmt.Sprintf("%s\t%d\t%s", file, r.number, m.Rule.ID)] = key{path.Base(file), m.Rule.ID}
			}
		}
	}
	got := map[key][2]int{}
	count := func(from, other map[string]key, side int) {
		for m, k := range from {
			if _, both := other[m]; !both {
				c := got[k]
				c[side]++
				got[k] = c
			}
		}
	}
	count(found, golden, 0)
	count(golden, found, 1)
	for _, d := range goldenDifferences {
		k := key{d.file, d.rule}
		if got[k] != [2]int{d.extra, d.fewer} {
			t.Errorf("%s, rule %s: %d extra and %d fewer matches, want %d and %d: %s", d.file, d.rule, got[k][0], got[k][1], d.extra, d.fewer, d.reason)
		}
		delete(got, k)
	}
	for k, c := range got {
		t.Errorf("%s, rule %s: %d extra and %d fewer matches, unexplained", k.file, k.rule, c[0], c[1])
	}
	t.Logf("%d records, %d matches, %d golden", records, len(found), len(golden))
	if len(golden) < 600 || records < 16000 {
		t.Errorf("only %d golden matches or %d records were read", len(golden), records)
	}
}
