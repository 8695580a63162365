package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type rulesListCmd struct {
	Pack    string `help:"Only this pack." placeholder:"NAME"`
	Enabled string `help:"yes or no; both without it." enum:"yes,no," default:""`
	Level   string `help:"Only rules of at least this level." placeholder:"LEVEL"`
	Text    string `help:"Look for this in title, id, description and tags."`
	Hit     bool   `help:"Only rules that have hits."`
	Since   string `help:"Count hits from this time on (default: of 7 days)." placeholder:"TIME"`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Run lists rules.
func (c *rulesListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	since, err := parseTime(c.Since)
	if err != nil {
		return err
	}
	all := &consolev1.ListRulesResponse{}
	for token := ""; ; {
		res, err := client.Rule.ListRules(e.ctx, connect.NewRequest(&consolev1.ListRulesRequest{Pack: c.Pack, Enabled: c.Enabled, Level: c.Level, Text: c.Text,
			OnlyHit: c.Hit, HitsSince: stampOf(since), Page: &consolev1.Page{Size: 500, Token: token}}))
		if err != nil {
			return err
		}
		all.Rules, all.Total, all.Enabled = append(all.GetRules(), res.Msg.GetRules()...), res.Msg.GetTotal(), res.Msg.GetEnabled()
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	t := newTable(e.stdout, "PACK", "RULE", "LEVEL", "ON", "HITS", "SUPPRESSED", "OPEN ALERTS", "KIND", "WHAT")
	for _, r := range all.GetRules() {
		t.row(r.GetPack(), r.GetId(), orDash(r.GetLevel()), yes(r.GetEnabled()), fmt.Sprint(r.GetHits()), fmt.Sprint(r.GetSuppressed()),
			fmt.Sprint(r.GetOpenAlerts()), r.GetKind(), shorten(r.GetTitle(), 80))
	}
	if err := t.flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%d rules, %d on\n", all.GetTotal(), all.GetEnabled())
	return err
}

type rulesShowCmd struct {
	Rule string `arg:"" help:"The rule's id."`
	Pack string `help:"Its pack (default: the one that has it)." placeholder:"NAME"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run shows one rule.
func (c *rulesShowCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	if c.Pack == "" {
		if c.Pack, err = packOf(e, client, c.Rule); err != nil {
			return err
		}
	}
	res, err := client.Rule.GetRule(e.ctx, connect.NewRequest(&consolev1.GetRuleRequest{Pack: c.Pack, Id: strings.ToLower(c.Rule)}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	r := res.Msg.GetRule()
	t := newTable(e.stdout, strings.ToUpper(orDash(r.GetLevel())), r.GetTitle())
	for _, row := range [][2]string{
		{"Rule", r.GetPack() + "/" + r.GetId() + " of version " + r.GetVersion()}, {"On", yes(r.GetEnabled())}, {"File", fmt.Sprintf("%s:%d", r.GetPath(), r.GetLine())},
		{"Hits", fmt.Sprintf("%d, %d of them suppressed; %d alerts not closed", r.GetHits(), r.GetSuppressed(), r.GetOpenAlerts())},
	} {
		t.row(row[0], row[1])
	}
	for _, change := range res.Msg.GetChanges() {
		what := "turned off"
		if change.GetEnabled() {
			what = "turned on"
		}
		t.row(when(change.GetAt()), fmt.Sprintf("%s by %s at ledger position %d: %s", what, change.GetBy(), change.GetPosition(), orDash(change.GetReason())))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for line := range strings.Lines(res.Msg.GetSource()) {
		fmt.Fprintln(e.stdout, "  "+plain(strings.TrimRight(line, "\r\n")))
	}
	return nil
}

type rulesBackfillCmd struct {
	Since  string   `help:"From when on what was received is matched." required:"" placeholder:"TIME"`
	Pack   string   `help:"The rules' pack (default: the one that has the first rule; without rules, all packs)." placeholder:"NAME"`
	Rule   []string `help:"Only these rules (default: all that are on)." placeholder:"ID"`
	Reason string   `help:"Why; kept with the run."`
	Detach bool     `help:"Do not wait for the end."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Help adds examples to --help.
func (rulesBackfillCmd) Help() string {
	return "It runs on the server, at half speed, and goes on after a restart; Ctrl-C only ends the waiting.\n" +
		"Example:\n  assayctl rules backfill --since 2026-11-01 --rule 6b1f..."
}

// pollEvery is how often progress is asked for.
const pollEvery = time.Second

// Run starts a backfill and shows its progress.
func (c *rulesBackfillCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	since, err := parseTime(c.Since)
	if err != nil {
		return err
	}
	packs, err := c.packs(e, client)
	if err != nil {
		return err
	}
	for _, pack := range packs {
		if err := c.one(e, client, pack, stampOf(since)); err != nil {
			return err
		}
	}
	return nil
}

// packs are those to run: each backfill is of one.
func (c *rulesBackfillCmd) packs(e *env, client *Client) ([]string, error) {
	if c.Pack != "" {
		return []string{c.Pack}, nil
	}
	if len(c.Rule) > 0 {
		pack, err := packOf(e, client, c.Rule[0])
		return []string{pack}, err
	}
	res, err := client.Rule.ListRulePacks(e.ctx, connect.NewRequest(&consolev1.ListRulePacksRequest{}))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range res.Msg.GetPacks() {
		if p.GetInForce() && p.GetEnabled() > 0 {
			names = append(names, p.GetName())
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no rule is on: turn some on first (assayctl rules enable)")
	}
	return names, nil
}

// one starts the backfill of a pack and tells what came of it.
func (c *rulesBackfillCmd) one(e *env, client *Client, pack string, since *timestamppb.Timestamp) error {
	res, err := client.Rule.BackfillRules(e.ctx, connect.NewRequest(&consolev1.BackfillRulesRequest{Since: since, Pack: pack, Rules: c.Rule, Reason: c.Reason}))
	if err != nil {
		return err
	}
	b := res.Msg.GetBackfill()
	if !c.Detach {
		if b, err = c.follow(e, client, b); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(e.stdout, b)
	}
	_, err = fmt.Fprintf(e.stdout, "Backfill %s of %s: %s; %d rules over ledger positions %d to %d, %d detections.\n", b.GetId(), b.GetPack(), b.GetState(),
		len(b.GetRules()), b.GetFrom(), b.GetTo(), b.GetDetections())
	if b.GetState() == "failed" {
		e.code = ExitBad
	}
	return err
}

// follow waits for the end.
func (c *rulesBackfillCmd) follow(e *env, client *Client, b *consolev1.Backfill) (*consolev1.Backfill, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for b.GetState() == "running" {
		select {
		case <-e.ctx.Done():
			return b, nil
		case <-ticker.C:
		}
		res, err := client.Rule.ListBackfills(e.ctx, connect.NewRequest(&consolev1.ListBackfillsRequest{Page: &consolev1.Page{Size: 500}}))
		if err != nil {
			return b, err
		}
		for _, other := range res.Msg.GetBackfills() {
			if other.GetId() == b.GetId() {
				b = other
			}
		}
		fmt.Fprintf(e.stderr, "\r%s", progressOf(b))
	}
	fmt.Fprintln(e.stderr)
	return b, nil
}

func progressOf(b *consolev1.Backfill) string {
	done := 100.0
	if b.GetTo() > b.GetFrom() {
		done = 100 * float64(b.GetPosition()-b.GetFrom()) / float64(b.GetTo()-b.GetFrom())
	}
	return fmt.Sprintf("%5.1f %%, %d detections", done, b.GetDetections())
}

type rulesBackfillsCmd struct {
	Cancel string `help:"Cancel this one." placeholder:"ID"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists backfills, or cancels one.
func (c *rulesBackfillsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	if c.Cancel != "" {
		_, err := client.Rule.CancelBackfill(e.ctx, connect.NewRequest(&consolev1.CancelBackfillRequest{Id: c.Cancel}))
		if err != nil {
			return err
		}
	}
	res, err := client.Rule.ListBackfills(e.ctx, connect.NewRequest(&consolev1.ListBackfillsRequest{Page: &consolev1.Page{Size: 500}}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "BACKFILL", "STATE", "PACK", "RULES", "SINCE", "PROGRESS", "BY", "STARTED", "FINISHED", "ERROR")
	for _, b := range res.Msg.GetBackfills() {
		t.row(b.GetId(), b.GetState(), b.GetPack()+" "+b.GetVersion(), fmt.Sprint(len(b.GetRules())), when(b.GetSince()), progressOf(b), b.GetBy(),
			when(b.GetStartedAt()), when(b.GetFinishedAt()), orDash(b.GetError()))
	}
	return t.flush()
}
