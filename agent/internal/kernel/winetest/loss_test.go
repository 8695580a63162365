//go:build wine

package winetest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/internal/kernel"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// TestOverflowIsAGap: what happens while the agent stands still, more than the driver
// has room for, is a gap of that class that spans what is missing, and no other class
// misses anything.
func TestOverflowIsAGap(t *testing.T) {
	h := newHost(t)
	h.player.must("start")
	h.start()
	h.reads()
	h.freeze()
	h.player.play("processes", "8000", "200000")
	h.player.play("files")
	h.player.play("keys", "300", `\REGISTRY\MACHINE\SOFTWARE\A`)
	full := h.player.standing()
	for class, ring := range full.rings {
		if (ring.Lost > 0) != (kernel.Class(class) == kernel.ClassProcess) {
			t.Errorf("while the agent stood still %s lost %d", kernel.Class(class), ring.Lost)
		}
	}
	h.thaw()
	s, x := h.everything()
	lost := s.rings[kernel.ClassProcess].Lost
	x.once("process", s.rings[kernel.ClassProcess].Posted)
	x.once("file", 11)
	x.once("registry", 300)
	for class, gaps := range x.gaps() {
		for _, gap := range gaps {
			if class != "process" || gap.GetSource() != "kernel" || gap.GetCount() != gap.GetLastMissing()-gap.GetFirstMissing()+1 {
				t.Errorf("a gap is %v", gap)
			}
		}
	}
	if missing := x.missing(kernel.ClassProcess); missing != lost {
		t.Errorf("gaps tell of %d processes, %d were lost", missing, lost)
	}
	h.states("process", "short of what was lost", func(state *telemetryv1.SourceState) bool {
		return state.GetRunning() && state.GetLost() == lost
	})
}

// TestKilledAgentLosesNothing: killed again and again, wherever it stands, the agent
// brings every record to the server, and each once.
func TestKilledAgentLosesNothing(t *testing.T) {
	h := newHost(t)
	h.player.must("start")
	const each = 250 // by either of two threads
	delivered := func(more uint64) func(standing) bool {
		from := h.player.standing().rings[kernel.ClassProcess].Delivered
		return func(s standing) bool { return s.rings[kernel.ClassProcess].Delivered >= from+more }
	}
	kills := []struct {
		name string
		when func()
	}{
		{"as soon as it began", func() {}},
		{"once the first records are on disk", func() { h.player.until("some are acknowledged", delivered(1)) }},
		{"in the middle, while the server takes nothing", func() {
			h.deaf.Store(true)
			h.player.until("half is acknowledged", delivered(each))
		}},
		{"standing still, with answers that it never took", func() {
			h.deaf.Store(false)
			h.player.until("some are acknowledged", delivered(1))
			h.freeze()
			h.player.play("processes", "6000", "3000000") // more than there is room for
		}},
		{"once all is on disk", func() {
			h.player.must("idle")
			h.player.until("all is acknowledged", all)
		}},
	}
	for round, kill := range kills {
		h.start()
		h.player.play("storm", strconv.Itoa(each), strconv.Itoa(200000+round*4*2*each))
		h.player.play("keys", "100", `\REGISTRY\MACHINE\SOFTWARE\`+strconv.Itoa(round))
		kill.when()
		h.running.kill()
		t.Logf("killed %s: %+v", kill.name, h.player.standing().rings[kernel.ClassProcess])
	}
	h.start()
	h.player.must("idle")
	s, x := h.everything()
	if lost := s.rings[kernel.ClassProcess].Lost; lost == 0 || x.missing(kernel.ClassProcess) != lost {
		t.Errorf("gaps tell of %d processes, %d were lost", x.missing(kernel.ClassProcess), lost)
	}
	x.once("process", uint64(2*each*len(kills)+6000+1))
	x.once("registry", uint64(100*len(kills)))
	if reasons, forks := h.server.Reasons(); forks > 0 || len(reasons) > 2 {
		t.Errorf("%d forks, epochs because of %v", forks, reasons)
	}
}

// TestAnotherReaderTakesNothing: a program that would read and acknowledge what is the
// agent's is refused, and the server hears of it and misses nothing.
func TestAnotherReaderTakesNothing(t *testing.T) {
	h := newHost(t)
	h.player.must("start")
	h.start()
	h.reads()
	if out, errs, err := run(t, "kernel", "dump", "--ack", "--count", "1"); err == nil || !strings.Contains(errs, "another program reads the driver") {
		t.Errorf("the other ended with %v\n%s%s", err, out, errs)
	}
	h.player.play("keys", "100", `\REGISTRY\MACHINE\SOFTWARE\A`)
	s, x := h.everything()
	x.once("registry", 100)
	x.once("control", s.rings[kernel.ClassControl].Posted)
	var told []*telemetryv1.Event
	for _, ev := range x.of("control") {
		if ev.GetSecuritySoftware().GetFeature() == "device" {
			told = append(told, ev)
		}
	}
	if len(told) != 1 || told[0].GetSecuritySoftware().GetErrorCode() != "0xc0000043" || told[0].GetRaw().GetProcessId() == 0 {
		t.Errorf("told of the other is %v", told)
	}
}
