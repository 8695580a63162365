package consoleapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
	"github.com/assay-audit/assay/server/internal/ruleimport"
)

type ruleService struct{ *Server }

// hitsFor is the time that hits are counted for unless asked otherwise.
const hitsFor = 7 * 24 * time.Hour

func (s *ruleService) since(at time.Time) time.Time {
	if at.IsZero() {
		return s.cfg.Now().Add(-hitsFor)
	}
	return at
}

// ListRules implements RuleService.
func (s *ruleService) ListRules(ctx context.Context, req *connect.Request[consolev1.ListRulesRequest]) (*connect.Response[consolev1.ListRulesResponse], error) {
	m := req.Msg
	least, err := assay.ParseLevel(m.GetLevel())
	if err != nil {
		return nil, err
	}
	if err := yesNo("enabled", m.GetEnabled()); err != nil {
		return nil, err
	}
	rules, err := s.cfg.Store.ListedRules(ctx, s.since(timeOf(m.GetHitsSince())))
	if err != nil {
		return nil, err
	}
	text := strings.ToLower(m.GetText())
	rules = slices.DeleteFunc(rules, func(r postgres.ListedRule) bool {
		return m.GetPack() != "" && r.Pack != m.GetPack() || m.GetEnabled() != "" && r.Enabled != (m.GetEnabled() == "yes") ||
			r.Level < least || m.GetOnlyHit() && r.Hits == 0 || text != "" && !ruleSays(&r, text)
	})
	part, next, err := window(rules, m.GetPage())
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListRulesResponse{NextPageToken: next, Total: uint32(len(rules))}
	for i := range rules {
		if rules[i].Enabled {
			res.Enabled++
		}
	}
	for i := range part {
		res.Rules = append(res.Rules, ruleMessage(&part[i]))
	}
	return connect.NewResponse(res), nil
}

func ruleSays(r *postgres.ListedRule, text string) bool {
	return strings.Contains(strings.ToLower(r.Title+"\n"+r.ID+"\n"+r.Description+"\n"+strings.Join(r.Tags, "\n")), text)
}

// yesNo is Invalid for what is neither, nor empty.
func yesNo(name, value string) error {
	if value != "" && value != "yes" && value != "no" {
		return assay.Errorf(assay.Invalid, "%s is yes, no or empty, not %q", name, value)
	}
	return nil
}

func ruleMessage(r *postgres.ListedRule) *consolev1.Rule {
	return &consolev1.Rule{
		Pack: r.Pack, Version: r.Version, Id: r.ID, Title: r.Title, Level: r.Level.String(), Status: r.Status, Tags: r.Tags, Logsource: r.Logsource,
		Kind: r.Kind, Enabled: r.Enabled, ChangedBy: r.ChangedBy, ChangedAt: stamp(r.ChangedAt), ChangedReason: r.Reason, Hits: uint64(r.Hits),
		Suppressed: uint64(r.Suppressed), LastHitAt: stamp(r.LastHit), OpenAlerts: uint32(r.OpenAlerts), Path: r.Path, Line: uint32(r.Line),
		Digest: hex.EncodeToString(r.Digest[:]), AlertBy: r.AlertBy,
	}
}

// GetRule implements RuleService.
func (s *ruleService) GetRule(ctx context.Context, req *connect.Request[consolev1.GetRuleRequest]) (*connect.Response[consolev1.GetRuleResponse], error) {
	id := assay.RuleID{Pack: req.Msg.GetPack(), ID: req.Msg.GetId()}
	text, err := s.cfg.Store.RuleText(ctx, id, "")
	if err != nil {
		return nil, err
	}
	since := s.since(timeOf(req.Msg.GetHitsSince()))
	rules, err := s.cfg.Store.ListedRules(ctx, since)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(rules, func(r postgres.ListedRule) bool { return r.Pack == id.Pack && r.ID == id.ID })
	if at < 0 {
		return nil, assay.Errorf(assay.NotFound, "the pack %s has no rule %s", id.Pack, id.ID)
	}
	changes, days, err := s.cfg.Store.RuleHistory(ctx, id, since)
	if err != nil {
		return nil, err
	}
	res := &consolev1.GetRuleResponse{Rule: ruleMessage(&rules[at]), Description: text.Description, Author: text.Author, License: text.License,
		References: text.References, FalsePositives: text.FalsePositives, Source: strings.ToValidUTF8(string(text.Text), "\ufffd"), Related: text.Related}
	for _, c := range changes {
		res.Changes = append(res.Changes, &consolev1.RuleChange{Enabled: c.Enabled, By: c.By, At: stamp(c.At), Reason: c.Reason, Position: c.Position})
	}
	for _, d := range days {
		res.Days = append(res.Days, &consolev1.RuleDay{Day: d.Day.Format(time.DateOnly), Hits: uint64(d.Hits), Suppressed: uint64(d.Suppressed)})
	}
	return connect.NewResponse(res), nil
}

// ListRulePacks implements RuleService.
func (s *ruleService) ListRulePacks(ctx context.Context, _ *connect.Request[consolev1.ListRulePacksRequest]) (*connect.Response[consolev1.ListRulePacksResponse], error) {
	packs, err := s.cfg.Store.RulePacks(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListRulePacksResponse{}
	for i := range packs {
		res.Packs = append(res.Packs, packMessage(&packs[i]))
	}
	res.Set, err = s.ruleSet(ctx)
	return connect.NewResponse(res), err
}

func packMessage(p *postgres.ListedPack) *consolev1.RulePack {
	return &consolev1.RulePack{
		Name: p.Name, Version: p.Version, InForce: p.InForce, Builtin: p.Builtin, Digest: hex.EncodeToString(p.Digest[:]), Rules: uint32(p.Rules),
		Correlations: uint32(p.Correlations), Filters: uint32(p.Filters), Enabled: uint32(p.Enabled), Problems: uint32(p.Problems),
		ImportedBy: p.ImportedBy, ImportedAt: stamp(p.ImportedAt), Position: p.Position,
	}
}

// ruleSet is what is in force, and how far events were matched.
func (s *Server) ruleSet(ctx context.Context) (*consolev1.RuleSet, error) {
	size, err := s.cfg.Store.LedgerSize(ctx)
	if err != nil {
		return nil, err
	}
	sets, err := s.cfg.Store.RuleSets(ctx, 0, size)
	if err != nil {
		return nil, err
	}
	low, err := s.cfg.Store.LowestCursor(ctx, project.RulesPass, project.Lanes)
	if err != nil {
		return nil, err
	}
	m := &consolev1.RuleSet{Projected: low, Behind: size - min(low, size)}
	if n := len(sets); n > 0 {
		set := &sets[n-1]
		m.Digest, m.Since, m.ChangedAt = hex.EncodeToString(set.Digest[:]), set.Position, stamp(set.ChangedAt)
		m.Rules, m.Correlations = uint32(set.Rules), uint32(set.Correlations)
	}
	return m, nil
}

// ListRuleProblems implements RuleService.
func (s *ruleService) ListRuleProblems(ctx context.Context, req *connect.Request[consolev1.ListRuleProblemsRequest]) (*connect.Response[consolev1.ListRuleProblemsResponse], error) {
	problems, err := s.cfg.Store.RuleProblems(ctx, req.Msg.GetPack(), req.Msg.GetVersion())
	if err != nil {
		return nil, err
	}
	part, next, err := window(problems, req.Msg.GetPage())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.ListRuleProblemsResponse{Problems: problemMessages(part), NextPageToken: next, Total: uint32(len(problems))}), nil
}

func problemMessages(problems []assay.RuleProblem) []*consolev1.RuleProblem {
	list := make([]*consolev1.RuleProblem, len(problems))
	for i, p := range problems {
		list[i] = &consolev1.RuleProblem{Path: p.Path, Line: uint32(p.Line), Rule: p.Rule, Reason: p.Reason}
	}
	return list
}

// checkReason is Invalid for a reason that is missing or too long.
func checkReason(what, reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" {
		return "", assay.Errorf(assay.Invalid, "say why: %s is recorded with its reason", what)
	}
	return reason, checkNote("reason", reason)
}

func checkNote(name, text string) error {
	if len(text) > assay.MaxNote {
		return assay.Errorf(assay.Invalid, "the %s has %d bytes, at most %d", name, len(text), assay.MaxNote)
	}
	if strings.Contains(text, "\x00") {
		return assay.Errorf(assay.Invalid, "the %s holds characters that are not text", name)
	}
	return nil
}

// maxRulesNamed bounds the ids of one request.
const maxRulesNamed = 5000

// SetRulesEnabled implements RuleService.
func (s *ruleService) SetRulesEnabled(ctx context.Context, req *connect.Request[consolev1.SetRulesEnabledRequest]) (*connect.Response[consolev1.SetRulesEnabledResponse], error) {
	m := req.Msg
	reason := strings.TrimSpace(m.GetReason())
	if !m.GetEnabled() {
		var err error
		if reason, err = checkReason("turning rules off", reason); err != nil {
			return nil, err
		}
	}
	if err := checkNote("reason", reason); err != nil {
		return nil, err
	}
	if err := assay.CheckPackName("pack", m.GetPack()); err != nil {
		return nil, err
	}
	ids, err := s.namedRules(ctx, m.GetPack(), m.GetRules())
	if err != nil {
		return nil, err
	}
	changed, err := s.cfg.Store.SetRules(ctx, m.GetPack(), ids, m.GetEnabled(), sessionOf(ctx).User.Name, reason)
	if err != nil {
		return nil, err
	}
	res := &consolev1.SetRulesEnabledResponse{Changed: uint32(len(changed))}
	res.Set, err = s.ruleSet(ctx)
	return connect.NewResponse(res), err
}

// namedRules are the ids that a request names: ids, * or a least level.
func (s *ruleService) namedRules(ctx context.Context, pack string, names []string) ([]string, error) {
	if len(names) == 0 || len(names) > maxRulesNamed {
		return nil, assay.Errorf(assay.Invalid, "name 1 to %d rules, or * for all", maxRulesNamed)
	}
	var rules []assay.Rule
	var ids []string
	for _, name := range names {
		if name != "*" && !strings.HasPrefix(name, "level>=") {
			ids = append(ids, strings.ToLower(name))
			continue
		}
		if rules == nil {
			_, _, inForce, ok, err := s.cfg.Store.PackInForce(ctx, pack)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, assay.Errorf(assay.NotFound, "there is no pack %s", pack)
			}
			rules = inForce
		}
		more, err := ruleimport.Choose(rules, strings.Replace(name, "*", "all", 1))
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// UseRulePack implements RuleService.
func (s *ruleService) UseRulePack(ctx context.Context, req *connect.Request[consolev1.UseRulePackRequest]) (*connect.Response[consolev1.UseRulePackResponse], error) {
	m := req.Msg
	reason, err := checkReason("putting a version in force", m.GetReason())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Store.UsePack(ctx, m.GetPack(), m.GetVersion(), sessionOf(ctx).User.Name, reason); err != nil {
		return nil, err
	}
	pack, err := s.pack(ctx, m.GetPack(), m.GetVersion())
	return connect.NewResponse(&consolev1.UseRulePackResponse{Pack: pack}), err
}

func (s *ruleService) pack(ctx context.Context, name, version string) (*consolev1.RulePack, error) {
	packs, err := s.cfg.Store.RulePacks(ctx)
	if err != nil {
		return nil, err
	}
	for i := range packs {
		if packs[i].Name == name && packs[i].Version == version {
			return packMessage(&packs[i]), nil
		}
	}
	return nil, assay.Errorf(assay.NotFound, "the pack %s has no version %s", name, version)
}

// BackfillRules implements RuleService.
func (s *ruleService) BackfillRules(ctx context.Context, req *connect.Request[consolev1.BackfillRulesRequest]) (*connect.Response[consolev1.BackfillRulesResponse], error) {
	m := req.Msg
	since := timeOf(m.GetSince())
	if since.IsZero() || since.After(s.cfg.Now()) {
		return nil, assay.Errorf(assay.Invalid, "say since when: a time that is past")
	}
	if len(m.GetRules()) > maxRulesNamed {
		return nil, assay.Errorf(assay.Invalid, "%d rules, at most %d", len(m.GetRules()), maxRulesNamed)
	}
	if err := checkNote("reason", m.GetReason()); err != nil {
		return nil, err
	}
	b := assay.RuleBackfill{Pack: m.GetPack(), Since: since, By: sessionOf(ctx).User.Name, Reason: m.GetReason()}
	for _, id := range m.GetRules() {
		b.Rules = append(b.Rules, strings.ToLower(id))
	}
	_, _ = rand.Read(b.ID[:]) // never fails
	b.ID[6], b.ID[8] = b.ID[6]&0x0f|0x40, b.ID[8]&0x3f|0x80
	if err := s.cfg.Store.StartBackfill(ctx, &b); err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.BackfillRulesResponse{Backfill: backfillMessage(&b)}), nil
}

func backfillMessage(b *assay.RuleBackfill) *consolev1.Backfill {
	return &consolev1.Backfill{
		Id: b.ID.String(), Pack: b.Pack, Version: b.Version, Rules: b.Rules, Since: stamp(b.Since), State: b.State, From: b.From, To: b.To,
		Position: b.Position, Detections: b.Detections, By: b.By, Reason: b.Reason, StartedAt: stamp(b.StartedAt), FinishedAt: stamp(b.FinishedAt), Error: b.Error,
	}
}

// ListBackfills implements RuleService.
func (s *ruleService) ListBackfills(ctx context.Context, req *connect.Request[consolev1.ListBackfillsRequest]) (*connect.Response[consolev1.ListBackfillsResponse], error) {
	all, err := s.cfg.Store.Backfills(ctx)
	if err != nil {
		return nil, err
	}
	part, next, err := window(all, req.Msg.GetPage())
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListBackfillsResponse{NextPageToken: next, Total: uint32(len(all))}
	for i := range part {
		res.Backfills = append(res.Backfills, backfillMessage(&part[i]))
	}
	return connect.NewResponse(res), nil
}

// CancelBackfill implements RuleService.
func (s *ruleService) CancelBackfill(ctx context.Context, req *connect.Request[consolev1.CancelBackfillRequest]) (*connect.Response[consolev1.CancelBackfillResponse], error) {
	id, err := assay.ParseBackfillID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	b, err := s.cfg.Store.CancelBackfill(ctx, id, sessionOf(ctx).User.Name)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.CancelBackfillResponse{Backfill: backfillMessage(&b)}), nil
}
