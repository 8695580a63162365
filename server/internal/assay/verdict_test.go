package assay

import (
	"slices"
	"testing"
	"time"
)

func TestStates(t *testing.T) {
	t.Parallel()
	order := []State{StateNotApplicable, StatePass, StateManual, StateUnknown, StateError, StateFail}
	for i, a := range order {
		if parsed, err := ParseState(a.String()); err != nil || parsed != a {
			t.Errorf("%s reads as %v, %v", a, parsed, err)
		}
		for j, b := range order {
			if got := a.Worse(b); got != order[max(i, j)] {
				t.Errorf("%s and %s roll up to %s", a, b, got)
			}
		}
		if NoState.Worse(a) != a || a.Worse(NoState) != a {
			t.Errorf("no state changes %s", a)
		}
		var counts StateCounts
		for _, s := range order[:i+1] {
			counts.Add(s)
		}
		if counts.Worst() != a {
			t.Errorf("the vector up to %s rolls up to %s", a, counts.Worst())
		}
	}
	for _, text := range []string{"", "PASS", "compliant"} {
		if _, err := ParseState(text); KindOf(err) != Invalid {
			t.Errorf("%q is a state: %v", text, err)
		}
	}
	if (&StateCounts{Excepted: 3}).Worst() != NoState || State(99).String() != "" {
		t.Error("what is no state has a name")
	}
}

func TestFindingID(t *testing.T) {
	t.Parallel()
	id := NewFindingID("log.cleared", HostID{1}, "key")
	if parsed, err := ParseFindingID(id.String()); err != nil || parsed != id {
		t.Errorf("%s reads as %s, %v", id, parsed, err)
	}
	if id.String()[14] != '8' || !slices.Contains([]byte("89ab"), id.String()[19]) {
		t.Errorf("%s is not of version 8", id)
	}
	for name, other := range map[string]FindingID{
		"check": NewFindingID("log.stop", HostID{1}, "key"), "host": NewFindingID("log.cleared", HostID{2}, "key"),
		"key": NewFindingID("log.cleared", HostID{1}, "kez"),
	} {
		if other == id {
			t.Errorf("another %s has the same id", name)
		}
	}
}

func TestExceptionHasATerm(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := Exception{From: from, Expiry: from.Add(time.Hour)}
	for offset, want := range map[time.Duration]bool{-1: false, 0: true, time.Hour - 1: true, time.Hour: false} {
		if e.In(from.Add(offset)) != want {
			t.Errorf("at %s: %v", offset, !want)
		}
	}
}
