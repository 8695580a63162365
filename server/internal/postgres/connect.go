package postgres

import (
	"context"
	"fmt"
	"net"
	"strconv"
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

// A peer that is gone without a word (a machine that lost its power, a network
// that drops all) must neither hold a lock that others wait for nor keep a caller
// waiting: both ends ask a silent peer after deadPeerIdle, then every
// deadPeerInterval, and give the connection up after deadPeerProbes questions, or
// once what they sent was not taken in for deadPeerTimeout. That is less than
// what a lease and its renewal take, so that work which is taken over finds no lock.
const (
	connectTimeout   = 5 * time.Second
	deadPeerIdle     = 3 * time.Second
	deadPeerInterval = time.Second
	deadPeerProbes   = 3
	deadPeerTimeout  = 6 * time.Second
	// A server that is alive but stands still (a stopped virtual machine) answers
	// for its kernel; its transactions end after so long without a statement.
	standstill = 10 * time.Second
)

func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeerIdle, Interval: deadPeerInterval, Count: deadPeerProbes},
		Control:         limitUnacknowledged,
	}
}

// deadPeerParams are the same for Postgres' end. Over a unix socket they mean
// nothing and do no harm.
func deadPeerParams() map[string]string {
	return map[string]string{
		"tcp_keepalives_idle":                 strconv.Itoa(int(deadPeerIdle / time.Second)),
		"tcp_keepalives_interval":             strconv.Itoa(int(deadPeerInterval / time.Second)),
		"tcp_keepalives_count":                strconv.Itoa(deadPeerProbes),
		"tcp_user_timeout":                    strconv.Itoa(int(deadPeerTimeout / time.Millisecond)),
		"idle_in_transaction_session_timeout": strconv.Itoa(int(standstill / time.Millisecond)),
	}
}

// Connect opens a pool, which becomes the store's DB; the database must answer.
// Close ends it.
func Connect(ctx context.Context, dsn string, store Config) (*Database, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, assay.Errorf(assay.Invalid, "the database's connection string cannot be read: %w", err)
	}
	if cfg.MaxConns < maxConnections {
		cfg.MaxConns = maxConnections
	}
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	cfg.ConnConfig.DialFunc = dialer().DialContext
	params := cfg.ConnConfig.RuntimeParams
	params["application_name"] = "assay-server"
	for name, value := range deadPeerParams() {
		params[name] = value
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, &assay.Error{Kind: assay.Unavailable, Err: err,
			Msg: "the database cannot be reached (is Postgres running, and is the connection string right?)"}
	}
	store.DB = pool
	return &Database{Store: New(store), pool: pool}, nil
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
