//go:build wine

package winetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/servertest"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// host is an enrolled agent's Windows host, with the server that it sends to.
type host struct {
	t       *testing.T
	player  *player
	server  *servertest.Server
	deaf    atomic.Bool   // the server takes nothing
	heard   chan struct{} // an answer goes out: there may be more
	dir     string        // the agent's, as it knows it
	running *program
	markers uint32
}

// newHost enrols an agent, by its own program. No driver is loaded.
func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, player: newPlayer(t), server: servertest.New(t, time.Now), heard: make(chan struct{}, 1)}
	h.server.Received = func(*agentv1.ConnectRequest) error {
		if h.deaf.Load() {
			return os.ErrDeadlineExceeded
		}
		return nil
	}
	h.server.Sending = func(*agentv1.ConnectResponse) error {
		select {
		case h.heard <- struct{}{}:
		default:
		}
		return nil
	}
	here, there := folder(t)
	if err := os.WriteFile(filepath.Join(here, "token"), []byte(servertest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.dir = there + `\agent`
	agent(t, "enrol", "--server", h.server.Address, "--ca-hash", h.server.CAHash, "--token-file", there+`\token`, "--dir", h.dir)
	return h
}

// program is the agent as it runs.
type program struct {
	command *exec.Cmd
	log     string
}

// start runs the whole agent.
func (h *host) start() {
	h.t.Helper()
	log, err := os.CreateTemp(h.t.TempDir(), "log")
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(wine, filepath.Join(double, "assay-agent.exe"), "run", "--dir", h.dir, "--health-every", "2s")
	command.Stderr = log
	if err := command.Start(); err != nil {
		h.t.Fatal(err)
	}
	p := &program{command: command, log: log.Name()}
	h.running = p
	h.t.Cleanup(func() {
		p.kill()
		if !h.t.Failed() {
			return
		}
		text, err := os.ReadFile(p.log)
		h.t.Logf("the agent said (%v):\n%s", err, text)
	})
}

// reads waits until the agent reads the driver: its first record is on disk.
func (h *host) reads() {
	h.t.Helper()
	h.player.until("the agent reads", func(s standing) bool { return s.rings[kernel.ClassControl].Delivered > 0 })
}

// kill ends it as kill -9 does.
func (p *program) kill() {
	if p.command.ProcessState != nil {
		return
	}
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

// freeze stops its threads where they are, and thaw lets them go on.
func (h *host) freeze() { h.signal(syscall.SIGSTOP) }
func (h *host) thaw()   { h.signal(syscall.SIGCONT) }

func (h *host) signal(signal syscall.Signal) {
	h.t.Helper()
	if err := h.running.command.Process.Signal(signal); err != nil {
		h.t.Fatal(err)
	}
}

// told is what the server has.
type told struct {
	t       *testing.T
	control []*telemetryv1.Event
	bulk    []*telemetryv1.Event
}

func (h *host) told() told {
	h.t.Helper()
	x := told{t: h.t}
	for kind, into := range map[evidence.StreamKind]*[]*telemetryv1.Event{evidence.Control: &x.control, evidence.Bulk: &x.bulk} {
		events, err := h.server.Events(kind)
		if err != nil {
			h.t.Fatal(err)
		}
		*into = events
	}
	return x
}

// hears waits until the server has what is asked for.
func (h *host) hears(what string, ok func(told) bool) told {
	h.t.Helper()
	for deadline := time.After(patience); ; {
		x := h.told()
		if ok(x) {
			return x
		}
		select {
		case <-h.heard:
		case <-deadline:
			h.t.Fatalf("the server never heard that %s; it has %d events of control and %d others, the last of them %v",
				what, len(x.control), len(x.bulk), last(x.control, x.bulk))
		}
	}
}

// everything waits until the driver has no record left and the server has heard of
// all: the bulk stream keeps its order, so what is played last comes last.
func (h *host) everything() (standing, told) {
	h.t.Helper()
	h.player.until("all is acknowledged", all)
	h.markers++
	pid := 1<<24 + 4*h.markers
	h.player.play("processes", "1", strconv.Itoa(int(pid)))
	x := h.hears("the last process began", func(x told) bool {
		return slices.ContainsFunc(x.of("process"), func(ev *telemetryv1.Event) bool { return ev.GetProcess().GetPid() == pid })
	})
	s := h.player.until("all is acknowledged", all)
	for class, ring := range s.rings {
		x = h.hears("records are missing", func(x told) bool { return x.missing(kernel.Class(class)) >= ring.Lost })
	}
	return s, x
}

func last(streams ...[]*telemetryv1.Event) (list []*telemetryv1.Event) {
	for _, stream := range streams {
		list = append(list, stream[max(0, len(stream)-2):]...)
	}
	return list
}

// states are all statements of how a class of the driver's records stands, in order.
func (x told) states(class string) []*telemetryv1.SourceState {
	var list []*telemetryv1.SourceState
	for _, ev := range x.control {
		for _, state := range ev.GetSourceHealth().GetSources() {
			if state.GetSource() == "kernel" && state.GetChannel() == class {
				list = append(list, state)
			}
		}
	}
	return list
}

// states waits for a statement of how a class stands. Statements alone wait for
// company: a medium that comes and goes is sent at once, and they with it.
func (h *host) states(class, what string, ok func(*telemetryv1.SourceState) bool) *telemetryv1.SourceState {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		h.player.play("plug")
		h.player.play("unplug")
		s := h.player.until("all is acknowledged", all)
		x := h.hears("a medium left", func(x told) bool {
			list := x.of("control")
			return slices.ContainsFunc(list, func(ev *telemetryv1.Event) bool {
				return ev.GetPosition().GetSequence() == s.rings[kernel.ClassControl].Posted
			})
		})
		list := x.states(class)
		for _, state := range slices.Backward(list) {
			if ok(state) {
				return state
			}
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s was never said to be %s, but %v", class, what, list)
		}
	}
}

// of are a class's events, those of each stream in its order.
func (x told) of(class string) []*telemetryv1.Event {
	var list []*telemetryv1.Event
	for _, stream := range [][]*telemetryv1.Event{x.control, x.bulk} {
		for _, ev := range stream {
			if ev.GetSource() == telemetryv1.Source_SOURCE_KERNEL && ev.GetPosition().GetChannel() == class {
				list = append(list, ev)
			}
		}
	}
	return list
}

// missing is how many records of a class gaps tell of.
func (x told) missing(class kernel.Class) (n uint64) {
	for _, gap := range x.gaps()[class.String()] {
		n += gap.GetCount()
	}
	return n
}

// gaps are those that the driver told of, by class.
func (x told) gaps() map[string][]*telemetryv1.Gap {
	gaps := map[string][]*telemetryv1.Gap{}
	for _, ev := range append(x.control[:len(x.control):len(x.control)], x.bulk...) {
		if gap := ev.GetGap(); gap != nil {
			gaps[gap.GetChannel()] = append(gaps[gap.GetChannel()], gap)
		}
	}
	return gaps
}

// once checks that each record of a class is told once, and in order: by an event, or
// by a gap that spans it.
func (x told) once(class string, posted uint64) {
	x.t.Helper()
	seen := map[uint64]int{}
	for _, stream := range [][]*telemetryv1.Event{x.control, x.bulk} {
		newest := uint64(0)
		for _, ev := range (told{control: stream}).of(class) {
			n, gap := ev.GetPosition().GetSequence(), ev.GetGap()
			if n <= newest {
				x.t.Errorf("%s %d comes after %d", class, n, newest)
			}
			newest = n
			for first := gap.GetFirstMissing(); gap != nil && first < n; first++ {
				seen[first]++
			}
			seen[n]++
		}
	}
	var wrong []string
	for n := uint64(1); n <= posted; n++ {
		first := n
		for n <= posted && seen[n] == seen[first] {
			n++
		}
		if n--; seen[first] != 1 {
			wrong = append(wrong, fmt.Sprintf("%d to %d %d times", first, n, seen[first]))
		}
	}
	if len(wrong) > 0 {
		x.t.Errorf("of %d of %s are told %s; gaps are %v", posted, class, strings.Join(wrong, ", "), x.gaps()[class])
	}
	if uint64(len(seen)) != posted {
		x.t.Errorf("%s: %d numbers are told, %d were posted", class, len(seen), posted)
	}
}

// raw is a field of an event as the driver's source names it.
func raw(ev *telemetryv1.Event, name string) string {
	for _, field := range ev.GetRaw().GetData() {
		if field.GetName() == name {
			return field.GetValue()
		}
	}
	return ""
}
