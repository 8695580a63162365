package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/deploy/pg"
	"github.com/assay-audit/assay/server/internal/bench"
)

func config(t *testing.T) bench.Config {
	t.Helper()
	dir, err := pg.MkdirTemp()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return bench.Config{Dir: dir, Now: time.Now}
}

// build builds the programs that measurements run.
func build(t *testing.T) (self, agent string) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "../../cmd/assay-bench", "../../../agent/cmd/assay-agent").CombinedOutput()
	if err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return filepath.Join(dir, "assay-bench"), filepath.Join(dir, "assay-agent")
}

type report interface{ Print(w io.Writer) error }

// figures are those of the last line, which programs read. Nothing is judged by the
// clock.
func figures(t *testing.T, r report, err error) map[string]any {
	t.Helper()
	if errors.Is(err, pg.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("needs Postgres: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	text, found := strings.CutPrefix(lines[len(lines)-1], "BENCH ")
	if !found {
		t.Fatalf("the last line is %q", lines[len(lines)-1])
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, text)
	}
	return all
}

func positive(t *testing.T, figures map[string]any, names ...string) {
	t.Helper()
	for _, name := range names {
		if value, ok := figures[name].(float64); !ok || value <= 0 {
			t.Errorf("%s is %v, want a number above 0", name, figures[name])
		}
	}
}

func TestCore(t *testing.T) {
	t.Parallel()
	r, err := bench.RunCore(t.Context(), bench.CoreConfig{Config: config(t), Rounds: 1, Hosts: 20, LogTime: time.Millisecond})
	positive(t, figures(t, r, err), "evtx_records_per_s", "evaluate_hosts_per_s")
}

func TestIngest(t *testing.T) {
	t.Parallel()
	self, agent := build(t)
	r, err := bench.RunIngest(t.Context(), bench.IngestConfig{Config: config(t), Agents: 3, Events: 400, Rounds: 1, Agent: agent, Self: self})
	found := figures(t, r, err)
	positive(t, found, "burst_ratio", "sustained_ratio", "sustained_rules_ratio", "ack_p50_ms", "ack_p99_ms", "rss_mb", "wal_b_per_event", "disk_b_per_event")
	for _, name := range []string{"ack_cpu_s_per_m", "project_cpu_s_per_m"} {
		if _, ok := found[name].(float64); !ok {
			t.Errorf("%s is %v", name, found[name]) // it may be 0: the clock of /proc is coarse
		}
	}
	if got := found["events"]; got != float64(3*399) {
		t.Errorf("%v events, want 1197", got)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	r, err := bench.MeasureVerify(t.Context(), bench.VerifyConfig{Events: 4000, Rounds: 1, Dir: cfg.Dir, Now: cfg.Now})
	found := figures(t, r, err)
	positive(t, found, "verify_ratio", "events_per_s", "copy_bytes_per_s", "batches", "rounds")
	if got := found["events"]; got != float64(3900) { // whole batches
		t.Errorf("%v events, want 3900", got)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	self, _ := build(t)
	r, err := bench.RunStreams(t.Context(), bench.StreamsConfig{Config: config(t), Streams: 5, Beats: 1, Beat: 5 * time.Second, Kill: true, Self: self})
	found := figures(t, r, err)
	positive(t, found, "streams", "kib_per_stream", "reconnect_s", "reconnect_statements_per_stream")
	if n, _ := found["batches"].(float64); n < 10 {
		t.Errorf("%v batches of 5 agents in two minutes each", found["batches"])
	}
}
