package evaluate

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

func someVerdicts(n int) []assay.Verdict {
	var list []assay.Verdict
	for i := range n {
		for _, check := range []string{"log.cleared", "log.stop"} {
			list = append(list, assay.Verdict{Host: assay.HostID{byte(i), byte(i >> 8), 5}, Check: check, State: assay.StatePass, WindowTo: fixtureInstant})
		}
	}
	return list
}

func TestMapProvesEachState(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 7, 300} {
		verdicts := someVerdicts(n)
		m, err := NewMap(verdicts)
		if err != nil {
			t.Fatal(err)
		}
		root, err := m.Root()
		if err != nil {
			t.Fatal(err)
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(verdicts), func(i, j int) { verdicts[i], verdicts[j] = verdicts[j], verdicts[i] })
		other, err := NewMap(verdicts)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := other.Root(); again != root {
			t.Errorf("%d hosts: the order of verdicts changes the root", n)
		}
		for i := range verdicts {
			v := &verdicts[i]
			proofs, found, err := m.Prove(v.Host, v.Check)
			if err != nil || !found || len(proofs) != 1 {
				t.Fatalf("%d: %v %v", i, found, err)
			}
			if err := proofs[0].Verify(root); err != nil {
				t.Error(err)
			}
			if !slices.Equal(proofs[0].Record, Record(v)) {
				t.Error("the record is not the verdict's")
			}
			forged := *v
			forged.State = assay.StateFail
			proofs[0].Record = Record(&forged)
			if proofs[0].Verify(root) == nil {
				t.Error("a forged state verifies")
			}
		}
	}
}

func TestMapProvesAbsence(t *testing.T) {
	t.Parallel()
	m, err := NewMap(someVerdicts(5))
	if err != nil {
		t.Fatal(err)
	}
	root, _ := m.Root()
	proofs, found, err := m.Prove(assay.HostID{2, 0, 5}, "log.fields")
	if err != nil || found || len(proofs) != 2 || proofs[0].Index+1 != proofs[1].Index {
		t.Fatalf("%v %v %v", proofs, found, err)
	}
	for i := range proofs {
		if err := proofs[i].Verify(root); err != nil {
			t.Error(err)
		}
	}
	if _, err := NewMap(append(someVerdicts(2), someVerdicts(1)...)); err == nil {
		t.Error("two verdicts of one host and check are accepted")
	}
	empty, err := NewMap(nil)
	if err != nil {
		t.Fatal(err)
	}
	if root, err := empty.Root(); err != nil || hex.EncodeToString(root[:4]) != "e3b0c442" {
		t.Errorf("empty root %x: %v", root, err)
	}
}

// TestStateDigestCoversTheVerdict: every part of a conclusion changes it, the
// words do not.
func TestStateDigestCoversTheVerdict(t *testing.T) {
	t.Parallel()
	base := StateDigest(&assay.Verdict{})
	for name, v := range map[string]assay.Verdict{
		"state": {State: assay.StateFail}, "reason": {Reason: assay.ReasonStale}, "grade": {Grade: assay.GradeB},
		"coverage": {Coverage: 0.5}, "has coverage": {HasCoverage: true}, "from": {WindowFrom: fixtureInstant}, "to": {WindowTo: fixtureInstant},
		"evidence": {Evidence: []assay.EventRef{{Position: 1}}}, "evidence total": {EvidenceTotal: 1}, "since": {Since: fixtureInstant},
		"last failing": {LastFailing: fixtureInstant.Add(time.Second)}, "open findings": {OpenFindings: 1}, "disposition": {Disposition: assay.RiskAccepted}, "accruing": {Accruing: true},
	} {
		if StateDigest(&v) == base {
			t.Errorf("%s does not change the digest", name)
		}
	}
	if StateDigest(&assay.Verdict{Detail: "words"}) != base {
		t.Error("words change the digest")
	}
}
