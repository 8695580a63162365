package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// Report holds medians over the rounds. Its JSON is the benchmark's last line.
type Report struct {
	EVTXRecords    float64 `json:"evtx_records_per_s"`
	BurstRatio     float64 `json:"burst_ratio"`     // acknowledged events to rows of plain COPY
	SustainedRatio float64 `json:"sustained_ratio"` // projected events to rows of plain COPY
	EvaluateHosts  float64 `json:"evaluate_hosts_per_s"`

	Copy       Ingest     `json:"copy"`
	Burst      Ingest     `json:"burst"`
	Sustained  Ingest     `json:"sustained"`
	Evaluation Evaluation `json:"evaluation"`

	EVTXSource   string  `json:"evtx_source"`
	Agents       int     `json:"agents"`
	Events       int     `json:"events"`
	Batches      int     `json:"batches"`
	Rounds       int     `json:"rounds"`
	Hosts        int     `json:"hosts"`
	Cores        int     `json:"cores"`
	RawBytes     float64 `json:"raw_bytes_per_event"`
	PayloadBytes float64 `json:"payload_bytes_per_event"`
}

// report takes medians. Ratios are made within a round, where both sides met the
// same machine, and then their median is taken.
func (r *run) report(rounds []round) *Report {
	ingest := func(of func(*round) *Ingest) Ingest {
		figure := func(of2 func(*Ingest) float64) float64 {
			return median(rounds, func(r *round) float64 { return of2(of(r)) })
		}
		return Ingest{
			EventsPerSecond: figure(func(i *Ingest) float64 { return i.EventsPerSecond }),
			ProcessCPU:      figure(func(i *Ingest) float64 { return i.ProcessCPU }),
			PostgresCPU:     figure(func(i *Ingest) float64 { return i.PostgresCPU }),
			WALBytes:        figure(func(i *Ingest) float64 { return i.WALBytes }),
			DiskBytes:       figure(func(i *Ingest) float64 { return i.DiskBytes }),
			AckP50:          median(rounds, func(r *round) time.Duration { return of(r).AckP50 }),
			AckP99:          median(rounds, func(r *round) time.Duration { return of(r).AckP99 }),
		}
	}
	events := float64(r.loads.events)
	return &Report{
		EVTXRecords:    median(rounds, func(r *round) float64 { return r.evtx }),
		BurstRatio:     median(rounds, func(r *round) float64 { return ratio(r.burst, r.copied) }),
		SustainedRatio: median(rounds, func(r *round) float64 { return ratio(r.arrived, r.copied) }),
		EvaluateHosts:  median(rounds, func(r *round) float64 { return r.evaluation.FromPostgres }),
		Copy:           ingest(func(r *round) *Ingest { return &r.copied }),
		Burst:          ingest(func(r *round) *Ingest { return &r.burst }),
		Sustained:      ingest(func(r *round) *Ingest { return &r.arrived }),
		Evaluation: Evaluation{
			FromPostgres: median(rounds, func(r *round) float64 { return r.evaluation.FromPostgres }),
			Alone:        median(rounds, func(r *round) float64 { return r.evaluation.Alone }),
		},
		EVTXSource: r.logs.about, Agents: r.Agents, Events: r.loads.events, Batches: r.loads.batches, Rounds: r.Rounds, Hosts: r.Hosts,
		Cores: runtime.GOMAXPROCS(0), RawBytes: float64(r.loads.rawBytes) / events, PayloadBytes: float64(r.loads.wirePacked) / events,
	}
}

// ratio is 0 where there is nothing to compare with.
func ratio(of, to Ingest) float64 {
	if to.EventsPerSecond == 0 {
		return 0
	}
	return of.EventsPerSecond / to.EventsPerSecond
}

// Print writes a table for people and, as the last line, BENCH and the JSON.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "medians of %d rounds on %d cores; %d agents, %d events in %d batches (%.0f bytes an event, %.0f packed)\n\n",
		r.Rounds, r.Cores, r.Agents, r.Events, r.Batches, r.RawBytes, r.PayloadBytes)
	fmt.Fprintf(t, "\tevents/s\tto COPY\tCPU s/M\tPostgres s/M\tWAL B/event\tdisk B/event\tack p50\tack p99\n")
	line := func(name string, i Ingest, toCopy float64) {
		if i.EventsPerSecond == 0 {
			return
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%s\t%s\n", name, i.EventsPerSecond, toCopy, i.ProcessCPU, i.PostgresCPU,
			i.WALBytes, i.DiskBytes, latency(i.AckP50), latency(i.AckP99))
	}
	line("COPY of typed rows", r.Copy, 1)
	line("burst (acknowledged)", r.Burst, r.BurstRatio)
	line("sustained (projected)", r.Sustained, r.SustainedRatio)
	fmt.Fprintf(t, "\nevent logs, one core\t%.0f records/s\t(%s)\n", r.EVTXRecords, r.EVTXSource)
	fmt.Fprintf(t, "evaluation of %d hosts\t%.0f hosts/s from Postgres\t%.0f hosts/s alone\n", r.Hosts, r.Evaluation.FromPostgres, r.Evaluation.Alone)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing report: %w", err)
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding report: %w", err)
	}
	if _, err := fmt.Fprintf(w, "\nBENCH %s\n", encoded); err != nil {
		return fmt.Errorf("printing report: %w", err)
	}
	return nil
}

func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(100 * time.Microsecond).String()
}
