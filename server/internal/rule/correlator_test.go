package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const failedAndGood = `
title: failed
id: 00000000-0000-0000-0000-000000000001
name: failed
logsource: {product: windows, service: security}
detection: {s: {EventID: 4625}, condition: s}
---
title: good
id: 00000000-0000-0000-0000-000000000002
name: good
logsource: {product: windows, service: security}
detection: {s: {EventID: 4624}, condition: s}
---
title: made
id: 00000000-0000-0000-0000-000000000003
name: made
logsource: {product: windows, category: process_creation}
detection: {s: {Image|endswith: '\x.exe'}, condition: s}
`

func correlationText(id, body string) string {
	return fmt.Sprintf("---\ntitle: c%s\nid: %s\nname: c%s\ncorrelation:\n  %s\n", id, id, id, strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n  "))
}

func compileText(tb testing.TB, text string) *Set {
	tb.Helper()
	s, problems := Compile([]Source{{Name: "t.yml", Data: []byte(text)}}, Config{})
	for _, p := range problems {
		tb.Fatal(p)
	}
	return s
}

// step is an event at a second; user "-" is an event without one.
type step struct {
	at   int
	id   uint32
	user string
	more []string
}

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func (st step) observation(s *Set, n int) Observation {
	e := securityEvent(st.more...)
	e.ID = st.id
	if st.user != "-" {
		e.Data = append(e.Data, Field{"TargetUserName", st.user})
	}
	return Observation{Time: start.Add(time.Duration(st.at) * time.Second), Ref: Ref{Position: uint64(n)}, Event: e, Matches: s.Match(e, new(Scratch))}
}

// run feeds steps and returns "step number: rule count" for each result.
func runSteps(s *Set, c *Correlator, steps []step) []string {
	var out []string
	for i, st := range steps {
		for _, r := range c.Observe(st.observation(s, i)) {
			out = append(out, fmt.Sprintf("%d:%s=%d", i, r.Rule.Name, r.Count))
		}
	}
	return out
}

func TestCorrelations(t *testing.T) {
	t.Parallel()
	bad := func(at int, user string) step { return step{at: at, id: 4625, user: user} }
	good := func(at int, user string) step { return step{at: at, id: 4624, user: user} }
	from := func(at int, user, host string) step {
		return step{at: at, id: 4625, user: user, more: []string{"WorkstationName", host}}
	}
	for _, c := range []struct {
		name, rules string
		steps       []step
		want        []string
	}{
		{"count reached", "type: event_count\nrules: [failed]\ngroup-by: [TargetUserName]\ntimespan: 1m\ncondition: {gte: 3}",
			[]step{bad(0, "a"), bad(10, "b"), bad(20, "A"), bad(59, "a"), bad(60, "a"), bad(200, "a")}, []string{"3:c9=3"}},
		{"the span excludes its beginning", "type: event_count\nrules: [failed]\ntimespan: 1m\ncondition: {gte: 2}",
			[]step{bad(0, "a"), bad(60, "a"), bad(119, "a")}, []string{"2:c9=2"}},
		{"holds once, ceases, holds again", "type: event_count\nrules: [failed]\ntimespan: 10s\ncondition: {gt: 1}",
			[]step{bad(0, "a"), bad(1, "a"), bad(2, "a"), bad(30, "a"), bad(31, "a")}, []string{"1:c9=2", "4:c9=2"}},
		{"gte 1 after a quiet time", "type: event_count\nrules: [failed]\ntimespan: 10s\ncondition: {gte: 1}",
			[]step{bad(0, "a"), bad(1, "a"), bad(30, "a")}, []string{"0:c9=1", "2:c9=1"}},
		{"a range", "type: event_count\nrules: [failed]\ntimespan: 1m\ncondition: {gt: 1, lte: 2}",
			[]step{bad(0, "a"), bad(1, "a"), bad(2, "a")}, []string{"1:c9=2"}},
		{"exactly", "type: event_count\nrules: [failed]\ntimespan: 1m\ncondition: {eq: 2}",
			[]step{bad(0, "a"), bad(1, "a"), bad(2, "a")}, []string{"1:c9=2"}},
		{"several rules", "type: event_count\nrules: [failed, good]\ntimespan: 1m\ncondition: {gte: 2}",
			[]step{bad(0, "a"), good(1, "b")}, []string{"1:c9=2"}},
		{"no group value", "type: event_count\nrules: [failed]\ngroup-by: [TargetUserName]\ntimespan: 1m\ncondition: {gte: 1}",
			[]step{bad(0, "-")}, nil},
		{"late, within lateness", "type: event_count\nrules: [failed]\ntimespan: 1m\ncondition: {gte: 3}",
			[]step{bad(0, "a"), bad(300, "a"), bad(20, "a"), bad(10, "a"), bad(11, "a")}, []string{"3:c9=3"}},
		{"late, not counted with the new", "type: event_count\nrules: [failed]\ntimespan: 1m\ncondition: {gte: 2}",
			[]step{bad(300, "a"), bad(0, "a")}, nil},
		{"too late", "type: event_count\nrules: [failed]\ntimespan: 1m\ncondition: {gte: 2}",
			[]step{bad(0, "a"), bad(5000, "a"), bad(1, "a")}, nil},
		{"values", "type: value_count\nrules: [failed]\ngroup-by: [WorkstationName]\ntimespan: 1m\ncondition: {field: TargetUserName, gte: 2}",
			[]step{from(0, "a", "h"), from(1, "A", "h"), from(2, "b", "i"), from(3, "b", "h"), from(90, "c", "h")}, []string{"3:c9=2"}},
		{"values leave", "type: value_count\nrules: [failed]\ntimespan: 10s\ncondition: {field: TargetUserName, gte: 3}",
			[]step{bad(0, "a"), bad(5, "b"), bad(10, "c"), bad(11, "a")}, []string{"3:c9=3"}},
		{"values, late", "type: value_count\nrules: [failed]\ntimespan: 10s\ncondition: {field: TargetUserName, gte: 3}",
			[]step{bad(0, "a"), bad(5, "b"), bad(3, "c"), bad(6, "d"), bad(40, "e"), bad(41, "f"), bad(39, "e"), bad(42, "g")}, []string{"2:c9=3", "7:c9=3"}},
		{"temporal any order", "type: temporal\nrules: [failed, good]\ngroup-by: [TargetUserName]\ntimespan: 1m",
			[]step{good(0, "a"), bad(1, "b"), bad(2, "a")}, []string{"2:c9=2"}},
		{"temporal apart", "type: temporal\nrules: [failed, good]\ntimespan: 1m", []step{good(0, "a"), bad(60, "a")}, nil},
		{"temporal some of", "type: temporal\nrules: [failed, good, made]\ntimespan: 1m\ncondition: {gte: 2}",
			[]step{good(0, "a"), bad(1, "b")}, []string{"1:c9=2"}},
		{"ordered", "type: temporal_ordered\nrules: [failed, good]\ntimespan: 1m",
			[]step{good(0, "a"), bad(1, "a"), bad(2, "a"), good(3, "a"), good(4, "a"), bad(100, "a"), good(150, "a")}, []string{"3:c9=2", "6:c9=2"}},
		{"ordered, wrong order", "type: temporal_ordered\nrules: [failed, good]\ntimespan: 1m", []step{good(0, "a"), bad(1, "a")}, nil},
		{"ordered, too far", "type: temporal_ordered\nrules: [failed, good]\ntimespan: 1m", []step{bad(0, "a"), good(60, "a")}, nil},
		{"ordered, came late", "type: temporal_ordered\nrules: [failed, good]\ntimespan: 1m", []step{good(10, "a"), bad(5, "a")}, []string{"1:c9=2"}},
		{"aliases", "type: temporal\nrules: [failed, made]\ngroup-by: [user]\ntimespan: 1m\naliases: {user: {failed: TargetUserName, made: SubjectUserName}}",
			[]step{bad(0, "a"), {at: 1, id: 4688, user: "a", more: []string{"NewProcessName", `C:\x.exe`, "SubjectUserName", "b"}},
				{at: 2, id: 4688, user: "z", more: []string{"NewProcessName", `C:\x.exe`, "SubjectUserName", "a"}}}, []string{"2:c9=2"}},
		{"mapped field", "type: event_count\nrules: [made]\ngroup-by: [Image]\ntimespan: 1m\ncondition: {gte: 2}",
			[]step{{at: 0, id: 4688, more: []string{"NewProcessName", `C:\x.exe`}}, {at: 1, id: 4688, more: []string{"NewProcessName", `D:\x.exe`}},
				{at: 2, id: 4688, more: []string{"NewProcessName", `C:\X.exe`}}}, []string{"2:c9=2"}},
	} {
		s := compileText(t, failedAndGood+correlationText("9", c.rules))
		got := runSteps(s, s.NewCorrelator(CorrelatorConfig{}), c.steps)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestCorrelationChain is the specification's example: many failures, then a
// success.
func TestCorrelationChain(t *testing.T) {
	t.Parallel()
	// The outer correlation stands before the one it refers to.
	s := compileText(t, failedAndGood+
		correlationText("9", "type: temporal_ordered\nrules: [c8, good]\ngroup-by: [TargetUserName]\ntimespan: 10m")+
		correlationText("8", "type: event_count\nrules: [failed]\ngroup-by: [TargetUserName]\ntimespan: 10m\ncondition: {gte: 3}"))
	c := s.NewCorrelator(CorrelatorConfig{})
	got := runSteps(s, c, []step{
		{at: 0, id: 4625, user: "a"}, {at: 1, id: 4625, user: "a"}, {at: 2, id: 4624, user: "a"},
		{at: 3, id: 4625, user: "a"}, {at: 4, id: 4624, user: "b"},
		// The failures go on past the timespan of the first that was too many.
		{at: 500, id: 4625, user: "a"}, {at: 600, id: 4625, user: "a"}, {at: 700, id: 4624, user: "a"},
	})
	if want := []string{"3:c8=3", "7:c9=2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, r := range s.Rules() {
		if want := r.Name == "c9" || r.Name == "made"; r.Standalone != want {
			t.Errorf("%s: standalone %v, want %v", r.Name, r.Standalone, want)
		}
	}
}

func TestCorrelatedSaysWhat(t *testing.T) {
	t.Parallel()
	s := compileText(t, failedAndGood+correlationText("9", "type: event_count\nrules: [failed]\ngroup-by: [TargetUserName]\ntimespan: 1m\ncondition: {gte: 2}\ngenerate: true"))
	c := s.NewCorrelator(CorrelatorConfig{})
	c.Observe(step{at: 0, id: 4625, user: "a"}.observation(s, 5))
	got := c.Observe(step{at: 7, id: 4625, user: "A"}.observation(s, 6))
	want := []Correlated{{Rule: s.Rules()[3], First: start, Last: start.Add(7 * time.Second), Count: 2,
		Group: []Field{{"TargetUserName", "A"}}, Refs: []Ref{{Position: 5}, {Position: 6}}}}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !s.Rules()[0].Standalone {
		t.Error("generate: true does not keep the rule standalone")
	}
	if st := c.Stats(); st.Groups != 1 || st.Entries != 2 {
		t.Errorf("stats %+v", st)
	}
	c.Expire(start.Add(time.Hour))
	if st := c.Stats(); st.Groups != 0 || st.Entries != 0 {
		t.Errorf("after expiry: %+v", st)
	}
}

// TestCorrelatorStaysBounded floods a Correlator with groups and with matches of
// one group, and checks the bounds and that the loss is counted.
func TestCorrelatorStaysBounded(t *testing.T) {
	t.Parallel()
	s := compileText(t, failedAndGood+correlationText("9", "type: event_count\nrules: [failed]\ngroup-by: [TargetUserName]\ntimespan: 1h\ncondition: {gte: 10000}"))
	c := s.NewCorrelator(CorrelatorConfig{MaxGroups: 10, MaxEntries: 50})
	for i := range 200 {
		c.Observe(step{at: i, id: 4625, user: fmt.Sprint(i % 40)}.observation(s, i))
		if st := c.Stats(); st.Groups > 10 || st.Entries > 50 {
			t.Fatalf("beyond its bounds: %+v", st)
		}
	}
	if c.Stats().EvictedGroups == 0 {
		t.Error("evicted groups are not counted")
	}
	c = s.NewCorrelator(CorrelatorConfig{})
	e := step{at: 0, id: 4625, user: "a"}.observation(s, 0)
	for i := range maxCorrelationCount + 10 {
		e.Time = start.Add(time.Duration(i) * time.Millisecond)
		c.Observe(e)
	}
	if st := c.Stats(); st.Entries != maxCorrelationCount || st.DroppedEntries != 10 {
		t.Errorf("one large group: %+v", st)
	}
	e.Time = start.Add(-3 * time.Hour)
	c.Observe(e)
	if c.Stats().Late != 1 {
		t.Error("an event that came too late is not counted")
	}
	e.Time = time.Time{}
	c.Observe(e)
	if c.Stats().Untimed != 1 {
		t.Error("an event without time is not counted")
	}
}

// TestCorrelationOrderOfArrival compares, for counts and ordered sequences,
// whether anything was reported when events arrive in order and shuffled.
func TestCorrelationOrderOfArrival(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, body := range []string{
		"type: event_count\nrules: [failed]\ntimespan: 40s\ncondition: {gte: 3}",
		"type: value_count\nrules: [failed]\ntimespan: 20s\ncondition: {field: TargetUserName, gte: 3}",
		"type: temporal\nrules: [failed, good]\ntimespan: 5s",
		"type: temporal_ordered\nrules: [failed, good]\ntimespan: 5s",
	} {
		s := compileText(t, failedAndGood+correlationText("9", body))
		both := [2]int{}
		for range 300 {
			steps := make([]step, 6)
			for i := range steps {
				steps[i] = step{at: random.IntN(100), id: 4624 + uint32(random.IntN(2)), user: string(rune('a' + random.IntN(4)))}
			}
			slices.SortStableFunc(steps, func(a, b step) int { return a.at - b.at })
			// Of one second the order of arrival decides; keep it out of this.
			steps = slices.CompactFunc(steps, func(a, b step) bool { return a.at == b.at })
			inOrder := len(runSteps(s, s.NewCorrelator(CorrelatorConfig{}), steps)) > 0
			random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
			shuffled := len(runSteps(s, s.NewCorrelator(CorrelatorConfig{}), steps)) > 0
			if inOrder != shuffled {
				t.Fatalf("%s: in order %v, shuffled %v: %v", body, inOrder, shuffled, steps)
			}
			if inOrder {
				both[0]++
			} else {
				both[1]++
			}
		}
		if both[0] < 10 || both[1] < 10 {
			t.Errorf("%s: %v says little", body, both)
		}
	}
}
