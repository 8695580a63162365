package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Costs are what an event costs, as a measurement found them: CPU seconds per
// million events, bytes per event, and what a connected agent holds.
type Costs struct {
	AckCPU, ProjectCPU, PostgresCPU float64
	WAL, Disk, BatchDisk            float64 // BatchDisk is of Disk the batch log's part
	StreamKiB                       float64
}

// CostsOf takes them from a report of the way in: those of half load, at which
// machines are planned to be. Transactions are smaller then, and an event dearer.
func CostsOf(r *IngestReport) Costs {
	h := &r.Half
	return Costs{AckCPU: h.AckCPU, ProjectCPU: h.ProjectCPU, PostgresCPU: h.PostgresCPU, WAL: h.WALBytes, Disk: h.DiskBytes, BatchDisk: r.Burst.DiskBytes,
		StreamKiB: plannedStreamKiB}
}

// DefaultCosts are those of docs/scaling.md.
var DefaultCosts = Costs{AckCPU: 2.7, ProjectCPU: 5.6, PostgresCPU: 9.3, WAL: 730, Disk: 690, BatchDisk: 79, StreamKiB: plannedStreamKiB}

// maxReport bounds a report that costs are read from, in bytes.
const maxReport = 1 << 20

// ReadCosts takes them from what assay-bench ingest has printed.
func ReadCosts(from io.Reader) (Costs, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxReport))
	if err != nil {
		return Costs{}, fmt.Errorf("reading costs: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		figures, found := strings.CutPrefix(line, "BENCH ")
		if !found {
			continue
		}
		var report IngestReport
		if err := json.Unmarshal([]byte(figures), &report); err != nil {
			return Costs{}, fmt.Errorf("reading costs: %w", err)
		}
		if report.Half.PostgresCPU == 0 {
			return Costs{}, errors.New("reading costs: the report is not of assay-bench ingest")
		}
		return CostsOf(&report), nil
	}
	return Costs{}, errors.New("reading costs: there is no line that begins with BENCH")
}

// plannedStreamKiB is what is planned for a connected agent.
const plannedStreamKiB = 58

// Fleet is whom the capacity is for.
type Fleet struct {
	Hosts            int
	EventsPerHostDay float64
	// Peak is how many times its mean the busiest hour is.
	Peak float64
	// EventDays are kept as rows, BatchDays as they were received.
	EventDays, BatchDays float64
}

// Headroom is the part of a machine's CPU that is planned to be used in the busiest
// hour: the rest is for evaluation, the console, vacuum, backups and what comes after
// an outage.
const Headroom = 0.5

// Capacity is what a fleet needs.
type Capacity struct {
	EventsPerSecond float64 `json:"events_per_s"`
	PeakPerSecond   float64 `json:"peak_events_per_s"`
	ServerCores     float64 `json:"server_cores"`
	PostgresCores   float64 `json:"postgres_cores"`
	WALPerSecond    float64 `json:"peak_wal_mb_per_s"`
	WALPerDay       float64 `json:"wal_gb_per_day"`
	EventDisk       float64 `json:"event_disk_gb"`
	BatchDisk       float64 `json:"batch_disk_gb"`
	StreamMemory    float64 `json:"stream_memory_gb"`
	// CatchUp is how long an hour's outage in the busiest hour takes to make up for
	// with all of the planned cores, in minutes.
	CatchUp float64 `json:"catch_up_minutes"`
}

// Model computes what a fleet needs. It is arithmetic and nothing more: twice the
// events need twice of everything.
func Model(c Costs, f Fleet) (Capacity, error) {
	if f.Hosts < 1 || f.EventsPerHostDay <= 0 || f.Peak < 1 || f.EventDays < 0 || f.BatchDays < 0 {
		return Capacity{}, errors.New("hosts, events a day and a peak of at least 1 are needed")
	}
	const day, million, gb = 86_400, 1e6, 1e9
	perDay := float64(f.Hosts) * f.EventsPerHostDay
	out := Capacity{EventsPerSecond: perDay / day}
	out.PeakPerSecond = out.EventsPerSecond * f.Peak
	busy := out.PeakPerSecond / million
	out.ServerCores, out.PostgresCores = busy*(c.AckCPU+c.ProjectCPU)/Headroom, busy*c.PostgresCPU/Headroom
	out.WALPerSecond, out.WALPerDay = out.PeakPerSecond*c.WAL/1e6, perDay*c.WAL/gb
	out.EventDisk, out.BatchDisk = perDay*f.EventDays*max(0, c.Disk-c.BatchDisk)/gb, perDay*f.BatchDays*c.BatchDisk/gb
	out.StreamMemory = float64(f.Hosts) * c.StreamKiB * 1024 / gb
	// While it catches up, the same cores take what comes and what waited.
	out.CatchUp = 60 * Headroom / (1 - Headroom)
	return out, nil
}

// Sustained is the rate at which so many cores are full, which a measurement of the
// sustained rate on that many must come near: that is how the model is checked.
func Sustained(c Costs, clientCPU float64, cores int) float64 {
	return float64(cores) * 1e6 / (clientCPU + c.AckCPU + c.ProjectCPU + c.PostgresCPU)
}

// Print writes a table for people and, as the last line, the JSON.
func (c *Capacity) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "events\t%.0f/s, %.0f/s in the busiest hour\n", c.EventsPerSecond, c.PeakPerSecond)
	fmt.Fprintf(t, "cores\t%.1f of servers, %.1f of Postgres (half used in the busiest hour)\n", c.ServerCores, c.PostgresCores)
	fmt.Fprintf(t, "memory of streams\t%.2f GB over all servers\n", c.StreamMemory)
	fmt.Fprintf(t, "write-ahead log\t%.1f MB/s in the busiest hour, %.0f GB a day\n", c.WALPerSecond, c.WALPerDay)
	fmt.Fprintf(t, "disk\t%.0f GB of events, %.0f GB of batches\n", c.EventDisk, c.BatchDisk)
	fmt.Fprintf(t, "after an hour's outage\t%.0f minutes until all is projected\n", c.CatchUp)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing capacity: %w", err)
	}
	return printLast(w, c)
}
