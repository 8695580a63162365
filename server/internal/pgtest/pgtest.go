// Package pgtest gives tests a real Postgres: a database of its own for each
// test, cloned from one that was migrated once. Only tests import it. The server
// is the one that ASSAY_TEST_DATABASE_URL names, or else a throwaway one that
// lives as long as the test binary. It holds no fixtures. As it migrates with
// package postgres, tests of that package are of package postgres_test.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB returns the connection string of a migrated, empty database that is t's
// alone and is dropped when t ends. Without any Postgres on the machine t is
// skipped, or failed in CI.
func DB(t testing.TB) string {
	t.Helper()
	server := connect(t)
	if err := server.prepareTemplate(t.Context()); err != nil {
		t.Fatalf("preparing the template database: %v", err)
	}
	return server.create(t, server.template)
}

// Pool is DB with connections to it. They are closed before it is dropped.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	dsn := DB(t)
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connecting to the test database: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Empty is DB without the schema: for tests of the migrations themselves.
func Empty(t testing.TB) string {
	t.Helper()
	return connect(t).create(t, "template0")
}

// create makes a database from a template and drops it when t ends.
func (s *server) create(t testing.TB, template string) string {
	t.Helper()
	name := "assay_test_" + strings.ToLower(rand.Text()[:12])
	if err := s.exec(t.Context(), createDatabase(name, template)); err != nil {
		t.Fatalf("cloning database %s: %v", template, err)
	}
	t.Cleanup(func() {
		// t's own context has ended by now.
		if err := s.exec(context.Background(), "DROP DATABASE "+quote(name)+" WITH (FORCE)"); err != nil {
			t.Errorf("dropping test database: %v", err)
		}
	})
	return s.dsn(name)
}

func createDatabase(name, template string) string {
	return "CREATE DATABASE " + quote(name) + " TEMPLATE " + quote(template)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// exec runs one statement in the server's maintenance database.
func (s *server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return fmt.Errorf("connecting to the test server: %w", err)
	}
	// The statement's outcome is known by then.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("running %q: %w", sql, err)
	}
	return nil
}

// dsn is the connection string of a database of the server.
func (s *server) dsn(database string) string {
	at := *s.url
	at.Path = "/" + database
	return at.String()
}

// parseURL takes a connection string in the form of a URL.
func parseURL(text string) (*url.URL, error) {
	at, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading ASSAY_TEST_DATABASE_URL: %w", err)
	}
	if at.Scheme != "postgres" && at.Scheme != "postgresql" {
		return nil, fmt.Errorf("reading ASSAY_TEST_DATABASE_URL: it is not a postgres:// URL but begins with %q", at.Scheme)
	}
	return at, nil
}
