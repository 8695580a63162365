package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/proto/evidence"
)

const (
	wine       = "/usr/lib/wine/wine64"
	wineServer = "/usr/lib/wine/wineserver64"
	// double is what make test-driver builds: the driver over a double of the kernel.
	double = "../../../bin/driver/double/"
)

// windows is a Wine session with the driver loaded and the agent's program.
type windows struct {
	t      *testing.T
	prefix string
}

func newWindows(t *testing.T) *windows {
	t.Helper()
	for _, file := range []string{wine, wineServer, double + "assay.sys", double + "assaydbl.sys"} {
		if _, err := os.Stat(file); err != nil {
			t.Skipf("%v: make test-driver brings Wine and builds the driver", err)
		}
	}
	w := &windows{t: t, prefix: t.TempDir()}
	t.Cleanup(func() { // only the server of this prefix, which nobody else uses
		_ = w.command(context.Background(), wineServer, "-k", "-w").Run()
	})
	w.must(wine, "wineboot", "-i")
	_ = w.command(t.Context(), wineServer, "-k", "-w").Run() // what a first start leaves running looks for no new driver
	system := filepath.Join(w.prefix, "drive_c/windows/system32")
	for from, to := range map[string]string{"assay.sys": "drivers/assay.sys", "assaydbl.sys": "drivers/assaydbl.sys"} {
		w.copy(double+from, filepath.Join(system, to))
	}
	w.copy(double+"assaydbl.sys", filepath.Join(system, "assaydbl.sys"))
	const gcc = "x86_64-w64-mingw32-gcc"
	w.must(gcc, "-O2", "-shared", "-o", filepath.Join(system, "bcryptprimitives.dll"), "../../../driver/test/wine/prng.c", "-ladvapi32")
	w.must(gcc, "-O2", "-I../../../driver/test/wine", "-o", filepath.Join(w.prefix, "drive_c/play.exe"), "testdata/play.c")
	build := exec.Command("go", "build", "-o", filepath.Join(w.prefix, "drive_c/assay-agent.exe"), "../../cmd/assay-agent")
	build.Env = append(os.Environ(), "GOOS=windows", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	return w
}

// hold keeps the session open: without a program it ends after seconds, and the
// driver with it.
func (w *windows) hold() {
	w.t.Helper()
	shell := w.command(context.Background(), wine, "cmd")
	input, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = input.Close()
		_ = shell.Wait()
	})
}

// load starts the driver.
func (w *windows) load() {
	w.t.Helper()
	w.hold()
	w.must(wine, "sc", "create", "assay", "type=", "kernel", "binPath=", `C:\windows\system32\drivers\assay.sys`)
	if out := w.must(wine, "sc", "start", "assay"); !strings.Contains(out, "RUNNING") {
		w.t.Fatalf("the driver does not run:\n%s", out)
	}
}

func (w *windows) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "WINEPREFIX="+w.prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=")
	return c
}

func (w *windows) copy(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *windows) must(name string, args ...string) string {
	w.t.Helper()
	out, errs, err := w.run(name, args...)
	if err != nil {
		w.t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, errs)
	}
	return out
}

// run goes by files: services that Wine starts hold a pipe open until the session
// ends, and the session ends once nobody runs.
func (w *windows) run(name string, args ...string) (out, errs string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	c := w.command(ctx, name, args...)
	var texts [2]string
	var files [2]*os.File
	for i := range files {
		if files[i], err = os.CreateTemp(w.prefix, "said"); err != nil {
			w.t.Fatal(err)
		}
		defer func() { _ = files[i].Close() }()
	}
	c.Stdout, c.Stderr = files[0], files[1]
	err = c.Run()
	for i, f := range files {
		b, readErr := os.ReadFile(f.Name())
		if readErr != nil {
			w.t.Fatal(readErr)
		}
		texts[i] = string(b)
	}
	return texts[0], texts[1], err
}

// agent runs a command of the agent that succeeds.
func (w *windows) agent(args ...string) string {
	w.t.Helper()
	return w.must(wine, append([]string{`C:\assay-agent.exe`, "kernel"}, args...)...)
}

type ringStatus struct {
	Class                                       string
	Posted, Delivered, Queued, Lost, Held, Size uint64
}

func (w *windows) rings() map[string]ringStatus {
	w.t.Helper()
	var status struct{ Rings []ringStatus }
	if err := json.Unmarshal([]byte(w.agent("status", "--json")), &status); err != nil {
		w.t.Fatal(err)
	}
	rings := map[string]ringStatus{}
	for _, r := range status.Rings {
		rings[r.Class] = r
	}
	return rings
}

// TestKernelUnderWine reads the driver's own program through its device: what was not
// acknowledged comes again, a full ring is a gap of its own class, what was
// acknowledged is gone, and filters are in force.
func TestKernelUnderWine(t *testing.T) {
	if testing.Short() {
		t.Skip("Wine takes half a minute")
	}
	w := newWindows(t)
	if _, errs, err := w.run(wine, `C:\assay-agent.exe`, "kernel", "status"); err == nil || !strings.Contains(errs, "the driver is not loaded") {
		t.Errorf("without a driver: %v\n%s", err, errs)
	}
	w.load()
	w.must(wine, `C:\play.exe`, "6000")
	full := w.rings()
	process := full["process"]
	if process.Posted != 6000 || process.Lost == 0 || process.Queued+process.Lost != 6000 || full["file"].Lost+full["registry"].Lost+full["network"].Lost+full["payload"].Lost != 0 {
		t.Fatalf("the rings are %+v", full)
	}
	records := uint64(1) // the gap
	for _, r := range full {
		records += r.Queued
	}
	for _, more := range [][]string{{"--no-ack"}, nil} {
		out := w.agent(append([]string{"dump", "--json", "--count", jsonNumber(records)}, more...)...)
		seen, gap := map[string]int{}, uint64(0)
		for line := range strings.Lines(out) {
			var r struct {
				Class, Kind string
				N           uint64
				Body        struct{ Count, First uint64 }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			seen[r.Kind]++
			if r.Kind == "gap" {
				gap = r.Body.Count
				if r.Class != "process" || r.N != r.Body.First+r.Body.Count-1 {
					t.Errorf("a gap is %s", line)
				}
			}
		}
		if gap != process.Lost || uint64(seen["process_created"]) != process.Queued || seen["key_set"] != 1 || seen["file_created"] != 1 || seen["flow_connected"] != 1 || seen["payload_copied"] != 2 {
			t.Errorf("%v: %v, a gap of %d", more, seen, gap)
		}
	}
	for class, r := range w.rings() {
		if r.Held != 0 || r.Posted != r.Delivered+r.Lost {
			t.Errorf("after all was acknowledged %s is %+v", class, r)
		}
	}
	filters := filepath.Join(w.prefix, "drive_c/filters.json")
	if err := os.WriteFile(filters, []byte(`{"exclude": [{"class": "file", "prefixes": ["\\Device\\HarddiskVolume1\\"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := w.agent("filters", "set", "--dir", `C:\`, `C:\filters.json`); !strings.Contains(out, "in force") {
		t.Errorf("filters: %s", out)
	}
	before := w.rings()
	w.must(wine, `C:\play.exe`, "1")
	after := w.rings()
	if after["file"].Posted != before["file"].Posted || after["registry"].Posted != before["registry"].Posted+1 {
		t.Errorf("with filters in force %+v becomes %+v", before, after)
	}
	out := w.agent("dump", "--events", "--count", "1")
	if !strings.Contains(out, `"Assay-Kernel"`) {
		t.Errorf("events are %s", out)
	}
}

func jsonNumber(n uint64) string {
	b, _ := json.Marshal(n) // a number always has a form
	return string(b)
}

// TestRunUnderWine kills the agent while it reads the driver's own program: every
// record reaches the server once.
func TestRunUnderWine(t *testing.T) {
	if testing.Short() {
		t.Skip("Wine takes half a minute")
	}
	w := newWindows(t)
	server := servertest.New(t, time.Now)
	if err := os.WriteFile(filepath.Join(w.prefix, "drive_c/token"), []byte(servertest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.hold()
	w.must(wine, `C:\assay-agent.exe`, "enrol", "--server", server.Address, "--ca-hash", server.CAHash, "--token-file", `C:\token`, "--dir", `C:\state`)
	// The agent is there before the driver, and takes it up when it appears.
	agent := w.start("run", "--dir", `C:\state`)
	w.load()
	const rounds, each = 4, 400
	for round := range rounds {
		w.must(wine, `C:\play.exe`, jsonNumber(each))
		if round == rounds-1 {
			break
		}
		w.until(func(r ringStatus) bool { return r.Delivered > uint64(round*each) })
		agent.kill()
		agent = w.start("run", "--dir", `C:\state`)
	}
	w.until(func(r ringStatus) bool { return r.Posted == rounds*each && r.Delivered == r.Posted })
	agent.kill()
	agent = w.start("run", "--dir", `C:\state`)
	seen := map[uint64]int{}
	deadline := time.Now().Add(time.Minute)
	for len(seen) < rounds*each && time.Now().Before(deadline) {
		w.rings() // takes a while, and the server hears of more meanwhile
		events, err := server.Events(evidence.Bulk)
		if err != nil {
			t.Fatal(err)
		}
		clear(seen)
		for _, ev := range events {
			if ev.GetProcess().GetAction() == "PROC_CREATE" && ev.GetPosition().GetChannel() == "process" {
				seen[ev.GetPosition().GetSequence()]++
			}
		}
	}
	agent.kill()
	for n := uint64(1); n <= rounds*each; n++ {
		if seen[n] != 1 {
			t.Fatalf("process %d of %d reached the server %d times\n%s", n, rounds*each, seen[n], agent.said())
		}
	}
	if len(seen) != rounds*each {
		t.Errorf("%d processes reached the server", len(seen))
	}
}

// program is one that runs.
type program struct {
	w       *windows
	command *exec.Cmd
	log     string
}

// start runs the agent in the background.
func (w *windows) start(args ...string) *program {
	w.t.Helper()
	log, err := os.CreateTemp(w.prefix, "log")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p := &program{w: w, log: log.Name(), command: w.command(context.Background(), wine, append([]string{`C:\assay-agent.exe`}, args...)...)}
	p.command.Stderr = log
	if err := p.command.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.kill)
	return p
}

// kill ends it as a crash does.
func (p *program) kill() {
	if p.command.ProcessState != nil {
		return
	}
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

func (p *program) said() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// until asks the driver how processes stand until it is so.
func (w *windows) until(ok func(ringStatus) bool) {
	w.t.Helper()
	var last ringStatus
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if last = w.rings()["process"]; ok(last) {
			return
		}
	}
	w.t.Fatalf("it never came to that; processes stand so: %+v", last)
}
