package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-audit/assay/agent/internal/cli"
	"github.com/assay-audit/assay/agent/internal/servertest"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// asAgent makes this test binary the agent, so that it can be killed for real.
const asAgent = "ASSAY_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := cli.Main(ctx, "test", os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// rig is a server and an enrolled state directory.
type rig struct {
	t      *testing.T
	server *servertest.Server
	dir    string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, server: servertest.New(t, time.Now), dir: filepath.Join(t.TempDir(), "state")}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(servertest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := r.run(t.Context(), "enrol", "--server", r.server.Address, "--ca-hash", r.server.CAHash, "--token-file", token)
	if code != 0 || !strings.Contains(out, "enrolled as agent") {
		t.Fatalf("enrol: exit %d\n%s%s", code, out, errs)
	}
	return r
}

func (r *rig) run(ctx context.Context, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = cli.Main(ctx, "test", append(args, "--dir", r.dir, "--log-level", "error"), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// writeLog makes an event XML file of n events whose record ids begin at first.
func writeLog(t *testing.T, name string, first, n int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("<Events>\n")
	for i := range n {
		fmt.Fprintf(&b, `<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System><Provider Name="Microsoft-Windows-Security-Auditing"/>`+
			`<EventID>4688</EventID><Version>2</Version><Level>0</Level><Task>13312</Task><Opcode>0</Opcode><Keywords>0x8020000000000000</Keywords>`+
			`<TimeCreated SystemTime="2025-03-04T05:06:07.%07dZ"/><EventRecordID>%d</EventRecordID><Execution ProcessID="4" ThreadID="8"/>`+
			`<Channel>Security</Channel><Computer>PC-%d.example.com</Computer><Security/></System><EventData>`+
			`<Data Name="SubjectUserSid">S-1-5-18</Data><Data Name="NewProcessId">0x%x</Data><Data Name="NewProcessName">C:\Windows\p%d.exe</Data>`+
			`<Data Name="CommandLine">p%d.exe --run %d</Data></EventData></Event>`+"\n", i, first+i, i%3, 100+i, i, i, first+i)
	}
	b.WriteString("</Events>\n")
	// Whole at once: a watched folder is looked at every 20 ms, and a test that is
	// not scheduled for two looks would have shown half a file that rests.
	part := name + ".part"
	if err := os.WriteFile(part, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, name); err != nil {
		t.Fatal(err)
	}
}

// check asks for records first..last once each, and begin and end of each file
// once, in the right order.
func (r *rig) check(first, last, files int) {
	r.t.Helper()
	events, err := r.server.Events(evidence.Import)
	if err != nil {
		r.t.Fatal(err)
	}
	seen, begins, ends := map[uint64]int{}, map[string]int{}, map[string]int{}
	for _, ev := range events {
		sha := string(ev.GetPosition().GetFileSha256())
		switch ev.GetAgentEvent().GetAction() {
		case "import_begin":
			begins[sha]++
		case "import_end":
			ends[sha]++
		default:
			if begins[sha] != 1 || ends[sha] != 0 {
				r.t.Fatal("a record stands outside of its file's begin and end")
			}
			if ev.GetMode() != telemetryv1.Mode_MODE_IMPORT || ev.GetSubject().GetKind() != telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED ||
				!strings.HasPrefix(ev.GetSubject().GetHost(), "PC-") {
				r.t.Fatalf("subject %v, mode %v", ev.GetSubject(), ev.GetMode())
			}
			seen[ev.GetPosition().GetRecordId()]++
		}
	}
	for id := first; id <= last; id++ {
		if seen[uint64(id)] != 1 {
			r.t.Fatalf("record %d is there %d times", id, seen[uint64(id)])
		}
	}
	if len(seen) != last-first+1 || len(begins) != files || len(ends) != files {
		r.t.Fatalf("%d records, %d begins, %d ends; want %d of %d files", len(seen), len(begins), len(ends), last-first+1, files)
	}
	for sha := range begins {
		if begins[sha] != 1 || ends[sha] != 1 {
			r.t.Fatal("a file begins or ends twice")
		}
	}
}

func TestImportOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	logs := t.TempDir()
	writeLog(t, filepath.Join(logs, "a.xml"), 1, 700)
	writeLog(t, filepath.Join(logs, "b.XML"), 701, 300)
	// The same bytes under another name, within the same run.
	b, _ := os.ReadFile(filepath.Join(logs, "a.xml"))
	if err := errors.Join(os.Mkdir(filepath.Join(logs, "sub"), 0o700), os.WriteFile(filepath.Join(logs, "sub", "copy.xml"), b, 0o600)); err != nil {
		t.Fatal(err)
	}
	code, out, errs := r.run(t.Context(), "import", logs)
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	r.check(1, 1000, 2)
	code, out, errs = r.run(t.Context(), "import", "--json", logs)
	var summary struct {
		Files, Known, New int
		Complete          bool
	}
	if err := json.Unmarshal([]byte(out), &summary); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if summary.Files != 3 || summary.Known != 3 || summary.New != 0 || !summary.Complete {
		t.Fatalf("second import: %+v", summary)
	}
	r.check(1, 1000, 2)
	code, out, _ = r.run(t.Context(), "status")
	if code != 0 || !strings.Contains(out, "import") || !strings.Contains(out, "running      nothing") {
		t.Fatalf("status: exit %d\n%s", code, out)
	}
}

func TestDamagedAndMissingFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	logs := t.TempDir()
	whole := filepath.Join(logs, "whole.xml")
	writeLog(t, whole, 1, 50)
	b, _ := os.ReadFile(whole)
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(logs, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cut.xml", b[:len(b)/2])
	write("junk.evtx", bytes.Repeat([]byte("junk"), 100))
	write("empty.evtx", nil)
	write("ignored.txt", []byte("x"))
	code, out, errs := r.run(t.Context(), "import", logs)
	if code != 1 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{"cut.xml", "junk.evtx: 0 records; 1 damaged places, the first: neither", "empty.evtx", "4 files"} {
		if !strings.Contains(out, want) {
			t.Errorf("the summary lacks %q:\n%s", want, out)
		}
	}
	ends := 0
	events, err := r.server.Events(evidence.Import)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		if a := ev.GetAgentEvent(); a.GetAction() == "import_end" && a.GetUnreadable() > 0 && a.GetReason() != "" {
			ends++
		}
	}
	if ends != 3 {
		t.Fatalf("%d import_end events name damage, want 3", ends)
	}
	for _, args := range [][]string{{"import", filepath.Join(logs, "missing.evtx")}, {"import", t.TempDir()}, {"run", "--watch", whole}} {
		code, _, errs := r.run(t.Context(), args...)
		if code != 3 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	cases := []struct {
		args []string
		code int
		text string
	}{
		{[]string{"--help"}, 0, "Commands:"},
		{[]string{"import", "--help"}, 0, "Examples:"},
		{[]string{"version"}, 0, "assay-agent test"},
		{[]string{}, 2, ""},
		{[]string{"fly"}, 2, "fly"},
		{[]string{"import"}, 2, "<path>"},
		{[]string{"run", "--dir", "/nonexistent/state"}, 3, "not enrolled"},
		{[]string{"status", "--dir", "/nonexistent/state"}, 3, "assay-agent enrol"},
		{[]string{"enrol", "--server", "x:1", "--ca-hash", "00", "--token-file", "/nonexistent"}, 3, "reading token"},
	}
	for _, c := range cases {
		var both bytes.Buffer
		code := cli.Main(t.Context(), "test", c.args, strings.NewReader(""), &both, &both)
		if code != c.code || !strings.Contains(both.String(), c.text) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s", c.args, code, c.code, c.text, both.String())
		}
	}
}

// An import that is stopped in order at any moment goes on where it was.
func TestStoppedImport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	logs := t.TempDir()
	writeLog(t, filepath.Join(logs, "a.xml"), 1, 4000)
	writeLog(t, filepath.Join(logs, "b.xml"), 4001, 2000)
	rng := rand.New(rand.NewPCG(7, 7))
	for range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(120))*time.Millisecond)
		code, out, errs := r.run(ctx, "import", "--no-wait", logs)
		cancel()
		if code != 0 && code != 3 {
			t.Fatalf("exit %d\n%s%s", code, out, errs)
		}
	}
	if code, out, errs := r.run(t.Context(), "import", logs); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	r.check(1, 6000, 2)
}

// An import that is killed, again and again, loses nothing and doubles nothing.
func TestKilledImport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	logs := t.TempDir()
	writeLog(t, filepath.Join(logs, "a.xml"), 1, 8000)
	writeLog(t, filepath.Join(logs, "b.xml"), 8001, 4000)
	rng := rand.New(rand.NewPCG(3, 9))
	killed := 0
	for range 15 {
		c := exec.Command(os.Args[0], "import", "--dir", r.dir, logs)
		c.Env = append(os.Environ(), asAgent+"=1")
		c.Stdout, c.Stderr = io.Discard, io.Discard
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(50+rng.IntN(500))*time.Millisecond, func() { _ = c.Process.Kill() })
		err := c.Wait()
		timer.Stop()
		if err != nil {
			killed++
		}
	}
	t.Logf("killed %d times, %d batches committed", killed, len(r.server.Commits()))
	if killed == 0 {
		t.Fatal("never killed: the test proves nothing")
	}
	if code, out, errs := r.run(t.Context(), "import", logs); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	r.check(1, 12000, 2)
	if _, forks := r.server.Reasons(); forks != 0 {
		t.Fatalf("%d forks", forks)
	}
}

func TestRunWatchesAndStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	logs := t.TempDir()
	writeLog(t, filepath.Join(logs, "a.xml"), 1, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		code, _, _ := r.run(ctx, "run", "--watch", logs, "--watch-interval", "20ms")
		done <- code
	}()
	r.waitRecords(100)
	if code, _, errs := r.run(t.Context(), "import", logs); code != 3 || !strings.Contains(errs, "in use by assay-agent run (process") {
		t.Errorf("import beside run: exit %d, %q", code, errs)
	}
	if code, out, _ := r.run(t.Context(), "status"); code != 0 || !strings.Contains(out, "running      assay-agent run (process") {
		t.Errorf("status beside run: exit %d\n%s", code, out)
	}
	writeLog(t, filepath.Join(logs, "b.xml"), 101, 50)
	r.waitRecords(150)
	cancel()
	if code := <-done; code != 0 {
		t.Fatalf("exit %d", code)
	}
	r.check(1, 150, 2)
	events, err := r.server.Events(evidence.Control)
	if err != nil || len(events) < 2 {
		t.Fatalf("%d control events, %v", len(events), err)
	}
	first, last := events[0].GetAgentEvent().GetAction(), events[len(events)-1].GetAgentEvent().GetAction()
	if first != "start" || last != "stop" {
		t.Fatalf("control begins with %q and ends with %q", first, last)
	}
}

func (r *rig) waitRecords(n int) {
	r.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		events, err := r.server.Events(evidence.Import)
		if err != nil {
			r.t.Fatal(err)
		}
		records := 0
		for _, ev := range events {
			if ev.GetAgentEvent() == nil {
				records++
			}
		}
		if records >= n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("%d of %d records arrived", records, n)
		}
	}
}
