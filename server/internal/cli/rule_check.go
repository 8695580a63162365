package cli

import (
	"bytes"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/assay-audit/assay/server/internal/rule"
)

// ruleMeaning is what rules mean besides their own text.
type ruleMeaning struct {
	Logsources   []string `help:"Further logsource tables, in the form of SigmaHQ's tests/thor.yml; entries of the same name replace the built-in ones." type:"existingfile" placeholder:"FILE"`
	Placeholders string   `help:"YAML file that maps placeholders (%name% under the modifier expand) to their values." type:"existingfile" placeholder:"FILE"`
}

// maxMeaning bounds a table or a file of placeholders in bytes.
const maxMeaning = 4 << 20

func (m *ruleMeaning) config() (rule.Config, error) {
	var cfg rule.Config
	for _, path := range m.Logsources {
		data, err := readMeaning(path)
		if err != nil {
			return cfg, err
		}
		cfg.Logsources = append(cfg.Logsources, rule.Source{Name: path, Data: data})
	}
	if m.Placeholders == "" {
		return cfg, nil
	}
	data, err := readMeaning(m.Placeholders)
	if err != nil {
		return cfg, err
	}
	if err := yaml.Unmarshal(data, &cfg.Placeholders); err != nil {
		return cfg, fmt.Errorf("%s: it must map names to lists of values: %w", m.Placeholders, err)
	}
	return cfg, nil
}

func readMeaning(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxMeaning {
		err = fmt.Errorf("%s has %d bytes, at most %d", path, info.Size(), maxMeaning)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// readSources reads rules, and leaves out the logsource tables among them.
func readSources(paths []string) ([]rule.Source, error) {
	files, err := readRules(paths)
	if err != nil {
		return nil, err
	}
	sources := make([]rule.Source, 0, len(files))
	for _, f := range files {
		if bytes.HasPrefix(f.Data, []byte("logsources:")) || bytes.Contains(f.Data, []byte("\nlogsources:")) {
			continue // what says where logs are is no rule (--logsources)
		}
		sources = append(sources, rule.Source{Name: f.Path, Data: f.Data})
	}
	return sources, nil
}

type rulesCheckCmd struct {
	ruleMeaning
	Paths []string `arg:"" name:"path" help:"Files, folders and gzipped tars of Sigma YAML." type:"existingpath"`
	JSON  bool     `name:"json" help:"Print JSON."`
}

// Help adds examples to --help.
func (rulesCheckCmd) Help() string {
	return `Every rule is taken, or refused with file, line and reason. Sound rules for logs of other systems are counted and
listed with --json.

Examples:
  assayctl rules check sigma/rules/windows
  assayctl rules check rules.tar.gz --placeholders site.yml --json

Exit codes: 0 all rules are taken, 1 some are refused, 2 the call was wrong.`
}

// checkedProblem is a rule that is not taken, as --json prints it.
type checkedProblem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// checked is what --json prints.
type checked struct {
	Files        int              `json:"files"`
	Rules        int              `json:"rules"`
	Correlations int              `json:"correlations"`
	Refused      []checkedProblem `json:"refused"`
	Foreign      []checkedProblem `json:"of_other_systems"`
	// Unfiltered are rules with no text that a matching event must hold: they are
	// evaluated for each event of their logs.
	Unfiltered int   `json:"without_required_text"`
	TableBytes int   `json:"table_bytes"`
	CompileMS  int64 `json:"compile_ms"`
}

// Run checks rules.
func (c *rulesCheckCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	sources, err := readSources(c.Paths)
	if err != nil {
		return err
	}
	began := e.now()
	set, problems := rule.Compile(sources, cfg)
	stats := set.Stats()
	result := checked{Files: len(sources), Refused: []checkedProblem{}, Foreign: []checkedProblem{}, Unfiltered: stats.Unfiltered,
		TableBytes: stats.TableBytes, CompileMS: e.now().Sub(began).Milliseconds()}
	for _, r := range set.Rules() {
		if r.Correlation != nil {
			result.Correlations++
		} else {
			result.Rules++
		}
	}
	for _, p := range problems {
		told := checkedProblem{File: p.Source, Line: p.Line, Rule: p.RuleID, Reason: p.Reason}
		if p.Foreign {
			result.Foreign = append(result.Foreign, told)
		} else {
			result.Refused = append(result.Refused, told)
		}
	}
	if len(result.Refused) > 0 {
		e.code = ExitBad
	}
	if c.JSON {
		return printValue(e.stdout, result)
	}
	for _, p := range result.Refused {
		fmt.Fprintf(e.stdout, "%s:%d: %s: %s\n", plain(p.File), p.Line, plain(p.Rule), plain(p.Reason))
	}
	_, err = fmt.Fprintf(e.stdout, "%d files: %d rules and %d correlations taken, %d refused, %d for logs of other systems\n",
		result.Files, result.Rules, result.Correlations, len(result.Refused), len(result.Foreign))
	return err
}
