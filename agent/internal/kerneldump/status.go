package kerneldump

import (
	"fmt"
	"io"

	"github.com/assay-audit/assay/agent/internal/kernel"
)

// Status is a driver's self-description in words.
type Status struct {
	Version           string         `json:"version"`
	ABI               uint32         `json:"abi"`
	Passive           string         `json:"passive,omitempty"` // why, where it is
	Boot              string         `json:"boot"`
	Load              string         `json:"load"`
	LoadID            uint64         `json:"load_id"`
	Starts            uint32         `json:"starts"`
	UnloadAllowed     bool           `json:"unload_allowed"`
	Snapshot          string         `json:"snapshot"`
	FiltersGeneration uint64         `json:"filters_generation"`
	FiltersRefused    uint64         `json:"filters_refused"`
	Sources           []SourceStatus `json:"sources"`
	Rings             []RingStatus   `json:"rings"`
}

// SourceStatus is one source of the driver.
type SourceStatus struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Code   int32  `json:"code"`
	Events uint64 `json:"events"`
}

// RingStatus is one class. Posted = Delivered + Queued + Lost.
type RingStatus struct {
	Class     string `json:"class"`
	Posted    uint64 `json:"posted"`
	Delivered uint64 `json:"delivered"`
	Queued    uint64 `json:"queued"`
	Lost      uint64 `json:"lost"`
	Filtered  uint64 `json:"filtered"`
	Held      uint64 `json:"held"`
	Size      uint64 `json:"size"`
}

// NewStatus puts a description in words.
func NewStatus(d *kernel.Description) Status {
	s := Status{
		Version: kernel.VersionText(d.DriverVersion), ABI: d.Version, Passive: d.WhyPassive(), Boot: when(d.Boot), Load: when(d.Load), LoadID: d.Load,
		Starts: d.Starts, UnloadAllowed: d.UnloadAllowed, Snapshot: snapshot(d.Snapshot), FiltersGeneration: d.FiltersGeneration, FiltersRefused: d.FiltersRefused,
	}
	for i, source := range d.Sources {
		s.Sources = append(s.Sources, SourceStatus{kernel.SourceName(i), kernel.StatusText(source.Status), source.Status, source.Events})
	}
	for i, ring := range d.Rings {
		s.Rings = append(s.Rings, RingStatus{kernel.Class(i).String(), ring.Posted, ring.Delivered, ring.Queued, ring.Lost, ring.Filtered, ring.Held, ring.Size})
	}
	return s
}

// snapshot: the list of processes that ran before is made when the driver starts.
func snapshot(status int32) string {
	if status == 0 {
		return "done"
	}
	return kernel.StatusText(status)
}

// Print writes it for people.
func (s *Status) Print(w io.Writer) error {
	state := "records"
	if s.Passive != "" {
		state = "passive: " + s.Passive
	}
	filters := "built-in"
	if s.FiltersGeneration != 0 {
		filters = fmt.Sprintf("generation %x", s.FiltersGeneration)
	}
	_, _ = fmt.Fprintf(w, "driver     %s, ABI %d\nstate      %s\nloaded     %s, start %d since it was last healthy\nprocesses  list of those that ran before: %s\nfilters    %s, %d refused\n\n",
		s.Version, s.ABI, state, s.Load, s.Starts, s.Snapshot, filters, s.FiltersRefused)
	_, _ = fmt.Fprintf(w, "%-10s %10s  %s\n", "source", "events", "status")
	for _, source := range s.Sources {
		_, _ = fmt.Fprintf(w, "%-10s %10d  %s\n", source.Name, source.Events, source.Status)
	}
	_, err := fmt.Fprintf(w, "\n%-10s %10s %10s %8s %8s %10s %12s\n", "class", "posted", "delivered", "queued", "lost", "filtered", "held/bytes")
	for _, r := range s.Rings {
		_, err = fmt.Fprintf(w, "%-10s %10d %10d %8d %8d %10d %5d/%d KiB\n", r.Class, r.Posted, r.Delivered, r.Queued, r.Lost, r.Filtered, r.Held>>10, r.Size>>10)
	}
	return err
}
