package bench

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
)

// IngestReport holds medians over the rounds. Its JSON is the last line.
type IngestReport struct {
	BurstRatio          float64 `json:"burst_ratio"`           // acknowledged events to rows of plain COPY
	SustainedRatio      float64 `json:"sustained_ratio"`       // projected events to rows of plain COPY
	SustainedRulesRatio float64 `json:"sustained_rules_ratio"` // the same, with rules
	AckCPU              float64 `json:"ack_cpu_s_per_m"`
	ProjectCPU          float64 `json:"project_cpu_s_per_m"`
	AckP50              float64 `json:"ack_p50_ms"` // at half load
	AckP99              float64 `json:"ack_p99_ms"`
	RSS                 float64 `json:"rss_mb"`           // at full load, with rules
	WALBytes            float64 `json:"wal_b_per_event"`  // of the batch log
	DiskBytes           float64 `json:"disk_b_per_event"` // batch log and projections

	EventsPerBatch  float64 `json:"events_per_batch"`
	ProjectRulesCPU float64 `json:"project_rules_cpu_s_per_m"`
	PostgresAckCPU  float64 `json:"postgres_ack_cpu_s_per_m"`
	PostgresCPU     float64 `json:"postgres_cpu_s_per_m"` // sustained, with rules
	TotalWALBytes   float64 `json:"total_wal_b_per_event"`
	ClientCPU       float64 `json:"client_cpu_s_per_m"`
	// ModelRatio is the sustained rate, with rules, to the rate at which the measured
	// costs fill all cores: how near docs/scaling.md comes.
	ModelRatio float64 `json:"sustained_to_model_ratio"`
	Agents     int     `json:"agents"`
	Events     int     `json:"events"`
	Rounds     int     `json:"rounds"`
	Cores      int     `json:"cores"`

	Copy      Ingest `json:"copy"`
	Burst     Ingest `json:"burst"`
	Sustained Ingest `json:"sustained"`
	Ruled     Ingest `json:"sustained_rules"`
	Half      Ingest `json:"half_load"`
}

// report takes medians. Ratios are made within a round, where both sides met the
// same machine, and then their median is taken.
func (r *ingestRun) report(rounds []ingestRound) *IngestReport {
	ingest := func(of func(*ingestRound) *Ingest) Ingest {
		figure := func(one func(*Ingest) float64) float64 {
			return median(rounds, func(r *ingestRound) float64 { return one(of(r)) })
		}
		return Ingest{
			EventsPerSecond: figure(func(i *Ingest) float64 { return i.EventsPerSecond }),
			ClientCPU:       figure(func(i *Ingest) float64 { return i.ClientCPU }),
			AckCPU:          figure(func(i *Ingest) float64 { return i.AckCPU }),
			ProjectCPU:      figure(func(i *Ingest) float64 { return i.ProjectCPU }),
			PostgresCPU:     figure(func(i *Ingest) float64 { return i.PostgresCPU }),
			WALBytes:        figure(func(i *Ingest) float64 { return i.WALBytes }),
			DiskBytes:       figure(func(i *Ingest) float64 { return i.DiskBytes }),
			AckP50:          figure(func(i *Ingest) float64 { return i.AckP50 }),
			AckP99:          figure(func(i *Ingest) float64 { return i.AckP99 }),
			RSS:             figure(func(i *Ingest) float64 { return i.RSS }),
		}
	}
	toCopy := func(of func(*ingestRound) *Ingest) float64 {
		return median(rounds, func(r *ingestRound) float64 { return of(r).EventsPerSecond / r.copied.EventsPerSecond })
	}
	burst, sustained, ruled := func(r *ingestRound) *Ingest { return &r.burst }, func(r *ingestRound) *Ingest { return &r.sustained },
		func(r *ingestRound) *Ingest { return &r.ruled }
	out := &IngestReport{
		BurstRatio: toCopy(burst), SustainedRatio: toCopy(sustained), SustainedRulesRatio: toCopy(ruled),
		Agents: r.cfg.Agents, Events: r.sent.Events, Rounds: len(rounds), Cores: runtime.GOMAXPROCS(0),
		EventsPerBatch: float64(r.sent.Events) / float64(max(1, r.sent.Batches)),
		Copy:           ingest(func(r *ingestRound) *Ingest { return &r.copied }),
		Burst:          ingest(burst), Sustained: ingest(sustained), Ruled: ingest(ruled),
		Half: ingest(func(r *ingestRound) *Ingest { return &r.half }),
	}
	out.AckCPU, out.ProjectCPU, out.ProjectRulesCPU = out.Burst.AckCPU, out.Sustained.ProjectCPU, out.Ruled.ProjectCPU
	out.PostgresAckCPU, out.PostgresCPU, out.ClientCPU = out.Burst.PostgresCPU, out.Ruled.PostgresCPU, out.Burst.ClientCPU
	out.AckP50, out.AckP99, out.RSS = out.Half.AckP50, out.Half.AckP99, out.Ruled.RSS
	out.WALBytes, out.TotalWALBytes, out.DiskBytes = out.Burst.WALBytes, out.Ruled.WALBytes, out.Ruled.DiskBytes
	out.ModelRatio = median(rounds, func(r *ingestRound) float64 {
		i := &r.ruled
		full := Sustained(Costs{AckCPU: i.AckCPU, ProjectCPU: i.ProjectCPU, PostgresCPU: i.PostgresCPU}, i.ClientCPU, out.Cores)
		return i.EventsPerSecond / full
	})
	return out
}

// Print writes a table for people and, as the last line, BENCH and the JSON.
func (r *IngestReport) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "medians of %d rounds on %d cores; %d agents, %d events, %.0f a batch; CPU in seconds per million events\n\n",
		r.Rounds, r.Cores, r.Agents, r.Events, r.EventsPerBatch)
	fmt.Fprintf(t, "\tevents/s\tto COPY\tclient\tack path\tprojection\tPostgres\tWAL B/event\tdisk B/event\tack p50\tack p99\tserver MB\n")
	for _, line := range []struct {
		name string
		of   Ingest
		to   float64
	}{
		{"COPY of typed rows", r.Copy, 1},
		{"burst (acknowledged)", r.Burst, r.BurstRatio},
		{"sustained (projected)", r.Sustained, r.SustainedRatio},
		{"sustained, with rules", r.Ruled, r.SustainedRulesRatio},
		{"half of that", r.Half, r.Half.EventsPerSecond / r.Copy.EventsPerSecond},
	} {
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.1f ms\t%.1f ms\t%.0f\n", line.name, line.of.EventsPerSecond, line.to,
			line.of.ClientCPU, line.of.AckCPU, line.of.ProjectCPU, line.of.PostgresCPU, line.of.WALBytes, line.of.DiskBytes, line.of.AckP50, line.of.AckP99, line.of.RSS)
	}
	fmt.Fprintf(t, "\nsustained with rules, to what these costs leave room for on %d cores: %.2f\n", r.Cores, r.ModelRatio)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing report: %w", err)
	}
	return printLast(w, r)
}
