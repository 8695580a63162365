package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
)

// maxPlan bounds what is read of a plan, in bytes.
const maxPlan = 1 << 20

// keptStops is how many stops are remembered. What a host wrote before the last
// one is durable when the next one is decided, so older ones are never asked.
const keptStops = 4

// loadTimeline reads the timeline of a folder, or begins one.
func loadTimeline(name string, cfg Config) (timeline, error) {
	var t timeline
	found, err := readJSON(name, &t)
	if err != nil {
		return timeline{}, err
	}
	if found {
		if t.Seed != cfg.Seed {
			return timeline{}, fmt.Errorf("%s is of a fleet with seed %d, not %d: use another folder", name, t.Seed, cfg.Seed)
		}
		t.Rate = cfg.Rate
		return t, nil
	}
	t = timeline{
		Seed: cfg.Seed, Start: cfg.Now().UTC().Truncate(time.Minute), Backfill: cfg.Backfill.Round(time.Minute), Rate: cfg.Rate,
	}
	return t, writeJSON(name, &t)
}

// hostPlan is what a host's folder remembers besides its agent's state.
type hostPlan struct {
	Stops []stop `json:"stops"`
}

// stopped adds a stop, or moves the end of the one that began at the same time.
func (p *hostPlan) stopped(s stop) {
	if n := len(p.Stops); n > 0 && p.Stops[n-1].After == s.After {
		p.Stops[n-1].Until = s.Until
		return
	}
	p.Stops = append(p.Stops, s)
	if n := len(p.Stops); n > keptStops {
		p.Stops = p.Stops[n-keptStops:]
	}
}

func readJSON(name string, to any) (found bool, err error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading plan: %w", err)
	}
	if len(b) > maxPlan {
		return false, fmt.Errorf("reading plan: %s is too large", name)
	}
	if err := json.Unmarshal(b, to); err != nil {
		return false, fmt.Errorf("reading plan: %s is damaged: %w", name, err)
	}
	return true, nil
}

// writeJSON replaces a file: after a crash it is the old one or the new one.
func writeJSON(name string, from any) error {
	b, err := json.MarshalIndent(from, "", "  ")
	if err != nil {
		return fmt.Errorf("writing plan: %w", err)
	}
	if err := spool.ReplaceFile(spool.Disk{}, name, b); err != nil {
		return fmt.Errorf("writing plan: %w", err)
	}
	return nil
}
