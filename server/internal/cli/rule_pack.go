package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ruleimport"
)

type rulesImportCmd struct {
	Paths   []string `arg:"" name:"path" help:"Files, folders and gzipped tars of Sigma YAML." type:"existingpath"`
	Pack    string   `help:"The pack's name." default:"custom"`
	Version string   `help:"The version's name (default: made of the contents)."`
	Enable  string   `help:"Which rules that the pack did not have before are turned on: all, none, or level>=LEVEL." default:"none" placeholder:"WHICH"`
	Reason  string   `help:"Why; kept with the import."`
	DryRun  bool     `help:"Only say what would become of it."`
	JSON    bool     `name:"json" help:"Print JSON."`
}

// Help adds examples to --help.
func (rulesImportCmd) Help() string {
	return "Examples:\n  assayctl rules import sigma/rules/windows --pack sigma --version r2026-11-01 --enable 'level>=high' --dry-run\n" +
		"  assayctl rules import own.yml --pack own --enable all --reason 'after the incident of May'"
}

// Run imports.
func (c *rulesImportCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	files, err := readRules(c.Paths)
	if err != nil {
		return err
	}
	archive, err := ruleimport.Pack(files)
	if err != nil {
		return err
	}
	if len(archive) > assay.MaxPackArchive {
		return fmt.Errorf("the rules are %d bytes compressed, at most %d: part them into several packs", len(archive), assay.MaxPackArchive)
	}
	if !c.JSON {
		fmt.Fprintf(e.stderr, "%d files, %d KiB; the server reads and compiles them\n", len(files), len(archive)/1024)
	}
	res, err := client.Rule.ImportRules(e.ctx, connect.NewRequest(&consolev1.ImportRulesRequest{Pack: c.Pack, Version: c.Version, Archive: archive,
		Enable: c.Enable, Reason: c.Reason, DryRun: c.DryRun}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	return c.tell(e, res.Msg)
}

func (c *rulesImportCmd) tell(e *env, m *consolev1.ImportRulesResponse) error {
	p := m.GetPack()
	for _, problem := range m.GetProblems() {
		fmt.Fprintf(e.stdout, "refused: %s:%d: %s %s\n", plain(problem.GetPath()), problem.GetLine(), plain(problem.GetRule()), plain(problem.GetReason()))
	}
	if hidden := int(p.GetProblems()) - len(m.GetProblems()); hidden > 0 {
		fmt.Fprintf(e.stdout, "and %d more\n", hidden)
	}
	what := "In force"
	switch {
	case m.GetAlreadyInForce():
		what = "In force already, nothing was done"
	case c.DryRun:
		what = "Would come in force"
	}
	_, err := fmt.Fprintf(e.stdout, "%s: %s %s: %d rules, %d correlations, %d filters; %d refused.\nAgainst the version before: %d new, %d changed, %d the same, %d gone; %d turned on.\n",
		what, p.GetName(), p.GetVersion(), p.GetRules(), p.GetCorrelations(), p.GetFilters(), p.GetProblems(),
		m.GetAdded(), m.GetChanged(), m.GetUnchanged(), m.GetRemoved(), m.GetTurnedOn())
	return err
}

// readRules reads what paths name. Files keep their paths below what was named.
func readRules(paths []string) ([]assay.PackFile, error) {
	var files []assay.PackFile
	total := 0
	add := func(name string, data []byte) error {
		clean, err := ruleimport.CleanPath(name)
		if err != nil {
			return err
		}
		if total += len(data); total > assay.MaxPackBytes || len(files) == assay.MaxPackFiles {
			return fmt.Errorf("more than %d files or %d bytes of rules: part them into several packs", assay.MaxPackFiles, assay.MaxPackBytes)
		}
		files = append(files, assay.PackFile{Path: clean, Data: data})
		return nil
	}
	for _, path := range paths {
		if err := readPath(path, add); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{}
	for _, f := range files {
		if seen[f.Path] {
			return nil, fmt.Errorf("two files would both be %s in the pack: import the folder that holds both", f.Path)
		}
		seen[f.Path] = true
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no .yml or .yaml file in %s", strings.Join(paths, ", "))
	}
	return files, nil
}

func readPath(path string, add func(string, []byte) error) error {
	lower := strings.ToLower(path)
	if strings.HasSuffix(lower, ".tar.gz") || strings.HasSuffix(lower, ".tgz") {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading rules: %w", err)
		}
		files, err := ruleimport.Unpack(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, f := range files {
			if err := add(f.Path, f.Data); err != nil {
				return err
			}
		}
		return nil
	}
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading rules: %w", err)
		}
		if entry.IsDir() || !entry.Type().IsRegular() || name != path && !ruleimport.IsRuleFile(name) {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading rules: %w", err)
		}
		within, err := filepath.Rel(path, name)
		if err != nil || within == "." {
			within = filepath.Base(name)
		}
		return add(filepath.ToSlash(within), data)
	})
}

type ruleChoice struct {
	Rules  []string `arg:"" name:"rule" help:"Ids, or 'level>=high' and the like, or '*' for the whole pack."`
	Pack   string   `help:"The pack (default: the one that has the rule)." placeholder:"NAME"`
	Reason string   `help:"Why; kept with the change."`
}

func (c *ruleChoice) set(e *env, enabled bool) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	if c.Pack == "" {
		if c.Pack, err = packOf(e, client, c.Rules[0]); err != nil {
			return err
		}
	}
	res, err := client.Rule.SetRulesEnabled(e.ctx, connect.NewRequest(&consolev1.SetRulesEnabledRequest{Pack: c.Pack, Rules: c.Rules, Enabled: enabled, Reason: c.Reason}))
	if err != nil {
		return err
	}
	set := res.Msg.GetSet()
	_, err = fmt.Fprintf(e.stdout, "%d changed; %d rules and %d correlations are on for events after ledger position %d.\n",
		res.Msg.GetChanged(), set.GetRules(), set.GetCorrelations(), set.GetSince())
	return err
}

// packOf finds the one pack that has a rule.
func packOf(e *env, client *Client, id string) (string, error) {
	res, err := client.Rule.ListRules(e.ctx, connect.NewRequest(&consolev1.ListRulesRequest{Text: id, Page: &consolev1.Page{Size: 500}}))
	if err != nil {
		return "", err
	}
	pack := ""
	for _, r := range res.Msg.GetRules() {
		if !strings.EqualFold(r.GetId(), id) {
			continue
		}
		if pack != "" {
			return "", fmt.Errorf("rule %s is in the packs %s and %s: name one with --pack", id, pack, r.GetPack())
		}
		pack = r.GetPack()
	}
	if pack == "" {
		return "", fmt.Errorf("no pack in force has a rule %q: name the pack with --pack", id)
	}
	return pack, nil
}

type rulesEnableCmd struct{ ruleChoice }

// Run turns rules on.
func (c *rulesEnableCmd) Run(e *env) error { return c.set(e, true) }

type rulesDisableCmd struct{ ruleChoice }

// Run turns rules off.
func (c *rulesDisableCmd) Run(e *env) error { return c.set(e, false) }

type rulesPacksCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists packs.
func (c *rulesPacksCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Rule.ListRulePacks(e.ctx, connect.NewRequest(&consolev1.ListRulePacksRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "PACK", "VERSION", "IN FORCE", "RULES", "CORRELATIONS", "FILTERS", "ON", "REFUSED", "IMPORTED", "BY", "POSITION")
	for _, p := range res.Msg.GetPacks() {
		t.row(p.GetName(), p.GetVersion(), yes(p.GetInForce()), fmt.Sprint(p.GetRules()), fmt.Sprint(p.GetCorrelations()), fmt.Sprint(p.GetFilters()),
			fmt.Sprint(p.GetEnabled()), fmt.Sprint(p.GetProblems()), when(p.GetImportedAt()), p.GetImportedBy(), fmt.Sprint(p.GetPosition()))
	}
	if err := t.flush(); err != nil {
		return err
	}
	set := res.Msg.GetSet()
	_, err = fmt.Fprintf(e.stdout, "On for events after ledger position %d: %d rules, %d correlations. %d positions are yet to be matched.\n",
		set.GetSince(), set.GetRules(), set.GetCorrelations(), set.GetBehind())
	return err
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}

type rulesUseCmd struct {
	Pack    string `arg:"" help:"The pack."`
	Version string `arg:"" help:"The version."`
	Reason  string `help:"Why; kept with the change." required:""`
}

// Run puts a version in force.
func (c *rulesUseCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	_, err = client.Rule.UseRulePack(e.ctx, connect.NewRequest(&consolev1.UseRulePackRequest{Pack: c.Pack, Version: c.Version, Reason: c.Reason}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "In force: %s %s\n", c.Pack, c.Version)
	return err
}

type rulesProblemsCmd struct {
	Pack    string `arg:"" help:"The pack."`
	Version string `help:"The version (default: the one in force)."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Run lists what was refused.
func (c *rulesProblemsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	all := &consolev1.ListRuleProblemsResponse{}
	for token := ""; ; {
		res, err := client.Rule.ListRuleProblems(e.ctx, connect.NewRequest(&consolev1.ListRuleProblemsRequest{Pack: c.Pack, Version: c.Version,
			Page: &consolev1.Page{Size: 500, Token: token}}))
		if err != nil {
			return err
		}
		all.Problems, all.Total = append(all.GetProblems(), res.Msg.GetProblems()...), res.Msg.GetTotal()
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	for _, p := range all.GetProblems() {
		fmt.Fprintf(e.stdout, "%s:%d: %s %s\n", plain(p.GetPath()), p.GetLine(), plain(p.GetRule()), plain(p.GetReason()))
	}
	return nil
}
