// Command assay-bench measures Assay on this machine: event logs read, batches
// acknowledged, events projected, hosts evaluated, and the plain COPY that they
// are compared with. It starts a Postgres of its own that waits for the disk,
// and removes it. The last line of its output is BENCH and a JSON object.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/assay-audit/assay/deploy/pg"
	"github.com/assay-audit/assay/server/internal/bench"
)

// options is the command line; its help is the manual.
type options struct {
	Agents  int           `help:"Agents that send at a time." default:"50"`
	Events  int           `help:"Events that all agents together send in a measurement." default:"200000"`
	Rounds  int           `help:"Rounds of which medians are printed." default:"3"`
	Hosts   int           `help:"Hosts to evaluate." default:"1000"`
	LogTime time.Duration `help:"How long event logs are read in a round." default:"2s"`
	Only    []string      `help:"Measure only these: evtx, copy, burst, sustained, evaluate." placeholder:"PART"`
	Verify  bool          `help:"Measure the verification of a ledger of --events events instead."`
	Quick   bool          `help:"Only show that everything runs: little of each, once."`

	TestData   string `help:"Folder with evtx.tar.gz, logs to read; else one is generated." env:"ASSAY_TESTDATA" type:"path" placeholder:"DIR"`
	CPUProfile string `name:"cpuprofile" help:"Write a CPU profile of this process here." type:"path" placeholder:"FILE"`
	HeapFile   string `name:"memprofile" help:"Write a profile of allocations here." type:"path" placeholder:"FILE"`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("assay-bench"), kong.Description("Measures Assay on this machine."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "assay-bench:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if o.Quick {
		o.Agents, o.Events, o.Rounds, o.Hosts, o.LogTime = 4, 4000, 1, 50, 50*time.Millisecond
	}
	dir, err := pg.MkdirTemp()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	stopProfile, err := o.profile()
	if err != nil {
		return err
	}
	if o.Verify {
		report, err := bench.MeasureVerify(ctx, bench.VerifyConfig{Events: o.Events, Rounds: o.Rounds, Dir: dir, Now: time.Now, Progress: stderr})
		if err := errors.Join(err, stopProfile()); err != nil {
			return err
		}
		return report.Print(stdout)
	}
	report, err := bench.Run(ctx, bench.Config{
		Agents: o.Agents, Events: o.Events, Rounds: o.Rounds, Hosts: o.Hosts, LogTime: o.LogTime, Parts: o.Only,
		TestData: o.TestData, Dir: dir, Now: time.Now, Progress: stderr,
	})
	if err := errors.Join(err, stopProfile()); err != nil {
		return err
	}
	return report.Print(stdout)
}

// profile starts what profiles were asked for; the result ends them.
func (o *options) profile() (stop func() error, err error) {
	if o.HeapFile != "" {
		runtime.MemProfileRate = 64 << 10
	}
	var cpu *os.File
	if o.CPUProfile != "" {
		if cpu, err = os.Create(filepath.Clean(o.CPUProfile)); err != nil {
			return nil, fmt.Errorf("creating CPU profile: %w", err)
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, errors.Join(fmt.Errorf("starting CPU profile: %w", err), cpu.Close())
		}
	}
	return func() error {
		if cpu != nil {
			pprof.StopCPUProfile()
			if err := cpu.Close(); err != nil {
				return fmt.Errorf("closing CPU profile: %w", err)
			}
		}
		return o.writeAllocations()
	}, nil
}

func (o *options) writeAllocations() error {
	if o.HeapFile == "" {
		return nil
	}
	file, err := os.Create(filepath.Clean(o.HeapFile))
	if err != nil {
		return fmt.Errorf("creating profile of allocations: %w", err)
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
}
