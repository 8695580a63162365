package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/assay-audit/assay/deploy/pg"
	"github.com/assay-audit/assay/server/internal/ca"
)

// Config says how much to measure.
type Config struct {
	Agents int // that replay at a time
	Events int // of all agents, in each measurement
	Rounds int // of which medians are printed
	Hosts  int // to evaluate
	// LogTime is how long event logs are read in a round.
	LogTime time.Duration
	// TestData is the folder of sample logs; "" or a folder without them: a
	// generated log is read.
	TestData string
	// Parts names what is measured: all of Parts() where it is empty.
	Parts []string
	// Dir holds the Postgres and keys of the run; it must be empty.
	Dir string
	Now func() time.Time
	// Progress is told what is being measured; nil: nobody.
	Progress io.Writer
}

// Parts are the measurements, in their order.
func Parts() []string { return []string{"evtx", "copy", "burst", "sustained", "evaluate"} }

func (c *Config) wants(part string) bool { return len(c.Parts) == 0 || slices.Contains(c.Parts, part) }

// round is what one round measured.
type round struct {
	evtx                   float64
	copied, burst, arrived Ingest
	evaluation             Evaluation
}

// run is a benchmark under way.
type run struct {
	Config
	cluster   *cluster
	authority *ca.Authority
	loads     *loads
	logs      *eventLogs
}

// Run starts a Postgres, measures and stops it. Rounds are interleaved, so that
// what else the machine does falls on all measurements alike.
func Run(ctx context.Context, cfg Config) (report *Report, err error) {
	for _, part := range cfg.Parts {
		if !slices.Contains(Parts(), part) {
			return nil, fmt.Errorf("there is nothing to measure called %q: there are %s", part, strings.Join(Parts(), ", "))
		}
	}
	if cfg.Agents < 1 || cfg.Events < cfg.Agents || cfg.Rounds < 1 || cfg.Hosts < 1 {
		return nil, errors.New("at least one agent, one event of each, one round and one host are needed")
	}
	r := &run{Config: cfg}
	database, err := pg.Start(ctx, pg.Config{Dir: filepath.Join(cfg.Dir, "postgres")})
	if err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
	}
	defer func() { err = errors.Join(err, database.Stop(context.WithoutCancel(ctx))) }()
	if err := r.prepare(ctx, database); err != nil {
		return nil, err
	}
	rounds := make([]round, cfg.Rounds)
	for i := range rounds {
		if rounds[i], err = r.round(ctx, i); err != nil {
			return nil, err
		}
	}
	return r.report(rounds), nil
}

func (r *run) prepare(ctx context.Context, database *pg.Server) (err error) {
	postmaster, err := postmasterOf(filepath.Join(r.Dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return err
	}
	r.cluster = &cluster{dsn: database.DSN, now: r.Now, usage: &usage{postmaster: postmaster}}
	r.say("preparing a database, keys and %d events", r.Events)
	if err := r.cluster.prepare(ctx); err != nil {
		return err
	}
	keys := filepath.Join(r.Dir, "keys")
	if err := ca.Create(keys, ca.CreateConfig{Origin: "assay/bench", Now: r.Now}); err != nil {
		return err
	}
	if r.authority, err = ca.Load(keys, r.Now); err != nil {
		return err
	}
	if r.logs, err = loadLogs(r.TestData); err != nil {
		return err
	}
	r.loads, err = makeLoads(r.Agents, r.Events, r.Now())
	return err
}

func postmasterOf(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("reading the postmaster's id: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0, fmt.Errorf("reading the postmaster's id: %w", err)
	}
	return pid, nil
}

func (r *run) say(format string, args ...any) {
	if r.Progress != nil {
		fmt.Fprintf(r.Progress, format+"\n", args...)
	}
}

func (r *run) round(ctx context.Context, number int) (out round, err error) {
	for _, part := range Parts() {
		if !r.wants(part) {
			continue
		}
		r.say("round %d of %d: %s", number+1, r.Rounds, part)
		if err := r.measure(ctx, part, &out); err != nil {
			return out, fmt.Errorf("measuring %s: %w", part, err)
		}
	}
	return out, nil
}

// measure measures one part on a database of its own.
func (r *run) measure(ctx context.Context, part string, out *round) (err error) {
	if part == "evtx" {
		out.evtx, err = r.logs.read(r.LogTime)
		return err
	}
	db, err := r.cluster.fresh(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.drop(context.WithoutCancel(ctx))) }()
	// What earlier parts left is not to be collected in this one's time.
	runtime.GC()
	switch part {
	case "copy":
		out.copied, err = rawCopy(ctx, db, r.loads)
	case "burst":
		out.burst, err = replay(ctx, db, r.authority, r.loads, parts{})
	case "sustained":
		out.arrived, err = replay(ctx, db, r.authority, r.loads, parts{projections: true})
	case "evaluate":
		out.evaluation, err = evaluation(ctx, db, r.Hosts)
	}
	return err
}

// median of one figure over all rounds.
func median[T cmp.Ordered](rounds []round, of func(*round) T) T {
	values := make([]T, len(rounds))
	for i := range rounds {
		values[i] = of(&rounds[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
