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

// Config is what every benchmark needs.
type Config struct {
	// Dir holds the Postgres and keys of the run; it must be empty.
	Dir string
	Now func() time.Time
	// Progress is told what is being measured; nil: nobody.
	Progress io.Writer
}

func (c *Config) say(format string, args ...any) {
	if c.Progress != nil {
		fmt.Fprintf(c.Progress, format+"\n", args...)
	}
}

// stage is what a benchmark plays on: a Postgres of its own, which waits for the
// disk, and a certification authority.
type stage struct {
	Config
	postgres  *pg.Server
	cluster   *cluster
	keys      string
	authority *ca.Authority
}

// open starts the stage; close ends it.
func open(ctx context.Context, cfg Config) (*stage, error) {
	return openWith(ctx, cfg, nil)
}

func (s *stage) prepare(ctx context.Context) (err error) {
	postmaster, err := postmasterOf(filepath.Join(s.Dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return err
	}
	s.cluster = &cluster{dsn: s.postgres.DSN, now: s.Now, usage: &usage{postmaster: postmaster}, template: "bench_template"}
	if err := s.cluster.prepare(ctx); err != nil {
		return err
	}
	if err := ca.Create(s.keys, ca.CreateConfig{Origin: "assay/bench", Now: s.Now}); err != nil {
		return err
	}
	s.authority, err = ca.Load(s.keys, s.Now)
	return err
}

func (s *stage) close(ctx context.Context) error {
	return s.postgres.Stop(context.WithoutCancel(ctx))
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

// CoreConfig says how much to measure of the work that no agent takes part in.
type CoreConfig struct {
	Config
	Rounds int // of which medians are printed
	Hosts  int // to evaluate
	// LogTime is how long event logs are read in a round.
	LogTime time.Duration
	// TestData is the folder of sample logs; "" or a folder without them: a
	// generated log is read.
	TestData string
}

// coreRound is what one round measured.
type coreRound struct {
	evtx       float64
	evaluation Evaluation
}

// RunCore measures the reading of event logs and the evaluation of a fleet.
func RunCore(ctx context.Context, cfg CoreConfig) (report *CoreReport, err error) {
	if cfg.Rounds < 1 || cfg.Hosts < 1 {
		return nil, errors.New("at least one round and one host are needed")
	}
	logs, err := loadLogs(cfg.TestData)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, cfg.Config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	rounds := make([]coreRound, cfg.Rounds)
	for i := range rounds {
		s.say("round %d of %d: event logs, evaluation", i+1, cfg.Rounds)
		if rounds[i].evtx, err = logs.read(cfg.LogTime); err != nil {
			return nil, err
		}
		if rounds[i].evaluation, err = s.evaluate(ctx, cfg.Hosts); err != nil {
			return nil, err
		}
	}
	of := func(figure func(*coreRound) float64) float64 { return median(rounds, figure) }
	return &CoreReport{
		EVTXRecords: of(func(r *coreRound) float64 { return r.evtx }), EVTXSource: logs.about,
		EvaluateHosts: of(func(r *coreRound) float64 { return r.evaluation.FromPostgres }),
		EvaluateAlone: of(func(r *coreRound) float64 { return r.evaluation.Alone }),
		Rounds:        cfg.Rounds, Hosts: cfg.Hosts, Cores: runtime.GOMAXPROCS(0),
	}, nil
}

func (s *stage) evaluate(ctx context.Context, hosts int) (result Evaluation, err error) {
	db, err := s.cluster.fresh(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, db.drop(context.WithoutCancel(ctx))) }()
	runtime.GC()
	return evaluation(ctx, db, hosts)
}

// median of one figure over all rounds.
func median[R any, T cmp.Ordered](rounds []R, of func(*R) T) T {
	values := make([]T, len(rounds))
	for i := range rounds {
		values[i] = of(&rounds[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
