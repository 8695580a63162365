package upkeep

import (
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

func TestSuppressionHoldsForItsTimeAndCounts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := &assay.Suppression{ID: assay.SuppressionID{1}, Owner: "operations", Reason: "nightly backup", CreatedBy: "ann", ExpiresAt: noon.Add(time.Hour),
		Scope: assay.SuppressionScope{Rule: rule, Tag: "backup", Conditions: []assay.NamedText{{Name: "CommandLine", Value: "*delete*"}}}}
	if _, err := d.store.CreateSuppression(t.Context(), s, false); err != nil {
		t.Fatal(err)
	}
	other := d.match(func(x *assay.Detection) { x.Matched[0].Value = "vssadmin resize" })
	d.detect(d.match(nil), d.match(nil), other)
	d.once()
	if a := d.one(); a.Count != 1 || a.Latest != other.Ref {
		t.Errorf("the alert holds %d detections, the newest %s", a.Count, a.Latest)
	}
	d.exec(`UPDATE projection_cursor SET position = 0 WHERE pass = 'alerts'`)
	d.once()
	stored, err := d.store.Suppression(t.Context(), s.ID)
	if err != nil || stored.Count != 2 {
		t.Errorf("%d were counted as suppressed (%v), want 2", stored.Count, err)
	}
	_, total, err := d.store.Detections(t.Context(), &postgres.DetectionQuery{Suppressed: "yes", Limit: 10})
	if err != nil || total != 2 {
		t.Errorf("%d suppressed detections are listed (%v), want 2", total, err)
	}
	d.now = noon.Add(time.Hour) // the very end is past it
	d.detect(d.match(nil))
	d.once()
	if a := d.one(); a.Count != 2 {
		t.Errorf("past its end, the suppression still holds: %d detections", a.Count)
	}
}

func TestSuppressionNeedsAnEndAndANarrowScope(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	good := assay.Suppression{Owner: "o", Reason: "r", ExpiresAt: noon.Add(time.Hour), Scope: assay.SuppressionScope{Rule: rule}}
	for name, spoil := range map[string]func(*assay.Suppression){
		"no end":       func(s *assay.Suppression) { s.ExpiresAt = time.Time{} },
		"past end":     func(s *assay.Suppression) { s.ExpiresAt = noon },
		"far end":      func(s *assay.Suppression) { s.ExpiresAt = noon.Add(assay.MaxSuppression + time.Second) },
		"no owner":     func(s *assay.Suppression) { s.Owner = " " },
		"no reason":    func(s *assay.Suppression) { s.Reason = "" },
		"everything":   func(s *assay.Suppression) { s.Scope.Rule = assay.RuleID{} },
		"any value":    func(s *assay.Suppression) { s.Scope.Conditions = []assay.NamedText{{Name: "x", Value: "**"}} },
		"unknown rule": func(s *assay.Suppression) { s.Scope.Rule.ID = "r2" },
		"unknown host": func(s *assay.Suppression) { s.Scope.Host = assay.HostID{9} },
	} {
		s := good
		spoil(&s)
		if _, err := d.store.CreateSuppression(t.Context(), &s, false); assay.KindOf(err) != assay.Invalid && assay.KindOf(err) != assay.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.detect(d.match(nil))
	d.once()
	if closed, err := d.store.CreateSuppression(t.Context(), &good, true); err != nil || closed != 1 || d.one().State != assay.AlertClosed {
		t.Errorf("%d closed (%v), the alert is %s", closed, err, d.one().State)
	}
}
