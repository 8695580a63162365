package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/deploy/pg"
	"github.com/assay-audit/assay/server/internal/bench"
)

// run measures a little of everything on a Postgres of its own.
func run(t *testing.T, change func(*bench.Config)) (*bench.Report, error) {
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
	cfg := bench.Config{Agents: 3, Events: 1500, Rounds: 1, Hosts: 20, LogTime: time.Millisecond, Dir: dir, Now: time.Now}
	if change != nil {
		change(&cfg)
	}
	report, err := bench.Run(t.Context(), cfg)
	if errors.Is(err, pg.ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("needs Postgres: %v", err)
	}
	return report, err
}

// TestLastLine is about what programs read; nothing is judged by the clock.
func TestLastLine(t *testing.T) {
	t.Parallel()
	report, err := run(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report.Print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	text, found := strings.CutPrefix(lines[len(lines)-1], "BENCH ")
	if !found {
		t.Fatalf("the last line is %q", lines[len(lines)-1])
	}
	var figures map[string]any
	if err := json.Unmarshal([]byte(text), &figures); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, text)
	}
	for _, name := range []string{"evtx_records_per_s", "burst_ratio", "sustained_ratio", "evaluate_hosts_per_s"} {
		if value, ok := figures[name].(float64); !ok || value <= 0 {
			t.Errorf("%s is %v, want a number above 0", name, figures[name])
		}
	}
	if !strings.HasPrefix(text, `{"evtx_records_per_s":`) {
		t.Errorf("the object does not begin with the headline figures: %s", text)
	}
	for _, want := range []string{"COPY of typed rows", "burst (acknowledged)", "sustained (projected)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no line of %q:\n%s", want, out.String())
		}
	}
}

func TestOnlyWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	report, err := run(t, func(c *bench.Config) { c.Parts = []string{"burst"} })
	if err != nil {
		t.Fatal(err)
	}
	if report.Burst.EventsPerSecond <= 0 || report.Burst.WALBytes <= 0 || report.Burst.AckP99 < report.Burst.AckP50 {
		t.Errorf("burst: %+v", report.Burst)
	}
	if report.Copy.EventsPerSecond != 0 || report.Sustained.EventsPerSecond != 0 || report.BurstRatio != 0 {
		t.Errorf("something else was measured: %+v", report)
	}
}

func TestUnknownPart(t *testing.T) {
	t.Parallel()
	if _, err := run(t, func(c *bench.Config) { c.Parts = []string{"speed"} }); err == nil || !strings.Contains(err.Error(), `"speed"`) {
		t.Errorf("asked to measure speed: %v", err)
	}
}
