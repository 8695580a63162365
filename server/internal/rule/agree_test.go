package rule

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is a match without pointers.
func shown(ms []Match) []string {
	var out []string
	for _, m := range ms {
		out = append(out, fmt.Sprintf("%s %q", m.Rule.ID, m.Fields))
	}
	return out
}

// TestPrefilterAgrees compares the prefiltered with the plain evaluation over
// all public events.
func TestPrefilterAgrees(t *testing.T) {
	t.Parallel()
	s := compilePublic(t)
	events := append(allRecords(t), regressionRecords(t)...)
	events = append(events, otrfEvents(t, 3000)...)
	one, two := new(Scratch), new(Scratch)
	matched := 0
	for i, e := range events {
		got, want := s.Match(e, one), s.matchAll(e, two)
		matched += len(want)
		if d := cmp.Diff(shown(want), shown(got)); d != "" {
			t.Fatalf("event %d (%s %d): %s", i, e.Channel(), e.EventID(), d)
		}
	}
	t.Logf("%d events, %d matches", len(events), matched)
	if matched < 1000 {
		t.Errorf("only %d matches: the comparison says little", matched)
	}
}

// TestMissAllocatesNothing checks that an event that matches nothing costs no
// allocation once the Scratch has grown.
func TestMissAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector makes package regexp allocate: nothing is measured")
		return
	}
	s := compilePublic(t)
	sc := new(Scratch)
	var misses []Event
	for _, e := range append(allRecords(t), otrfEvents(t, 500)...) {
		if len(s.Match(e, sc)) == 0 {
			misses = append(misses, e)
		}
	}
	for i, e := range misses {
		run := func() { s.Match(e, sc) }
		// A collection may empty the pool of package regexp once, not always.
		if n := testing.AllocsPerRun(1, run); n > 0 && testing.AllocsPerRun(10, run) > 0 {
			t.Errorf("event %d (%s %d): %v allocations", i, e.Channel(), e.EventID(), n)
		}
	}
	t.Logf("%d events", len(misses))
}
