package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/rule"
)

// Name and version of the pass that counts correlations. It has one lane: a
// group may be of many hosts, and is counted in ledger order whatever lanes they
// are in.
const (
	CorrelationsPass    = "correlations"
	CorrelationsVersion = 1
)

// Bounds on what correlations remember, for each pack.
const (
	maxCorrelationGroups  = 100_000
	maxCorrelationEntries = 500_000
)

// quietFor is how long, beside its timespan, a group is remembered after the
// newest of its events was received: an agent that was away may send late.
const quietFor = 7 * 24 * time.Hour

// inputsAtOnce bounds the matches that one step counts.
const inputsAtOnce = 2000

// CorrelationConfig is what NewCorrelation needs.
type CorrelationConfig struct {
	Store  *postgres.Store
	Rules  *Rules
	Now    func() time.Time
	Logger *slog.Logger
	// Poll is how often it looks how far the lanes are; 0 means one second.
	Poll    time.Duration
	Metrics prometheus.Registerer // nil: none
}

// Correlation counts the matches that the lanes left for it. What it remembers
// is stored with its cursor, so that whoever goes on from there counts as if
// nothing had happened.
type Correlation struct {
	cfg     CorrelationConfig
	cursor  postgres.Cursor
	counter *counter // nil: load all again
	groups  prometheus.Gauge
	entries prometheus.Gauge
	lost    *prometheus.GaugeVec
	lag     prometheus.Gauge
}

// NewCorrelation returns a Correlation that Run starts.
func NewCorrelation(cfg CorrelationConfig) *Correlation {
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	c := &Correlation{
		cfg:     cfg,
		groups:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_correlation_groups", Help: "Groups that correlations remember."}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_correlation_entries", Help: "Matches that correlations remember, about 100 bytes each."}),
		lost:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "assay_correlation_lost", Help: "What correlations could not count since the server started, by reason."}, []string{"reason"}),
		lag:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_correlation_backlog_positions", Help: "Ledger positions that the lanes have matched and correlations not yet counted."}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(c.groups, c.entries, c.lost, c.lag)
	}
	return c
}

// Run counts until ctx ends. Errors are logged and tried again.
func (c *Correlation) Run(ctx context.Context) error {
	ticker := time.NewTicker(c.cfg.Poll)
	defer ticker.Stop()
	for {
		more, err := c.Once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, postgres.ErrCursorMoved):
			c.cfg.Logger.DebugContext(ctx, "another server counts correlations")
		case err != nil:
			c.cfg.Logger.ErrorContext(ctx, "counting correlations failed, will retry", "error", assay.Cause(err))
		case more:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Once takes one step. more says that there is another to take.
func (c *Correlation) Once(ctx context.Context) (more bool, err error) {
	more, err = c.step(ctx)
	if err != nil {
		c.counter = nil // what is in memory may be ahead of what is stored
	}
	return more, err
}

func (c *Correlation) step(ctx context.Context) (bool, error) {
	store := c.cfg.Store
	cursor, err := store.Cursor(ctx, CorrelationsPass, 0, CorrelationsVersion)
	if err != nil {
		return false, err
	}
	matched, err := store.LowestCursor(ctx, RulesPass, Lanes)
	if err != nil {
		return false, err
	}
	if c.counter == nil || cursor.Position != c.cursor.Position {
		if err := c.load(ctx); err != nil {
			return false, err
		}
	}
	c.cursor = cursor
	c.lag.Set(float64(matched) - float64(cursor.Position))
	if cursor.Position >= matched {
		return false, nil
	}
	set, until, err := c.cfg.Rules.at(ctx, cursor.Position, matched)
	if err != nil {
		return false, err
	}
	inputs, err := store.CorrelationInputs(ctx, cursor.Position, until, inputsAtOnce)
	if err != nil {
		return false, err
	}
	if len(inputs) >= inputsAtOnce {
		until = inputs[len(inputs)-1].Detection.Ref.Position + 1
	}
	if err := c.counter.use(set); err != nil {
		return false, err
	}
	for i := range inputs {
		c.counter.count(&inputs[i])
	}
	step := c.counter.take()
	if err := store.ApplyCorrelations(ctx, cursor, until, c.cfg.Now(), step); err != nil {
		return false, err
	}
	for i := range step.Detections {
		c.cfg.Rules.found.WithLabelValues(step.Detections[i].Level.String()).Inc()
	}
	c.cursor.Position = until
	c.report()
	return until < matched, nil
}

func (c *Correlation) load(ctx context.Context) error {
	windows, err := c.cfg.Store.CorrelationWindows(ctx, "")
	if err != nil {
		return err
	}
	c.counter = newCounter("", windows)
	return nil
}

func (c *Correlation) report() {
	var all rule.CorrelatorStats
	for _, of := range c.counter.correlators {
		s := of.Stats()
		all.Groups, all.Entries = all.Groups+s.Groups, all.Entries+s.Entries
		all.EvictedGroups, all.DroppedEntries = all.EvictedGroups+s.EvictedGroups, all.DroppedEntries+s.DroppedEntries
		all.Late, all.Untimed, all.Ungrouped = all.Late+s.Late, all.Untimed+s.Untimed, all.Ungrouped+s.Ungrouped
	}
	c.groups.Set(float64(all.Groups))
	c.entries.Set(float64(all.Entries))
	for reason, n := range map[string]uint64{
		"evicted": all.EvictedGroups, "dropped": all.DroppedEntries, "late": all.Late, "untimed": all.Untimed, "ungrouped": all.Ungrouped,
	} {
		c.lost.WithLabelValues(reason).Set(float64(n))
	}
}

// counter is the correlators of all packs of a set, and what they found.
type counter struct {
	owner string
	// stored are the windows of packs that have no correlator yet.
	stored      map[string][]rule.Kept
	set         *ruleSet
	correlators map[string]*rule.Correlator
	found       []assay.Detection
}

func newCounter(owner string, windows []postgres.CorrelationWindow) *counter {
	c := &counter{owner: owner, stored: map[string][]rule.Kept{}, correlators: map[string]*rule.Correlator{}}
	for _, w := range windows {
		c.stored[w.Rule.Pack] = append(c.stored[w.Rule.Pack], rule.Kept{Rule: w.Rule.ID, Key: w.Key, Touched: w.Touched, State: w.State})
	}
	return c
}

// use turns to another set. Correlations that have not changed go on.
func (c *counter) use(set *ruleSet) error {
	if c.set != nil && c.set.position == set.position {
		return nil
	}
	before := c.correlators
	c.correlators = map[string]*rule.Correlator{}
	for _, pack := range set.packs {
		next := pack.set.NewCorrelator(rule.CorrelatorConfig{MaxGroups: maxCorrelationGroups, MaxEntries: maxCorrelationEntries, Track: true})
		var err error
		switch old := before[pack.name]; {
		case old != nil:
			err = next.Succeed(old)
		case c.stored[pack.name] != nil:
			err = next.Restore(c.stored[pack.name])
			delete(c.stored, pack.name)
		}
		if err != nil {
			return fmt.Errorf("restoring correlations of pack %s: %w", pack.name, err)
		}
		c.correlators[pack.name] = next
	}
	// A pack without any rule that is on has nothing to remember by.
	for name, old := range before {
		if c.correlators[name] == nil {
			empty, _ := rule.Compile(nil, rule.Config{})
			none := empty.NewCorrelator(rule.CorrelatorConfig{Track: true})
			if err := none.Succeed(old); err != nil {
				return err
			}
			c.correlators[name] = none
		}
	}
	c.set = set
	return nil
}

// count takes a match in.
func (c *counter) count(in *postgres.CorrelationInput) {
	d := &in.Detection
	for _, pack := range c.set.packs {
		if pack.name != d.Rule.Pack {
			continue
		}
		compiled := pack.compiled[d.Rule.ID]
		if compiled == nil {
			return
		}
		ev := &rule.FieldsEvent{ProviderName: in.Provider, ChannelName: d.Channel, ID: d.EventID}
		for _, f := range in.Fields {
			ev.Data = append(ev.Data, rule.Field{Name: f.Name, Value: f.Value})
		}
		correlator := c.correlators[pack.name]
		correlator.ForgetQuiet(d.ReceivedAt.Add(-quietFor))
		for _, r := range correlator.Observe(rule.Observation{
			Time: d.BookedAt, Ref: rule.Ref(d.Ref), Event: ev, Matches: []rule.Match{{Rule: compiled}}, Received: d.ReceivedAt,
		}) {
			c.hold(pack, d, &r)
		}
	}
}

// hold books a correlation that has come to hold, at the event by which it did.
func (c *counter) hold(pack *packSet, by *assay.Detection, r *rule.Correlated) {
	info := pack.rules[r.Rule.Source]
	if info == nil || !info.detects {
		return
	}
	d := *by
	d.Rule, d.Version, d.Level, d.SetPosition = info.id, info.version, info.level, c.set.position
	d.MemberCount = r.Count
	for _, ref := range r.Refs[max(0, len(r.Refs)-assay.MaxMembers):] {
		d.Members = append(d.Members, assay.EventRef(ref))
	}
	for _, g := range r.Group {
		d.Group = append(d.Group, assay.NamedText{Name: clean(g.Name), Value: clean(g.Value)})
	}
	d.Key = d.Group
	if len(info.alertBy) > 0 {
		d.Key = nil
		for _, g := range d.Group {
			for _, name := range info.alertBy {
				if g.Name == name {
					d.Key = append(d.Key, g)
				}
			}
		}
	}
	c.found = append(c.found, d)
}

// take returns what is to be written of what was counted.
func (c *counter) take() *postgres.CorrelationStep {
	step := &postgres.CorrelationStep{Owner: c.owner, Detections: c.found}
	c.found = nil
	for _, name := range sortedKeys(c.correlators) {
		touched, gone := c.correlators[name].Changes()
		step.Touched = append(step.Touched, windows(name, touched)...)
		step.Gone = append(step.Gone, windows(name, gone)...)
	}
	return step
}

func windows(pack string, kept []rule.Kept) []postgres.CorrelationWindow {
	list := make([]postgres.CorrelationWindow, len(kept))
	for i, k := range kept {
		list[i] = postgres.CorrelationWindow{Rule: assay.RuleID{Pack: pack, ID: k.Rule}, Key: k.Key, Touched: k.Touched, State: k.State}
	}
	return list
}
