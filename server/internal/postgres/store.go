package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/assay-audit/assay/server/internal/assay"
)

// DB is what a Store needs: a pool in the program, or a transaction.
type DB interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Config is what New needs.
type Config struct {
	DB DB
	// Now is the server's clock.
	Now func() time.Time
	// Vault seals the payloads that are stored; nil: they rest in the clear.
	Vault Vault
	// Archive has the payloads that are no longer stored; nil: there are none.
	Archive Archive
}

// Store keeps everything that the server knows. It is safe for concurrent use
// where its DB is.
type Store struct {
	db      DB
	now     func() time.Time
	vault   Vault
	archive Archive
	// segments is how many segments are known to exist; 0: look.
	segments atomic.Int64
	// size is the ledger as of our newest batch: a hint of when to make more.
	size atomic.Int64
}

// New returns a Store over an already migrated database. Its Now is required.
func New(cfg Config) *Store {
	return &Store{db: cfg.DB, now: cfg.Now, vault: cfg.Vault, archive: cfg.Archive}
}

// MinVersion is the oldest server_version_num that the SQL here is written for.
const MinVersion = 150_000

// Check refuses a database that cannot keep the promise that an ack means
// committed. Warnings name settings that weaken it but may be meant, as in a test.
func (s *Store) Check(ctx context.Context) (warnings []string, err error) {
	var version, locks int
	var commit, fsync, fullPages string
	err = s.db.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'),
		current_setting('fsync'), current_setting('full_page_writes'), current_setting('max_locks_per_transaction')::int`).
		Scan(&version, &commit, &fsync, &fullPages, &locks)
	if err != nil {
		return nil, translate("checking database settings", err)
	}
	if version < MinVersion {
		return nil, assay.Errorf(assay.Invalid, "the database server is version %d, at least %d is needed", version, MinVersion)
	}
	if commit != "on" && commit != "remote_apply" {
		return nil, assay.Errorf(assay.Invalid, "synchronous_commit is %q: acknowledged evidence could be lost; it must be on", commit)
	}
	if fsync != "on" {
		warnings = append(warnings, "fsync is off: a crash of the database's machine loses acknowledged evidence")
	}
	if fullPages != "on" {
		warnings = append(warnings, "full_page_writes is off: a crash of the database's machine may destroy evidence")
	}
	if locks < recommendedLocks {
		warnings = append(warnings, fmt.Sprintf("max_locks_per_transaction is %d: backups and upgrades lock every partition of every table and may fail "+
			"with \"out of shared memory\"; set it to %d in postgresql.conf and restart Postgres", locks, recommendedLocks))
	}
	return warnings, nil
}

// recommendedLocks is what pg_dump and migrations need of Postgres' table of locks
// once there are months of partitions.
const recommendedLocks = 1024

// HasSynchronousStandby reports whether a commit waits for a standby, so that
// what is committed is also safe.
func (s *Store) HasSynchronousStandby(ctx context.Context) (bool, error) {
	var names string
	err := s.db.QueryRow(ctx, `SELECT current_setting('synchronous_standby_names')`).Scan(&names)
	return names != "", translate("reading synchronous standbys", err)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `SELECT 1`)
	return translate("reaching the database", err)
}

// inTx runs do in a transaction of its own. An error of the commit itself
// leaves open whether it took place.
func (s *Store) inTx(ctx context.Context, do func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.db, do)
}

// clock is the server's time as the database can hold it: whole microseconds,
// so that a row's time and its leaf's are equal.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// translate is the one place where errors of the database become ours. doing
// says what failed, for the log. An assay.Error passes as it is.
func translate(doing string, err error) error {
	if err == nil {
		return nil
	}
	var ours *assay.Error
	if errors.As(err, &ours) {
		return err
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	var pg *pgconn.PgError
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return &assay.Error{Kind: assay.NotFound, Msg: "there is no such thing", Err: wrapped}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &assay.Error{Kind: assay.Unavailable, Msg: "the database did not answer in time", Err: wrapped}
	case errors.As(err, &pg):
		return translateState(pg, wrapped)
	case errors.As(err, &network), errors.As(err, &connect), pgconn.SafeToRetry(err):
		return &assay.Error{Kind: assay.Unavailable, Msg: "the database cannot be reached", Err: wrapped}
	}
	// What is left is of the connection (an unexpected end, a closed pool) or of
	// our own making; neither tells the caller more than that it may try again.
	return &assay.Error{Kind: assay.Unavailable, Msg: "the database cannot be used now", Err: wrapped}
}

func translateState(pg *pgconn.PgError, wrapped error) error {
	switch pg.Code {
	case "23505":
		return &assay.Error{Kind: assay.Conflict, Msg: "it is there already", Err: wrapped}
	case "23503":
		return &assay.Error{Kind: assay.Conflict, Msg: "it refers to what is not there, or is still referred to", Err: wrapped}
	case "23514", "22001", "22P02", "22021", "23502":
		return &assay.Error{Kind: assay.Invalid, Msg: "a value is out of its bounds", Err: wrapped}
	case "40001", "40P01", "55P03", "57014":
		return &assay.Error{Kind: assay.Unavailable, Msg: "the database is busy", Err: wrapped}
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "53", "57", "58":
		return &assay.Error{Kind: assay.Unavailable, Msg: "the database cannot be used now", Err: wrapped}
	}
	return &assay.Error{Kind: assay.Internal, Err: wrapped}
}
