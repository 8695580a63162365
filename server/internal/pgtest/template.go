package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-audit/assay/migrations"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// templateLock is the advisory lock under which the packages of one test run,
// each a process, make the template once.
const templateLock = 0x61737361

// templateName names the template after the migrations in it, so that a change
// of one makes a new template on a server that outlives the test run.
func templateName() (string, error) {
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return "", fmt.Errorf("listing migrations: %w", err)
	}
	digest := sha256.New()
	for _, name := range names {
		text, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			return "", fmt.Errorf("reading migration %s: %w", name, err)
		}
		fmt.Fprintf(digest, "%s %d\n", name, len(text))
		digest.Write(text)
	}
	return "assay_template_" + hex.EncodeToString(digest.Sum(nil))[:16], nil
}

// prepareTemplate makes sure of the migrated database that tests are cloned
// from. It is marked as a template only when it is complete: one without the
// mark was left by a run that died and is made anew.
func (s *server) prepareTemplate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared {
		return nil
	}
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return fmt.Errorf("connecting to the test server: %w", err)
	}
	// Closing gives the lock back.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return fmt.Errorf("waiting for the template: %w", err)
	}
	var complete bool
	err = conn.QueryRow(ctx, "SELECT coalesce(bool_or(datistemplate), false) FROM pg_database WHERE datname = $1",
		s.template).Scan(&complete)
	if err != nil {
		return fmt.Errorf("looking for the template: %w", err)
	}
	if !complete {
		if err := s.makeTemplate(ctx, conn); err != nil {
			return err
		}
	}
	s.prepared = true
	return nil
}

func (s *server) makeTemplate(ctx context.Context, conn *pgx.Conn) error {
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + quote(s.template),
		createDatabase(s.template, "template0"),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("running %q: %w", sql, err)
		}
	}
	if err := migrate(ctx, s.dsn(s.template)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+quote(s.template)+" IS_TEMPLATE true"); err != nil {
		return fmt.Errorf("marking the template complete: %w", err)
	}
	return nil
}

// migrate brings one database to the newest schema and leaves no session in it,
// since a database in use cannot be cloned.
func migrate(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connecting to the template: %w", err)
	}
	defer pool.Close()
	return postgres.Migrate(ctx, pool)
}
