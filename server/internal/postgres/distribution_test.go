package postgres_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/pgtest"
)

// distributed are the projections that Citus may share out by host: docs/scaling.md
// says why these and no others.
func distributed() []string {
	tables := []string{"coverage_range", "coverage_memory", "posture", "host_activity", "hit", "metric", "verdict"}
	for _, table := range telemetry.Tables() {
		tables = append(tables, table.Name)
	}
	return tables
}

// TestProjectionsCanBeDistributed checks what Citus asks of tables that are shared
// out by host_id: that it is there and never null, is in every unique key, that no
// reference leads out of or into them, and that they have no triggers.
func TestProjectionsCanBeDistributed(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	for name, sql := range map[string]string{
		"a table without host_id, or with one that may be null": `SELECT t FROM unnest($1::text[]) t WHERE NOT EXISTS (
			SELECT FROM pg_attribute WHERE attrelid = to_regclass(t) AND attname = 'host_id' AND attnotnull AND NOT attisdropped)`,
		"a unique key without host_id": `SELECT i.indexrelid::regclass::text FROM pg_index i JOIN unnest($1::text[]) t ON i.indrelid = to_regclass(t)
			WHERE i.indisunique AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attname = 'host_id' AND a.attnum = ANY (i.indkey))`,
		"a foreign key": `SELECT c.conname::text FROM pg_constraint c JOIN unnest($1::text[]) t ON to_regclass(t) IN (c.conrelid, c.confrelid) WHERE c.contype = 'f'`,
		"a trigger":     `SELECT g.tgname::text FROM pg_trigger g JOIN unnest($1::text[]) t ON g.tgrelid = to_regclass(t) WHERE NOT g.tgisinternal`,
	} {
		rows, err := pool.Query(t.Context(), sql, distributed())
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

var (
	conflict = regexp.MustCompile(`(?s)INSERT INTO (\w+)[^` + "`" + `]*?ON CONFLICT[^` + "`" + `]*?DO UPDATE SET([^` + "`" + `]*)`)
	call     = regexp.MustCompile(`(\w+)\(`)
)

// TestUpsertsOfProjectionsAreImmutable: in DO UPDATE of a distributed table Citus
// takes functions only that give the same for the same arguments for ever.
func TestUpsertsOfProjectionsAreImmutable(t *testing.T) {
	t.Parallel()
	immutable := []string{"least", "greatest", "coalesce"}
	tables, seen := distributed(), 0
	for name, source := range sources(t) {
		for _, found := range conflict.FindAllStringSubmatch(source, -1) {
			if !slices.Contains(tables, found[1]) {
				continue
			}
			seen++
			for _, f := range call.FindAllStringSubmatch(found[2], -1) {
				if !slices.Contains(immutable, f[1]) {
					t.Errorf("%s: DO UPDATE of %s calls %s, which is not known to be immutable", name, found[1], f[1])
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("%d upserts of projections were found: the test looks at the wrong things", seen)
	}
}

// sources are this package's files.
func sources(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") {
			all[name] = string(text)
		}
	}
	return all
}
