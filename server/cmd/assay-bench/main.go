// Command assay-bench measures Assay on this machine: the way in from agents to
// facts beside the plain COPY of the same rows, thousands of connected agents,
// event logs read and hosts evaluated. It starts a Postgres of its own that waits
// for the disk, and removes it. The last line of a measurement's output is BENCH
// and a JSON object.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/assay-audit/assay/deploy/pg"
	"github.com/assay-audit/assay/server/internal/bench"
)

// options is the command line; its help is the manual.
type options struct {
	Core     coreCommand     `cmd:"" help:"Measure event logs read and hosts evaluated."`
	Ingest   ingestCommand   `cmd:"" help:"Measure the way in from agents to facts beside the plain COPY of the same rows."`
	Streams  streamsCommand  `cmd:"" help:"Measure thousands of connected agents, and a restart of their server."`
	Verify   verifyCommand   `cmd:"" help:"Measure the verification of a ledger."`
	Capacity capacityCommand `cmd:"" help:"Compute what a fleet needs from what an event was measured to cost."`
	Serve    serveCommand    `cmd:"" hidden:"" help:"Be a server of a measurement."`
}

// env is what commands know of the world.
type env struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() {
	var o options
	parsed := kong.Parse(&o, kong.Name("assay-bench"), kong.Description("Measures Assay on this machine."), kong.UsageOnError())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := parsed.Run(&env{ctx, os.Stdin, os.Stdout, os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "assay-bench:", err)
		os.Exit(1)
	}
}

// report is what a measurement found.
type report interface{ Print(w io.Writer) error }

// measure measures in a folder of its own and prints the report.
func (e *env) measure(do func(bench.Config) (report, error)) (err error) {
	dir, err := pg.MkdirTemp()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	found, err := do(bench.Config{Dir: dir, Now: time.Now, Progress: e.stderr})
	if err != nil {
		return err
	}
	return found.Print(e.stdout)
}

type coreCommand struct {
	Rounds   int           `help:"Rounds of which medians are printed." default:"3"`
	Hosts    int           `help:"Hosts to evaluate." default:"1000"`
	LogTime  time.Duration `help:"How long event logs are read in a round." default:"2s"`
	Quick    bool          `help:"Only show that everything runs: little of each, once."`
	TestData string        `help:"Folder with evtx.tar.gz, logs to read; else one is generated." env:"ASSAY_TESTDATA" type:"path" placeholder:"DIR"`
}

// Help is the command's long help.
func (coreCommand) Help() string {
	return `Examples:
  assay-bench core
  assay-bench core --hosts 5000 --rounds 1`
}

func (c *coreCommand) Run(e *env) error {
	if c.Quick {
		c.Rounds, c.Hosts, c.LogTime = 1, 50, 50*time.Millisecond
	}
	return e.measure(func(cfg bench.Config) (report, error) {
		return bench.RunCore(e.ctx, bench.CoreConfig{Config: cfg, Rounds: c.Rounds, Hosts: c.Hosts, LogTime: c.LogTime, TestData: c.TestData})
	})
}

type ingestCommand struct {
	Agents   int    `help:"Agents that send at a time." default:"200"`
	Events   int    `help:"Events that each agent sends in a measurement." default:"5000"`
	Rounds   int    `help:"Rounds of which medians are printed." default:"3"`
	Quick    bool   `help:"Only show that everything runs: little of each, once."`
	Agent    string `help:"The assay-agent that sends; else the one beside this program." type:"path" placeholder:"FILE"`
	Spools   string `help:"Folder for the agents' spools while they send, where they are not to sync the disk that Postgres syncs (/dev/shm); else beside the database." type:"existingdir" placeholder:"DIR"`
	Profiles string `help:"Write CPU profiles of servers and agents into this folder." type:"existingdir" placeholder:"DIR"`
}

// Help is the command's long help.
func (ingestCommand) Help() string {
	return `Each round measures, on databases of their own: the plain COPY of the typed rows over two connections, encoding
included; a burst, in which agents (assay-agent fleet: the shipping uplink and spools, prepared before) are acknowledged
while nothing is projected; the same until all projections have caught up, without what matches events and with it; and
that again at half of the rate, for the latency of acks. The agents, the server's ack path and its projections are
processes of their own, so that CPU seconds and memory are told apart. What is stored is counted each time.

Examples:
  assay-bench ingest
  assay-bench ingest --rounds 1 --agents 50 --profiles /tmp/profiles`
}

func (c *ingestCommand) Run(e *env) error {
	if c.Quick {
		c.Agents, c.Events, c.Rounds = 4, 300, 1
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for this program: %w", err)
	}
	if c.Agent == "" {
		c.Agent = filepath.Join(filepath.Dir(self), "assay-agent")
	}
	return e.measure(func(cfg bench.Config) (report, error) {
		return bench.RunIngest(e.ctx, bench.IngestConfig{Config: cfg, Agents: c.Agents, Events: c.Events, Rounds: c.Rounds,
			Agent: c.Agent, Self: self, Spools: c.Spools, Profiles: c.Profiles})
	})
}

type streamsCommand struct {
	Streams int  `help:"Agents that are connected." default:"10000"`
	Beats   int  `help:"Minutes in which each sends a batch, before the restart and again after it." default:"1"`
	Kill    bool `help:"Restart the server by kill -9: it asks nobody to come back."`
	Quick   bool `help:"Only show that everything runs: a few agents."`
}

// Help is the command's long help.
func (streamsCommand) Help() string {
	return `Agents with keys and certificates of their own connect over mutual TLS and send a signed batch a minute each, one
after the other over the minute. They speak the real protocol by a light client: a spool and a pipeline for each would
not fit beside the server. Memory is that of the server's process after garbage is collected, less what it had with no
agent. A heartbeat is missed when the batch that was due is not acknowledged within a minute; that, a batch that was
acknowledged and is gone, or one that is stored twice, ends the measurement with an error.

Examples:
  assay-bench streams
  assay-bench streams --streams 2000 --kill`
}

func (c *streamsCommand) Run(e *env) error {
	beat := time.Minute
	if c.Quick {
		c.Streams, c.Kill, beat = 20, true, 2*time.Second
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for this program: %w", err)
	}
	return e.measure(func(cfg bench.Config) (report, error) {
		return bench.RunStreams(e.ctx, bench.StreamsConfig{Config: cfg, Streams: c.Streams, Beats: c.Beats, Beat: beat, Kill: c.Kill, Self: self})
	})
}

type verifyCommand struct {
	Events int  `help:"Events of the ledger." default:"10000000"`
	Rounds int  `help:"Rounds of which medians are printed." default:"3"`
	Quick  bool `help:"Only show that everything runs: a small ledger, once."`
}

// Help is the command's long help.
func (verifyCommand) Help() string {
	return `Examples:
  assay-bench verify
  assay-bench verify --events 1000000 --rounds 1`
}

func (c *verifyCommand) Run(e *env) error {
	if c.Quick {
		c.Events, c.Rounds = 4000, 1
	}
	return e.measure(func(cfg bench.Config) (report, error) {
		return bench.MeasureVerify(e.ctx, bench.VerifyConfig{Events: c.Events, Rounds: c.Rounds, Dir: cfg.Dir, Now: cfg.Now, Progress: cfg.Progress})
	})
}

type capacityCommand struct {
	Hosts            int     `help:"Hosts of the fleet." required:""`
	EventsPerHostDay float64 `help:"Events that a host sends in a day." required:""`
	Peak             float64 `help:"How many times its mean the busiest hour is." default:"3"`
	EventDays        float64 `help:"Days that events are kept as rows." default:"30"`
	BatchDays        float64 `help:"Days that batches are kept in Postgres." default:"365"`
	From             string  `help:"Output of assay-bench ingest, whose costs are taken; - for standard input. Without it, those of docs/scaling.md." placeholder:"FILE"`
}

// Help is the command's long help.
func (capacityCommand) Help() string {
	return `Examples:
  assay-bench capacity --hosts 10000 --events-per-host-day 20000
  assay-bench ingest | tee costs.txt; assay-bench capacity --hosts 10000 --events-per-host-day 20000 --from costs.txt`
}

func (c *capacityCommand) Run(e *env) error {
	costs := bench.DefaultCosts
	if c.From != "" {
		input := e.stdin
		if c.From != "-" {
			file, err := os.Open(filepath.Clean(c.From))
			if err != nil {
				return fmt.Errorf("reading costs: %w", err)
			}
			defer file.Close()
			input = file
		}
		var err error
		if costs, err = bench.ReadCosts(input); err != nil {
			return err
		}
	}
	found, err := bench.Model(costs, bench.Fleet{Hosts: c.Hosts, EventsPerHostDay: c.EventsPerHostDay, Peak: c.Peak, EventDays: c.EventDays, BatchDays: c.BatchDays})
	if err != nil {
		return err
	}
	return found.Print(e.stdout)
}

type serveCommand struct {
	DSN        string `name:"dsn" required:""`
	Keys       string `required:"" type:"path"`
	Listen     string
	Project    bool
	Rules      bool
	Enrol      bool
	CPUProfile string `name:"cpuprofile" type:"path"`
}

func (c *serveCommand) Run(e *env) (err error) {
	if c.CPUProfile != "" {
		file, err := os.Create(filepath.Clean(c.CPUProfile))
		if err != nil {
			return fmt.Errorf("creating CPU profile: %w", err)
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			return errors.Join(fmt.Errorf("starting CPU profile: %w", err), file.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, file.Close())
		}()
	}
	return bench.Serve(e.ctx, bench.ServeConfig{DSN: c.DSN, Keys: c.Keys, Listen: c.Listen, Project: c.Project, Rules: c.Rules, Enrol: c.Enrol,
		Now: time.Now}, e.stdin, e.stdout)
}
