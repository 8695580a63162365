//go:build wine

package winetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/internal/kernel"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// TestDriverLoadedAnew: a driver that is stopped while it is read is missed, and the
// next one is read from its beginning.
func TestDriverLoadedAnew(t *testing.T) {
	h := newHost(t)
	h.player.must("start")
	h.start()
	var before standing
	const each = 400
	for load := range 2 {
		h.reads()
		h.player.play("storm", strconv.Itoa(each/2), strconv.Itoa(200000+load*100000))
		h.player.must("idle")
		s := h.player.until("all is acknowledged", all)
		if load == 1 {
			if s.load <= before.load {
				t.Errorf("load %d comes after load %d", s.load, before.load)
			}
			break
		}
		before = s
		agent(t, "kernel", "unload")
		h.player.must("stop")
		h.player.must("start")
	}
	_, x := h.everything()
	// Each load counts from 1, and what it tells of is its own.
	newest, load, seen := uint64(0), 0, map[uint32]int{}
	for _, ev := range x.of("process") {
		if ev.GetPosition().GetSequence() == 1 {
			newest, load = 0, load+1
		}
		if n := ev.GetPosition().GetSequence(); n != newest+1 {
			t.Fatalf("record %d of load %d comes after %d", n, load, newest)
		}
		newest++
		pid := ev.GetProcess().GetPid()
		if pid >= 1<<24 {
			continue // the marker
		}
		if first := uint32(100000 + 100000*load); pid < first || pid >= first+4*each {
			t.Errorf("process %d is told of load %d", pid, load)
		}
		seen[pid]++
	}
	if load != 2 || len(seen) != 2*each {
		t.Errorf("%d loads and %d processes are told", load, len(seen))
	}
	h.states("process", "gone, since the driver was", func(state *telemetryv1.SourceState) bool {
		return !state.GetRunning() && state.GetReason() != "" && state.GetPosition() == each
	})
}

// TestFiltersSwapped: while keys are set, filters are swapped by the agent's own
// command. What they exclude is missing from then on, and nothing else ever is.
func TestFiltersSwapped(t *testing.T) {
	h := newHost(t)
	h.player.must("start")
	h.start()
	h.reads()
	here, there := folder(t)
	sets := []string{
		`{"exclude": [{"class": "registry", "prefixes": ["HKLM\\SOFTWARE\\quiet"]}]}`,
		`{"exclude": [{"class": "registry", "prefixes": ["HKLM\\SOFTWARE\\other"]}]}`,
	}
	const each = 20
	batch := 0
	play := func() { // some of either, as fast as they are taken up
		h.player.until("there is room", func(s standing) bool { r := s.rings[kernel.ClassRegistry]; return r.Held < r.Size/2 })
		for _, key := range []string{"quiet", "loud"} {
			h.player.play("keys", strconv.Itoa(each), fmt.Sprintf(`\REGISTRY\MACHINE\SOFTWARE\%s\%d`, key, batch))
		}
		batch++
	}
	// By batch: recorded, excluded, or either, while a swap is under way.
	var swaps [][2]int
	for i, set := range sets {
		play()
		file := fmt.Sprintf("%d.json", i)
		if err := os.WriteFile(filepath.Join(here, file), []byte(set), 0o600); err != nil {
			t.Fatal(err)
		}
		begun, done := batch, make(chan error, 1)
		go func() {
			out, errs, err := run(t, "kernel", "filters", "set", "--dir", h.dir, there+`\`+file)
			if err == nil && !strings.Contains(out, "in force") {
				err = fmt.Errorf("the driver did not get the set: %s%s", out, errs)
			}
			done <- err
		}()
		for swapping := true; swapping; play() {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				swapping = false
			default:
			}
		}
		swaps = append(swaps, [2]int{begun, batch - 1})
	}
	play()
	s, x := h.everything()
	ring := s.rings[kernel.ClassRegistry]
	if ring.Lost > 0 {
		t.Errorf("%d were lost", ring.Lost)
	}
	x.once("registry", ring.Posted)
	checkSwaps(t, x, batch, each, swaps, ring.Filtered)
}

// checkSwaps: quiet keys are excluded from a moment in the first swap to one in the
// second.
func checkSwaps(t *testing.T, x told, batches, each int, swaps [][2]int, filtered uint64) {
	t.Helper()
	seen := map[string]int{}
	for _, ev := range x.of("registry") {
		seen[ev.GetRegistry().GetTargetName()]++
	}
	const recorded, excluded, again = 0, 1, 2
	stage, missing := recorded, uint64(0)
	for batch := range batches {
		for i := range each {
			if n := seen[fmt.Sprintf(`HKLM\SOFTWARE\loud\%d\%d`, batch, i)]; n != 1 {
				t.Fatalf("loud %d of batch %d is told %d times", i, batch, n)
			}
			is := seen[fmt.Sprintf(`HKLM\SOFTWARE\quiet\%d\%d`, batch, i)] == 1
			switch {
			case stage == recorded && !is, stage == excluded && is:
				if swap := swaps[stage]; batch < swap[0] || batch > swap[1] {
					t.Fatalf("quiet %d of batch %d is told: %v, and the swaps were in batches %v", i, batch, is, swaps)
				}
				stage++
			case stage == again && !is:
				t.Fatalf("quiet %d of batch %d is missing after the second swap", i, batch)
			}
			if !is {
				missing++
			}
		}
	}
	if stage != again || missing != filtered || missing == 0 {
		t.Errorf("%d quiet keys are missing, and the driver left out %d; it came to stage %d", missing, filtered, stage)
	}
}
