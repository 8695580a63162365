package rule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const keptRules = failedAndGood + `---
title: many
id: 00000000-0000-0000-0000-00000000000a
name: many
correlation:
  type: event_count
  rules: [failed]
  group-by: [TargetUserName]
  timespan: 1m
  condition: {gte: 3}
---
title: distinct
id: 00000000-0000-0000-0000-00000000000b
name: distinct
correlation:
  type: value_count
  rules: [failed, good]
  group-by: [Computer]
  timespan: 2m
  condition: {field: TargetUserName, gte: 3}
---
title: then
id: 00000000-0000-0000-0000-00000000000c
correlation:
  type: temporal_ordered
  rules: [many, good]
  group-by: [TargetUserName]
  timespan: 5m
`

// store is what a database would hold of a Correlator.
type store map[goneKey]Kept

func (s store) take(c *Correlator) {
	touched, gone := c.Changes()
	for _, k := range gone {
		delete(s, goneKey{k.Rule, k.Key})
	}
	for _, k := range touched {
		s[goneKey{k.Rule, k.Key}] = k
	}
}

func (s store) list() (all []Kept) {
	for _, k := range s {
		all = append(all, k)
	}
	return all
}

// TestKeptCorrelatorGoesOn stops a Correlator at every few events, in every way
// there is, and wants what it reports and loses to be that of one that never
// stopped.
func TestKeptCorrelatorGoesOn(t *testing.T) {
	t.Parallel()
	sets := [...]*Set{compileText(t, keptRules), compileText(t, keptRules)}
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		set := sets[0]
		cfg := CorrelatorConfig{MaxGroups: 9, MaxEntries: 60, Lateness: 30 * time.Second, Track: true}
		plain, kept := set.NewCorrelator(cfg), set.NewCorrelator(cfg)
		rows := store{}
		at := 0
		for n := range 400 {
			at += random.IntN(20) - 3
			if random.IntN(60) == 0 {
				at += 400
			}
			st := step{at: at, id: 4624 + uint32(random.IntN(2)), user: fmt.Sprint("u", random.IntN(6))}
			o := st.observation(set, n)
			o.Received = o.Time
			want, got := fmt.Sprint(reports(plain.Observe(o))), fmt.Sprint(reports(kept.Observe(o)))
			if want != got {
				t.Fatalf("seed %d, event %d: %s, uninterrupted %s", seed, n, got, want)
			}
			switch random.IntN(8) {
			case 0:
				rows.take(kept)
				kept = set.NewCorrelator(cfg)
				if err := kept.Restore(rows.list()); err != nil {
					t.Fatal(err)
				}
			case 1:
				set = sets[random.IntN(2)]
				next := set.NewCorrelator(cfg)
				if err := next.Succeed(kept); err != nil {
					t.Fatal(err)
				}
				again := set.NewCorrelator(cfg)
				if err := again.Succeed(plain); err != nil {
					t.Fatal(err)
				}
				kept, plain = next, again
			case 2:
				before := o.Time.Add(-10 * time.Minute)
				plain.ForgetQuiet(before)
				kept.ForgetQuiet(before)
			}
			a, b := plain.Stats(), kept.Stats()
			if a.Groups != b.Groups || a.Entries != b.Entries {
				t.Fatalf("seed %d, event %d: %d groups and %d entries, uninterrupted %d and %d", seed, n, b.Groups, b.Entries, a.Groups, a.Entries)
			}
		}
		plain.Changes()
	}
}

func reports(list []Correlated) (out []string) {
	for _, c := range list {
		out = append(out, fmt.Sprint(c.Rule.ID, c.Count, c.Refs, c.Group, c.First, c.Last))
	}
	return out
}

func TestChangedCorrelationBeginsAnew(t *testing.T) {
	t.Parallel()
	set := compileText(t, keptRules)
	c := set.NewCorrelator(CorrelatorConfig{Track: true})
	c.Observe(step{at: 1, id: 4625, user: "a"}.observation(set, 1))
	rows := store{}
	rows.take(c)
	other := compileText(t, failedAndGood+correlationText("00000000-0000-0000-0000-00000000000a", "type: event_count\nrules: [failed]\ngroup-by: [TargetUserName]\ntimespan: 1m\ncondition: {gte: 2}"))
	d := other.NewCorrelator(CorrelatorConfig{Track: true})
	if err := d.Restore(rows.list()); err != nil {
		t.Fatal(err)
	}
	if d.Stats().Groups != 0 {
		t.Errorf("a correlation that has changed took over %d groups of the one before", d.Stats().Groups)
	}
	if _, gone := d.Changes(); len(gone) != len(rows) {
		t.Errorf("%d of %d stored windows are told to be deleted", len(gone), len(rows))
	}
}

func TestNeededFieldsAreThoseAsked(t *testing.T) {
	t.Parallel()
	set := compileText(t, keptRules)
	for _, r := range set.Rules() {
		fields, ok := set.Needed(r)
		switch r.Title {
		case "failed", "good":
			if got := fmt.Sprint(fields); got != "[Computer TargetUserName]" || !ok {
				t.Errorf("%s needs %s, %v", r.Title, got, ok)
			}
		case "made":
			if ok {
				t.Errorf("%s feeds no correlation and needs %v", r.Title, fields)
			}
		}
	}
}

func FuzzRestore(f *testing.F) {
	set, _ := Compile([]Source{{Name: "t.yml", Data: []byte(keptRules)}}, Config{})
	c := set.NewCorrelator(CorrelatorConfig{Track: true})
	for n := range 5 {
		c.Observe(step{at: n, id: 4625, user: "a"}.observation(set, n))
	}
	touched, _ := c.Changes()
	for _, k := range touched {
		f.Add(k.State)
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		c := set.NewCorrelator(CorrelatorConfig{})
		if c.Restore([]Kept{{Rule: "00000000-0000-0000-0000-00000000000a", State: state}}) == nil {
			c.Observe(step{at: 9, id: 4625, user: "a"}.observation(set, 9))
		}
	})
}
