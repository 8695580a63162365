package assess

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evaluate"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// chunkHosts is how many hosts' facts are held at a time.
const chunkHosts = 500

// FactHorizon is how far back the hits of an enrolled host are read; those of
// an imported one are few and may be of any age. Coverage and metrics are judged by the
// window alone and are read for the last coverageHorizon.
const (
	FactHorizon     = 400 * 24 * time.Hour
	coverageHorizon = 31 * 24 * time.Hour
	maxVerification = 1000
)

// shared are the inputs that all hosts have in common.
type shared struct {
	lists         map[string]evaluate.List
	parameters    map[string]map[string]string
	windows       []evaluate.ChangeWindow
	closures      []assay.Closure
	verifications []evaluate.Verification
	reviews       []evaluate.Review
	rulesOn       []evaluate.RulesOn
	ledgerSince   time.Time
}

func (a *Assessor) common(ctx context.Context, s *Snapshot) (*shared, error) {
	c := &shared{lists: map[string]evaluate.List{}, parameters: map[string]map[string]string{}}
	changes, err := a.cfg.Store.PolicyChanges(ctx, s.Size)
	if err != nil {
		return nil, err
	}
	for i := range changes {
		c.apply(&changes[i])
	}
	if c.closures, err = a.cfg.Store.Closures(ctx); err != nil {
		return nil, err
	}
	runs, err := a.cfg.Store.VerificationsSince(ctx, s.Instant.Add(-coverageHorizon), maxVerification)
	if err != nil {
		return nil, err
	}
	for _, v := range runs {
		c.verifications = append(c.verifications, evaluate.Verification{
			At: v.FinishedAt, Good: len(v.Problems) == 0, Detail: strings.Join(v.Problems[:min(len(v.Problems), 3)], "; "),
		})
	}
	if err := a.watched(ctx, s, c); err != nil {
		return nil, err
	}
	c.ledgerSince, err = a.cfg.Store.LedgerBegan(ctx)
	return c, err
}

// watched loads how people and rules watched.
func (a *Assessor) watched(ctx context.Context, s *Snapshot, c *shared) error {
	reviews, err := a.cfg.Store.Reviews(ctx, s.Instant.Add(-coverageHorizon))
	if err != nil {
		return err
	}
	for _, r := range reviews {
		c.reviews = append(c.reviews, evaluate.Review{At: r.At, Position: r.Position})
	}
	sets, err := a.cfg.Store.RuleSets(ctx, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	for _, set := range sets {
		c.rulesOn = append(c.rulesOn, evaluate.RulesOn{At: set.ChangedAt, Rules: set.Rules + set.Correlations, Position: set.Position})
	}
	return nil
}

// digests pins what people decided: each list, and all parameters and change
// windows together.
func (c *shared) digests() (map[string][32]byte, error) {
	digests := make(map[string][32]byte, len(c.lists)+2)
	add := func(name string, value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", name, err)
		}
		digests[name] = sha256.Sum256(text)
		return nil
	}
	for name, list := range c.lists {
		if err := add("list "+name, list); err != nil {
			return nil, err
		}
	}
	if err := add("parameters", c.parameters); err != nil {
		return nil, err
	}
	return digests, add("change windows", c.windows)
}

// apply takes a decision in; later ones replace earlier ones of the same name.
func (c *shared) apply(p *assay.PolicyChange) {
	switch p.Kind {
	case assay.PolicyList:
		if len(p.Values) == 0 {
			delete(c.lists, p.Name)
			return
		}
		list := evaluate.List{Owner: p.Owner, Position: p.Position, ValidFrom: p.RecordedAt}
		if !p.From.IsZero() {
			list.ValidFrom = p.From // the owner says since when it holds
		}
		if before, ok := c.lists[p.Name]; ok && before.ValidFrom.Before(list.ValidFrom) {
			list.ValidFrom = before.ValidFrom
		}
		for _, v := range p.Values {
			list.Entries = append(list.Entries, evaluate.ListEntry{Value: v})
		}
		c.lists[p.Name] = list
	case assay.PolicyParameter:
		check, name, _ := strings.Cut(p.Name, "/")
		if c.parameters[check] == nil {
			c.parameters[check] = map[string]string{}
		}
		if len(p.Values) == 0 {
			delete(c.parameters[check], name)
			return
		}
		c.parameters[check][name] = strings.Join(p.Values, "\n")
	case assay.PolicyChangeWindow:
		c.windows = append(c.windows, evaluate.ChangeWindow{
			From: p.From, To: p.To, Checks: p.Checks, Approver: p.By, Reason: p.Reason, Position: p.Position,
		})
	}
}

// inputs loads the facts of some hosts; the result is in their order.
func (a *Assessor) inputs(ctx context.Context, s *Snapshot, c *shared, hosts []assay.Host) ([]evaluate.Inputs, error) {
	ids := make([]assay.HostID, len(hosts))
	at := make(map[assay.HostID]int, len(hosts))
	inputs := make([]evaluate.Inputs, len(hosts))
	for i := range hosts {
		ids[i], at[hosts[i].ID] = hosts[i].ID, i
		inputs[i] = a.input(s, c, &hosts[i])
	}
	store, instant := a.cfg.Store, s.Instant
	imported, enrolled := byKind(hosts)
	for _, part := range []struct {
		hosts []assay.HostID
		from  time.Time
	}{{imported, time.Time{}}, {enrolled, instant.Add(-FactHorizon)}} {
		hits, err := store.Hits(ctx, part.hosts, part.from, instant)
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			in := &inputs[at[h.Host]]
			in.Hits = append(in.Hits, h)
		}
	}
	ranges, err := store.Coverage(ctx, ids, instant.Add(-coverageHorizon), instant)
	if err != nil {
		return nil, err
	}
	for _, r := range ranges {
		in := &inputs[at[r.Host]]
		in.Coverage = append(in.Coverage, r)
		seenAlive(&in.Health, &r, instant)
	}
	metrics, err := store.Metrics(ctx, ids, instant.Add(-coverageHorizon), instant)
	if err != nil {
		return nil, err
	}
	for _, m := range metrics {
		in := &inputs[at[m.Host]]
		in.Metrics = append(in.Metrics, m)
	}
	openings, err := store.AlertOpenings(ctx, ids, instant.Add(-FactHorizon))
	if err != nil {
		return nil, err
	}
	for i := range openings {
		in := &inputs[at[openings[i].Host]]
		in.Openings = append(in.Openings, opening(&openings[i]))
	}
	return inputs, nil
}

func opening(o *postgres.AlertOpening) evaluate.Opening {
	return evaluate.Opening{
		Alert: o.Alert, Number: o.Number, Failure: o.Rule.Pack == assay.ChecksPack, Title: o.Title, Level: o.Level, At: o.At, Position: o.Position,
		AcknowledgeDue: o.AcknowledgeDue, CloseDue: o.CloseDue, Acknowledged: evaluate.Deed(o.Acknowledged), Closed: evaluate.Deed(o.Closed),
	}
}

// byKind parts hosts into those known from exported logs, which may be of any
// age, and the others.
func byKind(hosts []assay.Host) (imported, enrolled []assay.HostID) {
	for i := range hosts {
		if hosts[i].Kind == assay.ImportedHost {
			imported = append(imported, hosts[i].ID)
		} else {
			enrolled = append(enrolled, hosts[i].ID)
		}
	}
	return imported, enrolled
}

func (a *Assessor) input(s *Snapshot, c *shared, host *assay.Host) evaluate.Inputs {
	activity := s.Activity[host.ID]
	first := activity.FirstObserved
	in := evaluate.Inputs{
		Host: evaluate.Host{
			ID: host.ID, Imported: host.Kind == assay.ImportedHost, Tags: host.Tags, OS: host.OS, FirstSeen: first, Simulated: host.Simulated,
			ExpectedOn: slices.ContainsFunc(host.Tags, func(tag string) bool { return tag == "server" || tag == "pos" }),
		},
		Library: a.cfg.Library, From: s.Instant.Add(-coverageHorizon), Lists: c.lists, Parameters: c.parameters, ChangeWindows: c.windows,
		Closures: c.closures, Verifications: c.verifications, Reviews: c.reviews, RulesOn: c.rulesOn, LedgerSince: c.ledgerSince, Watermark: s.Watermark,
	}
	if activity.LastHealth.After(time.Time{}) && !activity.LastHealth.After(s.Instant) {
		in.Health.At = activity.LastHealth
	}
	if first.After(in.From) {
		in.From = first
	}
	return in
}

// seenAlive finds the newest health at or before the instant: a range ends
// where a health statement ended it, and within one there is one each minute.
func seenAlive(health *evaluate.Health, r *assay.CoverageRange, instant time.Time) {
	alive := r.To
	if alive.After(instant) {
		alive = instant
	}
	if r.State == assay.Covered && !alive.Before(health.At) {
		health.At, health.Ref = alive, r.Until
	}
}

func sortFindings(findings []postgres.StoredFinding) {
	slices.SortStableFunc(findings, func(a, b postgres.StoredFinding) int {
		if c := b.OpenedAt.Compare(a.OpenedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
}
