package evaluate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/server/internal/assay"
)

func states(list ...assay.State) []assay.Verdict {
	var out []assay.Verdict
	for i, s := range list {
		out = append(out, assay.Verdict{Host: assay.HostID{1}, Check: string(rune('a' + i)), State: s, Grade: assay.Grade(i + 1)})
	}
	return out
}

func TestRequirementOn(t *testing.T) {
	t.Parallel()
	const (
		pass, fail, unknown    = assay.StatePass, assay.StateFail, assay.StateUnknown
		broken, none, byPerson = assay.StateError, assay.StateNotApplicable, assay.StateManual
	)
	for name, c := range map[string]struct {
		states []assay.State
		want   assay.State
	}{
		"fail over error":        {[]assay.State{broken, fail, unknown}, fail},
		"error over unknown":     {[]assay.State{unknown, broken, byPerson}, broken},
		"unknown over manual":    {[]assay.State{byPerson, unknown, pass}, unknown},
		"manual over pass":       {[]assay.State{pass, byPerson, none}, byPerson},
		"pass over none":         {[]assay.State{none, pass, none}, pass},
		"nothing applies":        {[]assay.State{none, none, none}, none},
		"a check without a word": {[]assay.State{pass, pass}, unknown},
	} {
		r := assay.Requirement{Ceiling: assay.Partial, Checks: []string{"a", "b", "c"}}
		got := RequirementOn(&r, states(c.states...))
		if got.State != c.want || got.Ceiling != assay.Partial || got.Supported() != (c.want == pass) {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
	if got := RequirementOn(&assay.Requirement{Ceiling: assay.ByHand}, nil); got.State != byPerson || got.Reason != assay.ReasonByHand {
		t.Errorf("no checks: %+v", got)
	}
}

func TestRequirementOver(t *testing.T) {
	t.Parallel()
	r := assay.Requirement{Checks: []string{"a"}}
	if got := RequirementOver(&r, nil); got.State != assay.StateNotApplicable || got.Reason != assay.ReasonScope {
		t.Errorf("no hosts: %+v", got)
	}
	hosts := [][]assay.Verdict{states(assay.StatePass), states(assay.StateFail), states(assay.StateUnknown)}
	got := RequirementOver(&r, hosts)
	if got.State != assay.StateFail || got.Counts != (assay.StateCounts{Pass: 1, Fail: 1, Unknown: 1}) {
		t.Errorf("%+v", got)
	}
	if share, _ := PassShare(&got.Counts); share < 0.33 || share > 0.34 {
		t.Errorf("unknown does not count against: %f", share)
	}
	// Under an exception the fail is shown as such and does not decide.
	hosts[1][0].Disposition = assay.Compensating
	got = RequirementOver(&r, hosts)
	if got.State != assay.StateUnknown || got.Counts.Excepted != 1 || got.Counts.Fail != 0 || got.Excepted {
		t.Errorf("excepted: %+v", got)
	}
	got = RequirementOver(&r, hosts[1:2])
	if got.State != assay.StateFail || !got.Excepted {
		t.Errorf("nothing but an exception: %+v", got)
	}
	manual := RequirementOver(&assay.Requirement{Ceiling: assay.ByHand}, hosts)
	if manual.State != assay.StateManual || manual.Counts.Manual != 3 {
		t.Errorf("manual: %+v", manual)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	library := load(t)
	in := watched(t)
	hosts := [][]assay.Verdict{Evaluate(in, 100, fixtureInstant).Verdicts}
	for _, f := range library.Frameworks() {
		sum := Summary(&f, hosts)
		c := sum.Counts
		if all := c.Pass + c.Fail + c.Unknown + c.Error + c.NotApplicable + c.Manual + c.Excepted; all != len(f.Requirements) {
			t.Errorf("%s: %d of %d requirements counted", f.ID, all, len(f.Requirements))
		}
		if c.Pass == 0 && f.ID == "pci-dss" || c.Manual == 0 || c.Unknown == 0 {
			t.Errorf("%s: %+v", f.ID, c)
		}
	}
	if got := CheckOver("log.cleared", hosts); got.Counts.Pass != 1 {
		t.Errorf("log.cleared: %+v", got)
	}
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	since := fixtureInstant.Add(-time.Hour)
	before := states(assay.StatePass, assay.StatePass, assay.StateUnknown)
	after := states(assay.StatePass, assay.StateFail, assay.StatePass, assay.StateManual)
	after[1].Since, after[1].Reason = since, assay.ReasonViolated
	want := []assay.Transition{
		{Host: assay.HostID{1}, Check: "b", From: assay.StatePass, To: assay.StateFail, Reason: assay.ReasonViolated, ValidAt: since},
		{Host: assay.HostID{1}, Check: "c", From: assay.StateUnknown, To: assay.StatePass, ValidAt: fixtureInstant},
		{Host: assay.HostID{1}, Check: "d", To: assay.StateManual, ValidAt: fixtureInstant},
	}
	if diff := cmp.Diff(want, Transitions(before, after, fixtureInstant)); diff != "" {
		t.Error(diff)
	}
	if got := Transitions(after, after, fixtureInstant); got != nil {
		t.Errorf("no change gives %v", got)
	}
}
