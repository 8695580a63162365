package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/internal/cli"
)

// ask runs one command of the agent.
func ask(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Main(t.Context(), "test", args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// TestKernelDecode prints what the driver's own encoder wrote.
func TestKernelDecode(t *testing.T) {
	t.Parallel()
	const golden = "../../../driver/test/golden/"
	file := golden + "process_exited.ordinary.bin"
	code, out, errs := ask(t, "kernel", "decode", file)
	if code != 0 || !strings.Contains(out, "process_exited") || !strings.Contains(out, "pid 4242") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	// Records behind each other, as JSON.
	var capture []byte
	for _, name := range []string{"process_created.ordinary.bin", "flow_connected.ordinary.bin", "key_set.maximum.bin"} {
		b, err := os.ReadFile(golden + name)
		if err != nil {
			t.Fatal(err)
		}
		capture = append(capture, b...)
	}
	both := filepath.Join(t.TempDir(), "capture.bin")
	if err := os.WriteFile(both, capture, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = ask(t, "kernel", "decode", "--json", both)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 3 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	var first struct {
		Kind, Class string
		PID         uint32
		Body        map[string]any
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if first.Kind != "process_created" || first.Class != "process" || first.PID != 4242 || first.Body["creator_pid"] != float64(836694760) || !strings.HasPrefix(first.Body["image"].(string), "abcd") {
		t.Errorf("the first is %+v", first)
	}
	code, out, errs = ask(t, "kernel", "decode", "--events", both)
	if code != 0 || !strings.Contains(out, `"PROC_CREATE"`) || !strings.Contains(out, `"SOCKET_CONNECT"`) {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	// What is broken is named, after what came before it.
	if err := os.WriteFile(both, capture[:len(capture)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = ask(t, "kernel", "decode", both)
	if code != 3 || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "malformed driver record") || !strings.Contains(errs, "at byte") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestKernelFilters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "filters.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"exclude": [{"class": "file", "prefixes": ["\\Device\\HarddiskVolume1\\Temp\\"]}]}`)
	code, out, errs := ask(t, "kernel", "filters", "check", "--json", file)
	var report struct {
		Digest   string
		Excludes int
	}
	if err := json.Unmarshal([]byte(out), &report); code != 0 || err != nil || report.Excludes != 1 || len(report.Digest) != 64 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if runtime.GOOS != "windows" {
		code, out, errs = ask(t, "kernel", "filters", "set", "--dir", dir, file)
		kept, err := os.ReadFile(filepath.Join(dir, "kernel-filters.json"))
		if code != 0 || err != nil || !strings.Contains(out, report.Digest) || !strings.Contains(out, "not loaded") || !strings.Contains(string(kept), "HarddiskVolume1") {
			t.Errorf("exit %d\n%s%s", code, out, errs)
		}
		for _, command := range []string{"status", "dump"} {
			if code, _, errs := ask(t, "kernel", command); code != 3 || !strings.Contains(errs, "the driver is for Windows") {
				t.Errorf("%s: exit %d\n%s", command, code, errs)
			}
		}
	}
	write(`{"exclude": [{"class": "file", "prefixes": ["*.tmp"]}]}`)
	for _, command := range []string{"check", "set"} {
		if code, _, errs := ask(t, "kernel", "filters", command, file); code != 3 || !strings.Contains(errs, "knows no wildcards") {
			t.Errorf("%s: exit %d\n%s", command, code, errs)
		}
	}
}
