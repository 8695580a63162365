package bench_test

import (
	"math"
	"testing"

	"github.com/assay-audit/assay/server/internal/bench"
)

var costs = bench.Costs{AckCPU: 1, ProjectCPU: 3, PostgresCPU: 8, WAL: 700, Disk: 690, BatchDisk: 90, StreamKiB: 60}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/1e6 {
		t.Errorf("%s: %g, want %g", what, got, want)
	}
}

// TestModel computes by hand what a fleet of 1,000 hosts needs that sends 8.64
// million events each day, 100 a second and host.
func TestModel(t *testing.T) {
	t.Parallel()
	got, err := bench.Model(costs, bench.Fleet{Hosts: 1000, EventsPerHostDay: 86_400, Peak: 2, EventDays: 30, BatchDays: 365})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "events a second", got.EventsPerSecond, 1000)
	near(t, "peak", got.PeakPerSecond, 2000)
	near(t, "server cores", got.ServerCores, 0.002*4/bench.Headroom)
	near(t, "Postgres cores", got.PostgresCores, 0.002*8/bench.Headroom)
	near(t, "WAL MB/s", got.WALPerSecond, 1.4)
	near(t, "WAL GB a day", got.WALPerDay, 60.48)
	near(t, "events GB", got.EventDisk, 86.4e6*30*600/1e9)
	near(t, "batches GB", got.BatchDisk, 86.4e6*365*90/1e9)
	near(t, "stream memory", got.StreamMemory, 1000*60*1024/1e9)
	near(t, "catching up", got.CatchUp, 60)
}

func TestModelRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, f := range []bench.Fleet{{}, {Hosts: 1, EventsPerHostDay: 1}, {Hosts: 1, EventsPerHostDay: -1, Peak: 1}, {Hosts: 1, EventsPerHostDay: 1, Peak: 1, EventDays: -1}} {
		if _, err := bench.Model(costs, f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
}

// TestSustained: the model's rate of a full machine is what the costs leave room for.
func TestSustained(t *testing.T) {
	t.Parallel()
	near(t, "sustained", bench.Sustained(costs, 4, 2), 2e6/16)
}
