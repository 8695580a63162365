package project

import (
	"cmp"
	"context"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/rule"
)

// Rules knows which detection rules are in force at every ledger position, and
// compiles them. Which they are is a record of the ledger, so that every server
// and every rebuild matches an event against the same rules: those of the newest
// change before it.
type Rules struct {
	cfg RulesConfig

	mu sync.Mutex
	// known are the changes below size, by position.
	known []assay.RuleSet
	size  uint64
	// compiled are the newest few sets that were asked for, newest last.
	compiled []*ruleSet

	compiles prometheus.Counter
	refused  prometheus.Gauge
	inForce  prometheus.Gauge
	found    *prometheus.CounterVec
}

// RulesConfig is what NewRules needs.
type RulesConfig struct {
	Store   *postgres.Store
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// maxCompiled bounds the sets that are kept: the one in force, the one before,
// and those of lanes that are behind.
const maxCompiled = 4

// NewRules returns Rules that know of none yet.
func NewRules(cfg RulesConfig) *Rules {
	r := &Rules{
		cfg:      cfg,
		compiles: prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_rule_sets_compiled_total", Help: "Sets of detection rules that were compiled."}),
		refused:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_rules_refused", Help: "Rules that are on and that this program cannot compile, of the set compiled last."}),
		inForce:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_rules_in_force", Help: "Detection rules that are on, of the set compiled last."}),
		found:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "assay_detections_total", Help: "Matches of detection rules, by the rule's level."}, []string{"level"}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(r.compiles, r.refused, r.inForce, r.found)
	}
	return r
}

// ruleSet is what is in force from a position on, compiled. Packs are compiled
// each on their own: filters and correlations speak of rules of their own pack.
type ruleSet struct {
	position uint64
	digest   [32]byte
	packs    []*packSet
}

// packSet is the rules of one pack.
type packSet struct {
	name string
	set  *rule.Set
	// rules are by the name of the source they were compiled from, their id.
	rules map[string]*ruleInfo
	// compiled are the rules that matches are counted as, by id.
	compiled map[string]*rule.Rule
}

// ruleInfo is what a match of a rule becomes.
type ruleInfo struct {
	id      assay.RuleID
	version string
	level   assay.Level
	// detects is false for a rule that only feeds correlations.
	detects bool
	feeds   bool
	needs   []string // fields that correlations ask for
	alertBy []string
}

// at returns the set for events at a position, and up to where it holds.
func (r *Rules) at(ctx context.Context, from, until uint64) (*ruleSet, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if until > r.size {
		// All changes below until are committed: whoever knows of that size sees them.
		more, err := r.cfg.Store.RuleSets(ctx, r.size, until)
		if err != nil {
			return nil, 0, err
		}
		r.known, r.size = append(r.known, more...), until
	}
	next, _ := slices.BinarySearchFunc(r.known, from, func(s assay.RuleSet, p uint64) int { return cmp.Compare(s.Position, p) })
	limit := until
	// A set at position p is for events after p, which is a leaf of no batch.
	for ; next < len(r.known) && r.known[next].Position <= from; next++ {
	}
	if next < len(r.known) {
		limit = min(limit, r.known[next].Position)
	}
	if next == 0 {
		return &ruleSet{}, limit, nil
	}
	set, err := r.compile(ctx, r.known[next-1])
	return set, limit, err
}

// compile returns the compiled set. The lock is held: lanes that need the same
// set wait for one of them to make it.
func (r *Rules) compile(ctx context.Context, of assay.RuleSet) (*ruleSet, error) {
	for i, s := range r.compiled {
		if s.position == of.Position || s.digest == of.Digest {
			r.compiled = append(slices.Delete(r.compiled, i, i+1), s)
			if s.position != of.Position {
				again := *s
				again.position = of.Position
				r.compiled[len(r.compiled)-1] = &again
			}
			return r.compiled[len(r.compiled)-1], nil
		}
	}
	texts, err := r.cfg.Store.RulesInForce(ctx, of.Position+1)
	if err != nil {
		return nil, err
	}
	packs, problems := compilePacks(texts)
	for _, p := range problems {
		r.cfg.Logger.ErrorContext(ctx, "a rule that is on cannot be used", "pack", p.Pack, "rule", p.RuleID, "reason", p.Reason)
	}
	r.compiles.Inc()
	r.refused.Set(float64(len(problems)))
	r.inForce.Set(float64(of.Rules + of.Correlations))
	r.cfg.Logger.InfoContext(ctx, "detection rules in force", "position", of.Position, "rules", of.Rules, "correlations", of.Correlations,
		"digest", hex.EncodeToString(of.Digest[:8]), "refused", len(problems))
	s := &ruleSet{position: of.Position, digest: of.Digest, packs: packs}
	r.compiled = append(r.compiled, s)
	if len(r.compiled) > maxCompiled {
		r.compiled = slices.Delete(r.compiled, 0, 1)
	}
	return s, nil
}

// packProblem is a rule that compiled when it was imported and no longer does.
type packProblem struct {
	Pack string
	rule.Problem
}

// compilePacks compiles rules, by pack. What a filter says of rules that are off
// is no problem.
func compilePacks(texts []postgres.RuleText) (packs []*packSet, problems []packProblem) {
	byPack := map[string][]postgres.RuleText{}
	for _, t := range texts {
		byPack[t.Pack] = append(byPack[t.Pack], t)
	}
	for _, name := range sortedKeys(byPack) {
		list := byPack[name]
		slices.SortFunc(list, func(a, b postgres.RuleText) int { return strings.Compare(a.ID, b.ID) })
		sources := make([]rule.Source, len(list))
		filters := map[string]bool{}
		for i := range list {
			sources[i] = rule.Source{Name: list[i].ID, Data: list[i].Text}
			filters[list[i].ID] = list[i].Kind == assay.KindFilter
		}
		set, refused := rule.Compile(sources, rule.Config{})
		for _, p := range refused {
			if !filters[p.Source] {
				problems = append(problems, packProblem{Pack: name, Problem: p})
			}
		}
		packs = append(packs, newPackSet(name, set, list))
	}
	return packs, problems
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func newPackSet(name string, set *rule.Set, list []postgres.RuleText) *packSet {
	p := &packSet{name: name, set: set, rules: make(map[string]*ruleInfo, len(list)), compiled: map[string]*rule.Rule{}}
	for i := range list {
		t := &list[i]
		p.rules[t.ID] = &ruleInfo{id: assay.RuleID{Pack: name, ID: t.ID}, version: t.Version, level: t.Level, detects: t.Enabled, alertBy: t.AlertBy}
	}
	for _, compiled := range set.Rules() {
		info := p.rules[compiled.Source]
		if info == nil {
			continue
		}
		info.detects = info.detects && compiled.Standalone
		info.needs, info.feeds = set.Needed(compiled)
		p.compiled[compiled.Source] = compiled
	}
	return p
}

// Lane returns the projection for one lane.
func (r *Rules) Lane() Projection { return &laneRules{rules: r} }

// laneRules matches a lane's events.
type laneRules struct {
	rules   *Rules
	set     *ruleSet
	scratch []*rule.Scratch // by pack of the set
	event   rawEvent
}

// Prepare implements Preparer: a step is of one set of rules.
func (l *laneRules) Prepare(ctx context.Context, from, until uint64) (uint64, error) {
	set, limit, err := l.rules.at(ctx, from, until)
	if err == nil {
		l.use(set)
	}
	return limit, err
}

// Project implements Projection.
func (l *laneRules) Project(b *Batch, step *Step) {
	if len(l.set.packs) == 0 {
		return
	}
	for i := range b.Events {
		ev := &b.Events[i]
		if !ev.View.HasRaw {
			continue
		}
		l.event.RawView = &ev.View.Raw
		for at, pack := range l.set.packs {
			for _, match := range pack.set.Match(&l.event, l.scratch[at]) {
				l.matched(ev, pack, &match, step)
			}
		}
	}
}

// use turns to another set.
func (l *laneRules) use(set *ruleSet) {
	if l.set != nil && l.set.position == set.position {
		return
	}
	l.set, l.scratch = set, make([]*rule.Scratch, len(set.packs))
	for i := range l.scratch {
		l.scratch[i] = new(rule.Scratch)
	}
}

func (l *laneRules) matched(ev *Event, pack *packSet, match *rule.Match, step *Step) {
	info := pack.rules[match.Rule.Source]
	if info == nil {
		return
	}
	d := detectionOf(ev, info, l.set.position)
	if info.feeds {
		in := postgres.CorrelationInput{Detection: d, Provider: clean(ev.View.Raw.Provider), Fields: l.values(match, info.needs)}
		step.delta.Inputs = append(step.delta.Inputs, in)
	}
	if !info.detects {
		return
	}
	d.Matched = matchedValues(match.Fields)
	d.Key = l.values(match, info.alertBy)
	step.delta.Detections = append(step.delta.Detections, d)
	l.rules.found.WithLabelValues(info.level.String()).Inc()
}

// values are the fields that the event has, by the rule's names.
func (l *laneRules) values(match *rule.Match, names []string) (list []assay.NamedText) {
	for _, name := range names {
		if v, ok := match.Value(&l.event, name); ok {
			list = append(list, assay.NamedText{Name: name, Value: clean(v)})
		}
	}
	return list
}

func matchedValues(fields []rule.MatchedField) []assay.MatchedValue {
	list := make([]assay.MatchedValue, 0, min(len(fields), assay.MaxMatched))
	for _, f := range fields[:min(len(fields), assay.MaxMatched)] {
		list = append(list, assay.MatchedValue{Selection: clean(f.Selection), Field: clean(f.Field), Value: clean(f.Value)})
	}
	return list
}

func detectionOf(ev *Event, info *ruleInfo, set uint64) assay.Detection {
	v := ev.View
	return assay.Detection{
		Host: ev.Host, Rule: info.id, Version: info.version, SetPosition: set, Ref: ev.Ref, Level: info.level,
		ObservedAt: v.Time(), ReceivedAt: ev.ReceivedAt, BookedAt: ev.BookedAt, ClockFault: ev.ClockFault,
		Grade: gradeOf(v.Grade), Source: telemetry.SourceName(v.Source), Channel: clean(v.Raw.Channel), EventID: v.Raw.EventID,
		ProcessUID: processUID(v),
	}
}

// processUID is the process that the event speaks of, where its table has one.
func processUID(v *telemetry.View) (uid string) {
	if v.Table == nil {
		return ""
	}
	column := slices.IndexFunc(v.Table.Columns, func(c telemetry.Column) bool { return c.Name == "process_uid" })
	if column < 0 {
		return ""
	}
	v.Texts(func(at int, value string) bool {
		if at == column {
			uid = clean(value)
		}
		return at != column
	})
	return uid
}
