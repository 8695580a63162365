//go:build wine

package winetest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kerneldump"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// status is what assay-agent kernel status --json says.
func status(t *testing.T) (s kerneldump.Status) {
	t.Helper()
	if err := json.Unmarshal([]byte(agent(t, "kernel", "status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// record is a line of assay-agent kernel dump --json.
type record struct {
	Class, Kind string
	N           uint64
	Body        struct{ Count, First uint64 }
}

func dump(t *testing.T, count uint64, more ...string) (list []record) {
	t.Helper()
	for line := range strings.Lines(agent(t, append([]string{"kernel", "dump", "--json", "--count", strconv.FormatUint(count, 10)}, more...)...)) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func kinds(list []record) map[string]uint64 {
	n := map[string]uint64{}
	for _, r := range list {
		n[r.Kind]++
	}
	return n
}

// TestCommands: what an administrator is shown of a driver that nobody reads: it runs,
// what it lost, what it holds, and that it goes only when it is let go.
func TestCommands(t *testing.T) {
	p := newPlayer(t)
	if _, errs, err := run(t, "kernel", "status"); err == nil || !strings.Contains(errs, "the driver is not loaded") {
		t.Errorf("without a driver: %v\n%s", err, errs)
	}
	p.must("start")
	s := status(t)
	if s.Version != "1.0" || s.Passive != "" || s.UnloadAllowed || len(s.Sources) != 9 || s.FiltersGeneration != 0 {
		t.Errorf("it says of itself %+v", s)
	}
	for _, source := range s.Sources {
		if source.Status != "running" {
			t.Errorf("%s is %s", source.Name, source.Status)
		}
	}
	p.play("processes", "6000", "200000")
	p.play("each")
	p.play("flows")
	full := p.standing()
	process := full.rings[kernel.ClassProcess]
	if process.Lost == 0 {
		t.Fatal("the ring took all of it")
	}
	_, queued := full.posted()
	// Shown without being acknowledged, as nobody asked for it, all of it is there again.
	shown := dump(t, queued+1)
	again := dump(t, queued+1, "--ack")
	for _, list := range [][]record{shown, again} { // what is in order is each class
		slices.SortStableFunc(list, func(a, b record) int { return strings.Compare(a.Class, b.Class) })
	}
	if !slices.Equal(shown, again) {
		t.Errorf("%d records are shown, and then %d others", len(shown), len(again))
	}
	for _, r := range again {
		if r.Kind == "gap" && (r.Class != "process" || r.Body.Count != process.Lost || r.Body.First != process.Queued+1 || r.N != process.Posted) {
			t.Errorf("the gap is %+v, and processes stand so: %+v", r, process)
		}
	}
	if n := kinds(again); n["gap"] != 1 || n["process_created"] != process.Queued || n["key_set"] != 1 || n["file_created"] != 1 || n["flow_connected"] != 3 || n["payload_copied"] != 3 {
		t.Errorf("shown are %v", n)
	}
	p.until("what was shown is acknowledged", all)
	agent(t, "kernel", "unload")
	if !status(t).UnloadAllowed {
		t.Error("it may be stopped, and does not say so")
	}
	p.must("stop")
	if _, errs, err := run(t, "kernel", "dump", "--count", "1"); err == nil || !strings.Contains(errs, "the driver is not loaded") {
		t.Errorf("after it was stopped: %v\n%s", err, errs)
	}
}

// TestBadFiltersChangeNothing: a set that cannot be put in force is refused, with why,
// and the one in force stays.
func TestBadFiltersChangeNothing(t *testing.T) {
	p := newPlayer(t)
	p.must("start")
	here, there := folder(t)
	set := func(text string) (string, error) {
		if err := os.WriteFile(filepath.Join(here, "set.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, errs, err := run(t, "kernel", "filters", "set", "--dir", there, there+`\set.json`)
		return errs, err
	}
	if errs, err := set(`{"exclude": [{"class": "file", "prefixes": ["C:\\"]}]}`); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	before := status(t).FiltersGeneration
	if errs, err := set(`{"exclude": [{"class": "file", "prefixes": ["Q:\\"]}]}`); err == nil || !strings.Contains(errs, "drive Q: is not mounted") {
		t.Errorf("%v\n%s", err, errs)
	}
	if after := status(t).FiltersGeneration; before == 0 || after != before {
		t.Errorf("filters of generation %x became %x", before, after)
	}
	p.play("files")
	if ring := p.standing().rings[kernel.ClassFile]; ring.Posted != 1 || ring.Filtered != 10 { // the server's file is on no drive
		t.Errorf("files stand so: %+v", ring)
	}
}

// insufficient is why sources fail that the double lets fail.
const insufficient = "insufficient resources (0xc000009a)"

// TestServerHearsWhatFails: the server hears which source could not start, and why,
// and of what all others saw.
func TestServerHearsWhatFails(t *testing.T) {
	h := newHost(t)
	h.player.must("start", "CmRegisterCallbackEx", "1")
	h.start()
	h.reads()
	h.player.play("each")
	s, x := h.everything()
	for class, posted := range map[string]uint64{"process": 3, "image": 1, "object": 3, "registry": 0, "file": 1, "network": 1} {
		x.once(class, posted)
	}
	h.states("registry", "failed", func(state *telemetryv1.SourceState) bool {
		return !state.GetRunning() && state.GetReason() == "registry: "+insufficient && len(state.GetCapabilities()) == 0
	})
	x = h.told()
	for class := range s.rings {
		name := kernel.Class(class).String()
		if states := x.states(name); name != "registry" && !states[len(states)-1].GetRunning() {
			t.Errorf("%s is said to be %v", name, states[len(states)-1])
		}
	}
}

// TestSourceThatFails: where one source cannot start, the driver says so with why, and
// the records of all others arrive.
func TestSourceThatFails(t *testing.T) {
	everything := []string{"process_created", "thread_remote", "image_loaded", "process_opened", "key_set", "file_created", "flow_connected"}
	for _, c := range []struct {
		call, nth      string
		sources, kinds []string // that are not there
	}{
		{"PsSetCreateProcessNotifyRoutineEx", "1", []string{"process"}, []string{"process_created", "process_opened"}}, // lsass is known by its start
		{"ObRegisterCallbacks", "1", []string{"open"}, []string{"process_opened"}},
		{"CmRegisterCallbackEx", "1", []string{"registry"}, []string{"key_set"}},
		{"FltStartFiltering", "1", []string{"file", "volume"}, []string{"file_created"}},
		{"FwpsCalloutRegister2", "17", []string{"flow", "payload"}, []string{"flow_connected"}},
	} {
		t.Run(c.call, func(t *testing.T) {
			p := newPlayer(t)
			p.must("start", c.call, c.nth)
			p.play("each")
			for _, source := range status(t).Sources {
				want := "running"
				if slices.Contains(c.sources, source.Name) {
					want = insufficient
				}
				if source.Status != want {
					t.Errorf("%s is %s", source.Name, source.Status)
				}
			}
			posted, _ := p.standing().posted()
			seen := kinds(dump(t, posted))
			for _, kind := range everything {
				if (seen[kind] == 0) != slices.Contains(c.kinds, kind) {
					t.Errorf("%d records of %s are shown", seen[kind], kind)
				}
			}
		})
	}
}
