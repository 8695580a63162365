package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
	"github.com/assay-audit/assay/server/internal/rule/pack"
	"github.com/assay-audit/assay/server/internal/ruleimport"
)

// ServeConfig says which parts of the product a child process runs, as
// assay-server runs them, so that each is an account of its own.
type ServeConfig struct {
	DSN, Keys string
	// Listen takes agents there; "": none.
	Listen string
	// Project runs the projections; Rules also those that match events.
	Project, Rules bool
	// Enrol says that a whole fleet may enrol from one address.
	Enrol bool
	Now   func() time.Time
}

// Serve runs until stdin ends. It writes "ready ADDRESS" once it listens.
func Serve(ctx context.Context, cfg ServeConfig, stdin io.Reader, stdout io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	db, err := postgres.Connect(ctx, cfg.DSN, postgres.Config{Now: cfg.Now})
	if err != nil {
		return err
	}
	defer db.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	group, running := errgroup.WithContext(ctx)
	address := "-"
	if cfg.Listen != "" {
		if address, err = serveAgents(running, group, cfg, db, log); err != nil {
			return err
		}
	}
	if cfg.Rules {
		if err := importRules(ctx, db.Store); err != nil {
			return err
		}
	}
	if cfg.Project {
		passes, err := passes(db.Store, cfg.Rules)
		if err != nil {
			return err
		}
		runner := project.NewRunner(project.Config{Store: db.Store, Passes: passes, Now: cfg.Now, Logger: log})
		group.Go(func() error { return runner.Run(running) })
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		// A line asks for garbage to be collected; the end is the end.
		for lines := bufio.NewScanner(stdin); lines.Scan(); {
			// Each collection halves stacks that were deep once; a server that runs for
			// minutes has had several.
			for range collections {
				debug.FreeOSMemory()
			}
			_, _ = fmt.Fprintln(stdout, "collected") // nobody reads it: it ends soon
		}
		stop()
	})
	if _, err := fmt.Fprintln(stdout, "ready", address); err != nil {
		return fmt.Errorf("saying that it is ready: %w", err)
	}
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

const collections = 4

func serveAgents(ctx context.Context, group *errgroup.Group, cfg ServeConfig, db *postgres.Database, log *slog.Logger) (string, error) {
	authority, err := ca.Load(cfg.Keys, cfg.Now)
	if err != nil {
		return "", err
	}
	certificate, err := authority.NewServer([]string{"127.0.0.1"})
	if err != nil {
		return "", err
	}
	config := agentapi.Config{
		Store: db.Store, Authority: authority, Certificate: certificate, Prover: &ledger.Prover{Store: db.Store},
		Registry: prometheus.NewRegistry(), Log: log, Now: cfg.Now,
	}
	if cfg.Enrol {
		config.AddressBurst, config.AddressPerMinute = 1<<20, 1<<20
	}
	api, err := agentapi.New(config)
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	group.Go(func() error { return api.Run(ctx, listener) })
	growing := ledger.NewGrowing(ledger.GrowConfig{Store: db.Store, Keys: authority, Log: log})
	group.Go(func() error { return growing.Run(ctx) })
	return listener.Addr().String(), nil
}

// passes are the program's, with what it ships to match events by, or without
// those that match events.
func passes(store *postgres.Store, rules bool) ([]project.Pass, error) {
	library, err := framework.Load()
	if err != nil {
		return nil, err
	}
	var list []project.Selector
	for _, s := range library.Selectors() {
		list = append(list, project.Selector{Check: s.Check, Name: s.Selector, YAML: s.SigmaYAML, Keep: s.Keep})
	}
	hits, err := project.NewHits(list)
	if err != nil {
		return nil, err
	}
	all := project.Passes(hits, project.NewRules(project.RulesConfig{Store: store, Logger: slog.New(slog.DiscardHandler)}))
	if !rules {
		all = slices.DeleteFunc(all, func(p project.Pass) bool { return p.Name != project.FactsPass })
	}
	return all, nil
}

// importRules puts the rules that the program ships in force, as a server does
// when it starts.
func importRules(ctx context.Context, store *postgres.Store) error {
	sources, err := pack.Builtin()
	if err != nil {
		return err
	}
	if _, err := ruleimport.ImportBuiltin(ctx, store, sources, "assay-bench"); err != nil {
		return fmt.Errorf("importing the built-in rules: %w", err)
	}
	return nil
}
