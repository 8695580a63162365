package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/pgtest"
)

func count(t *testing.T, dsn, sql string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

const tables = "select count(*) from pg_tables where schemaname = 'public'"

func TestDatabasesAreMigratedAndApart(t *testing.T) {
	t.Parallel()
	one, other := pgtest.Pool(t), pgtest.DB(t)
	if n := count(t, other, tables); n < 10 {
		t.Errorf("a migrated database has %d tables", n)
	}
	if _, err := one.Exec(t.Context(), "create table apart ()"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, other, "select count(*) from pg_tables where tablename = 'apart'"); n != 0 {
		t.Error("two tests share a database")
	}
}

func TestEmptyHasNoTables(t *testing.T) {
	t.Parallel()
	if n := count(t, pgtest.Empty(t), tables); n != 0 {
		t.Errorf("an empty database has %d tables", n)
	}
}

func TestDatabaseEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var gone string
	t.Run("inner", func(t *testing.T) { gone = pgtest.DB(t) })
	if conn, err := pgx.Connect(t.Context(), gone); err == nil {
		conn.Close(t.Context())
		t.Error("the database outlived its test")
	}
}

// BenchmarkDB is what each test pays for a database of its own.
func BenchmarkDB(b *testing.B) {
	b.Run("clone", func(b *testing.B) {
		for b.Loop() {
			pgtest.DB(b)
		}
	})
}
