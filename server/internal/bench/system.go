package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// template is the database that is migrated once; every measurement has a copy.
const template = "bench_template"

// cluster is the Postgres that is measured against.
type cluster struct {
	// dsn names a database of the cluster.
	dsn func(database string) string
	now func() time.Time
	// usage knows the postmaster.
	usage *usage
	n     int
}

// prepare migrates the template and makes today's partitions in it, so that no
// measurement pays for them.
func (c *cluster) prepare(ctx context.Context) error {
	if err := postgres.CreateDatabase(ctx, c.dsn("postgres"), template); err != nil {
		return err
	}
	db, err := postgres.Connect(ctx, c.dsn(template), postgres.Config{Now: c.now})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	if _, err := db.Check(ctx); err != nil {
		return err
	}
	// A run that goes past midnight needs tomorrow's too.
	today := c.now().UTC().Truncate(24 * time.Hour)
	return errors.Join(db.EnsureEventDay(ctx, today), db.EnsureEventDay(ctx, today.AddDate(0, 0, 1)))
}

// fresh makes a database of the template's and returns connections to it. The
// checkpoint lets no measurement pay for what was written before it.
func (c *cluster) fresh(ctx context.Context) (*database, error) {
	c.n++
	name := fmt.Sprintf("bench_%d", c.n)
	for _, sql := range []string{"CREATE DATABASE " + name + " TEMPLATE " + template, "CHECKPOINT"} {
		if err := c.maintain(ctx, sql); err != nil {
			return nil, err
		}
	}
	store, err := postgres.Connect(ctx, c.dsn(name), postgres.Config{Now: c.now})
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, c.dsn(name))
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("connecting to %s: %w", name, err)
	}
	return &database{Database: store, pool: pool, name: name, cluster: c}, nil
}

func (c *cluster) maintain(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.dsn("postgres"))
	if err != nil {
		return fmt.Errorf("connecting for maintenance: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // the statement's outcome is known
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("running %q: %w", sql, err)
	}
	return nil
}

// database is one measurement's.
type database struct {
	*postgres.Database
	pool    *pgxpool.Pool
	name    string
	cluster *cluster
}

// drop closes and removes it.
func (d *database) drop(ctx context.Context) error {
	d.pool.Close()
	d.Close()
	return d.cluster.maintain(ctx, "DROP DATABASE "+d.name+" WITH (FORCE)")
}

// count runs a query of one number.
func (d *database) count(ctx context.Context, sql string, args ...any) (n int64, err error) {
	if err := d.pool.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting (%s): %w", sql, err)
	}
	return n, nil
}

// server is the product's way from agents to facts, as assay-server runs it.
type server struct {
	db        *database
	authority *ca.Authority
	address   string
	passes    []project.Pass
	stop      context.CancelFunc
	done      chan error
}

// parts says what runs beside the agents' API.
type parts struct{ projections bool }

func serve(ctx context.Context, db *database, authority *ca.Authority, with parts) (*server, error) {
	certificate, err := authority.NewServer([]string{"127.0.0.1"})
	if err != nil {
		return nil, err
	}
	log, now := slog.New(slog.DiscardHandler), db.cluster.now
	api, err := agentapi.New(agentapi.Config{
		Store: db.Store, Authority: authority, Certificate: certificate, Prover: &ledger.Prover{Store: db.Store},
		Registry: prometheus.NewRegistry(), Log: log, Now: now,
	})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s := &server{db: db, authority: authority, address: listener.Addr().String(), done: make(chan error, 1)}
	if s.passes, err = passes(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	running, stop := context.WithCancel(ctx)
	s.stop = stop
	group, running := errgroup.WithContext(running)
	group.Go(func() error { return api.Run(running, listener) })
	growing := ledger.NewGrowing(ledger.GrowConfig{Store: db.Store, Signer: authority.LedgerSigner(), Log: log})
	group.Go(func() error { return growing.Run(running) })
	if with.projections {
		runner := project.NewRunner(project.Config{Store: db.Store, Passes: s.passes, Now: now, Logger: log})
		group.Go(func() error { return runner.Run(running) })
	}
	var wait sync.WaitGroup
	wait.Go(func() { s.done <- group.Wait() })
	return s, nil
}

// close ends the server in order.
func (s *server) close() error {
	s.stop()
	return <-s.done
}

// passes are the program's, with the selectors that it ships.
func passes() ([]project.Pass, error) {
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
	return project.Passes(hits, nil), nil
}

// pollCaughtUp is how often the cursors are looked at.
const pollCaughtUp = 10 * time.Millisecond

// catchUp waits until all that is in the ledger now is projected.
func (s *server) catchUp(ctx context.Context) error {
	size, err := s.db.LedgerSize(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(pollCaughtUp)
	defer ticker.Stop()
	for {
		if done, err := project.CaughtUp(ctx, s.db.Store, s.passes, size); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.done:
			s.done <- err
			return fmt.Errorf("waiting for projections: the server ended: %w", err)
		case <-ticker.C:
		}
	}
}
