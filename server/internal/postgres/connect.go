package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Database is a Store with the connections that it rests on.
type Database struct {
	*Store
	pool *pgxpool.Pool
}

// maxConnections bounds a server's connections unless the connection string
// says otherwise (pool_max_conns): writers, lanes, the console and jobs.
const maxConnections = 24

// Connect opens a pool; the database must answer. Close ends it.
func Connect(ctx context.Context, dsn string, now func() time.Time) (*Database, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, assay.Errorf(assay.Invalid, "the database's connection string cannot be read: %w", err)
	}
	if cfg.MaxConns < maxConnections {
		cfg.MaxConns = maxConnections
	}
	// A dead peer that TCP does not report must not hold a lock or a caller for
	// long; the server ends the session of a client that has gone.
	cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	cfg.ConnConfig.RuntimeParams["application_name"] = "assay-server"
	cfg.ConnConfig.RuntimeParams["tcp_user_timeout"] = "10000"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, &assay.Error{Kind: assay.Unavailable, Err: err,
			Msg: "the database cannot be reached (is Postgres running, and is the connection string right?)"}
	}
	return &Database{Store: New(Config{DB: pool, Now: now}), pool: pool}, nil
}

// Migrate brings the database to the newest schema.
func (d *Database) Migrate(ctx context.Context) error { return Migrate(ctx, d.pool) }

// Close closes all connections, waiting for those in use.
func (d *Database) Close() { d.pool.Close() }

// CreateDatabase makes a database on the server of dsn unless it is there.
func CreateDatabase(ctx context.Context, dsn, name string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return &assay.Error{Kind: assay.Unavailable, Msg: "the database server cannot be reached", Err: err}
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is under way on it
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil || there {
		return translate("looking for database", err)
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	return translate("creating database", err)
}
