package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/server/internal/postgres"
)

// cluster is the Postgres that is measured against.
type cluster struct {
	// dsn names a database of the cluster.
	dsn func(database string) string
	now func() time.Time
	// usage knows the postmaster.
	usage *usage
	// template is the database that every measurement has a copy of.
	template string
	n        int
}

// prepare migrates the template and makes today's partitions in it, so that no
// measurement pays for them.
func (c *cluster) prepare(ctx context.Context) error {
	if err := postgres.CreateDatabase(ctx, c.dsn("postgres"), c.template); err != nil {
		return err
	}
	db, err := postgres.Connect(ctx, c.dsn(c.template), postgres.Config{Now: c.now})
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
	for _, sql := range []string{"CREATE DATABASE " + name + " TEMPLATE " + c.template, "CHECKPOINT"} {
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

func (d *database) closePools() {
	d.pool.Close()
	d.Close()
}

// drop closes and removes it.
func (d *database) drop(ctx context.Context) error {
	d.closePools()
	return d.cluster.maintain(ctx, "DROP DATABASE "+d.name+" WITH (FORCE)")
}

// count runs a query of one number.
func (d *database) count(ctx context.Context, sql string, args ...any) (n int64, err error) {
	if err := d.pool.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting (%s): %w", sql, err)
	}
	return n, nil
}
