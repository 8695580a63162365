package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// CoreReport holds medians over the rounds. Its JSON is the last line.
type CoreReport struct {
	EVTXRecords   float64 `json:"evtx_records_per_s"`
	EvaluateHosts float64 `json:"evaluate_hosts_per_s"`
	EvaluateAlone float64 `json:"evaluate_alone_hosts_per_s"`
	EVTXSource    string  `json:"evtx_source"`
	Rounds        int     `json:"rounds"`
	Hosts         int     `json:"hosts"`
	Cores         int     `json:"cores"`
}

// Print writes a table for people and, as the last line, BENCH and the JSON.
func (r *CoreReport) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "medians of %d rounds on %d cores\n\n", r.Rounds, r.Cores)
	fmt.Fprintf(t, "event logs, one core\t%.0f records/s\t(%s)\n", r.EVTXRecords, r.EVTXSource)
	fmt.Fprintf(t, "evaluation of %d hosts\t%.0f hosts/s from Postgres\t%.0f hosts/s alone\n", r.Hosts, r.EvaluateHosts, r.EvaluateAlone)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing report: %w", err)
	}
	return printLast(w, r)
}

// printLast writes what programs read.
func printLast(w io.Writer, figures any) error {
	encoded, err := json.Marshal(figures)
	if err != nil {
		return fmt.Errorf("encoding report: %w", err)
	}
	if _, err := fmt.Fprintf(w, "\nBENCH %s\n", encoded); err != nil {
		return fmt.Errorf("printing report: %w", err)
	}
	return nil
}
