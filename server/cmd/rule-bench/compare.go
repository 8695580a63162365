package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/bradleyjkemp/sigma-go"
	"github.com/bradleyjkemp/sigma-go/evaluator"

	"github.com/assay-audit/assay/server/internal/rule"
)

// compare matches the sample with both engines, one after the other, and returns
// how many times as fast ours is. The other has no table of Windows' log sources,
// so it looks at every rule for every event, as its users do who bring none.
func (o *options) compare(stdout io.Writer, set *rule.Set, sources []rule.Source, events []*event) (ratio float64, err error) {
	var rules []sigma.Rule
	for _, s := range sources {
		parsed, err := sigma.ParseRule(s.Data)
		if err == nil {
			rules = append(rules, parsed)
		}
	}
	bundle := evaluator.ForRules(rules, evaluator.WithPlaceholderExpander(func(context.Context, string) ([]string, error) { return []string{"dc01"}, nil }))
	ours := *o
	ours.Rounds = 1
	speed, matches := ours.measure(set, events)
	began := time.Now()
	found := 0
	for _, ev := range events {
		results, err := bundle.Matches(context.Background(), ev.fields())
		if err != nil {
			continue // it cannot evaluate some of the rules it reads; it tells on each event
		}
		for _, r := range results {
			if r.Match {
				found++
			}
		}
	}
	theirs := float64(len(events)) / time.Since(began).Seconds()
	fmt.Fprintf(stdout, "sample of %d events: %.0f events/s here with %d rules, %.1f events/s in sigma-go with the %d it reads; %.3f and %.3f matches an event\n",
		len(events), speed, len(set.Rules()), theirs, len(rules), matches, float64(found)/float64(len(events)))
	return round(speed / theirs), nil
}

// fields is the event as the other engine takes it.
func (e *event) fields() map[string]any {
	fields := map[string]any{"EventID": fmt.Sprint(e.ID), "Channel": e.ChannelName, "Provider_Name": e.ProviderName}
	for _, list := range [][]rule.Field{e.System, e.Data} {
		for _, f := range list {
			if f.Name == "" {
				f.Name = "Data"
			}
			if _, ok := fields[f.Name]; !ok {
				fields[f.Name] = f.Value
			}
		}
	}
	return fields
}
