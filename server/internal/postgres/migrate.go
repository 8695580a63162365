package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/assay-audit/assay/migrations"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Migrate brings the database of pool to the newest schema and makes the first
// segments. Servers that start together wait for one another.
func Migrate(ctx context.Context, pool *pgxpool.Pool) (err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return fmt.Errorf("making migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating database: %w", err)
	}
	if err := migrateQueue(ctx, pool); err != nil {
		return err
	}
	return New(Config{DB: pool, Now: time.Now}).EnsureSegments(ctx)
}

// CheckSchema refuses a database that lacks a migration of this program's. One
// that has more is a newer program's, which this one runs on.
func (d *Database) CheckSchema(ctx context.Context) error {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	var applied int
	err = d.pool.QueryRow(ctx, `SELECT count(DISTINCT version_id) FROM goose_db_version WHERE is_applied AND version_id > 0`).Scan(&applied)
	var missing *pgconn.PgError
	if errors.As(err, &missing) && missing.Code == undefinedTable {
		applied, err = 0, nil
	}
	if err != nil {
		return translate("reading schema version", err)
	}
	if applied < len(files) {
		return assay.Errorf(assay.Invalid, "the database has %d of %d migrations: run assay-server migrate, or serve with --migrate", applied, len(files))
	}
	return d.checkQueue(ctx)
}

const undefinedTable = "42P01"
