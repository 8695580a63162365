package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Print writes a summary as tables, each framework's requirements in the
// standard's order.
func (s *Summary) Print(w io.Writer) error {
	fmt.Fprintf(w, "%d hosts as of %s, telemetry projected up to %s\n", s.Hosts, s.Instant.Format("2006-01-02 15:04:05Z"), s.Watermark.Format("2006-01-02 15:04:05Z"))
	for _, id := range slices.Sorted(maps.Keys(s.Frameworks)) {
		f := s.Frameworks[id]
		fmt.Fprintf(w, "\n%s %s\n", id, f.Version)
		t := newTable(w, "REQUIREMENT", "STATE", "CEILING", "GRADE", "HOSTS", "TITLE")
		for _, r := range f.Requirements {
			t.row(r.ID, r.State, r.Ceiling, orDash(r.Grade), r.vector, shorten(r.title, 60))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	t := newTable(w, "CHECK", "HOSTS", "TITLE")
	for _, c := range s.Checks {
		t.row(c.ID, c.vector, shorten(c.title, 70))
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nAlerts: %d open, %d acknowledged, %d past a clock (assayctl alerts)\n", s.Alerts.Open, s.Alerts.Acknowledged, s.Alerts.Overdue)
	verified := "not verified yet"
	if s.Ledger.Verified {
		verified = "verified"
	}
	_, err := fmt.Fprintf(w, "Ledger: %d leaves, %s\n", s.Ledger.Size, verified)
	return err
}

func shorten(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}

// PrintJSON writes a summary as indented JSON.
func (s *Summary) PrintJSON(w io.Writer) error { return printValue(w, s) }
