package telemetry

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// migrations are the files that make the event tables: the first as it was
// released, and those that came later, each of which only adds.
const migrations = "../../migrations/[0-9]*_*.sql"

var (
	createTable = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \(\n(.*?)\n\)`)
	addColumn   = regexp.MustCompile(`ALTER TABLE (\w+) ADD COLUMN (\w+) ([a-z ]+?(?:\[\])?)( NOT NULL DEFAULT '[^']*')?;`)
)

// migratedColumns are the columns of all tables as the migrations leave them, each
// as "type" or "type NOT NULL".
func migratedColumns(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob(migrations)
	if err != nil || len(files) < 2 {
		t.Fatalf("%d migrations, %v", len(files), err)
	}
	tables := map[string]map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, create := range createTable.FindAllStringSubmatch(string(text), -1) {
			columns := map[string]string{}
			for line := range strings.SplitSeq(create[2], "\n") {
				name, kind, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), ","), " ")
				columns[name] = kind
			}
			tables[create[1]] = columns
		}
		for _, add := range addColumn.FindAllStringSubmatch(string(text), -1) {
			if tables[add[1]] == nil {
				t.Fatalf("%s: a column of %s, which is no table", file, add[1])
			}
			tables[add[1]][add[2]] = add[3]
			if add[4] != "" {
				tables[add[1]][add[2]] += " NOT NULL"
			}
		}
	}
	return tables
}

// missingSQL is what a migration must say to bring a table to what the registry
// has. What is not null has a default, so that the release before can still write.
func missingSQL(table *Table, columns map[string]string) string {
	var b strings.Builder
	if columns == nil {
		fmt.Fprintf(&b, "\nCREATE TABLE %s (\n", table.Name)
		for i, c := range table.Columns {
			fmt.Fprintf(&b, "    %s %s%s\n", c.Name, columnSQL(&c), map[bool]string{true: ","}[i < len(table.Columns)-1])
		}
		b.WriteString(") PARTITION BY RANGE (received_at);\n")
		fmt.Fprintf(&b, "CREATE INDEX %s_host_observed ON %[1]s (host_id, observed_at);\n", table.Name)
		fmt.Fprintf(&b, "CREATE INDEX %s_received ON %[1]s USING brin (received_at);\n", table.Name)
		return b.String()
	}
	for _, c := range table.Columns {
		if columns[c.Name] != "" {
			continue
		}
		fmt.Fprintf(&b, "ALTER TABLE %s ADD COLUMN %s %s", table.Name, c.Name, columnSQL(&c))
		if !c.Nullable {
			b.WriteString(map[bool]string{true: " DEFAULT '{}'", false: " DEFAULT ''"}[strings.HasSuffix(c.SQLType, "[]")])
		}
		b.WriteString(";\n")
	}
	return b.String()
}

func columnSQL(c *Column) string {
	if c.Nullable {
		return c.SQLType
	}
	return c.SQLType + " NOT NULL"
}

// TestSchema compares what the migrations leave with the registry. What is
// missing is printed as the SQL of the migration that is to be written.
func TestSchema(t *testing.T) {
	t.Parallel()
	tables := migratedColumns(t)
	var missing strings.Builder
	for _, table := range Tables() {
		columns := tables[table.Name]
		missing.WriteString(missingSQL(table, columns))
		for _, c := range table.Columns {
			if got := columns[c.Name]; got != "" && got != columnSQL(&c) {
				t.Errorf("%s: column %s is %s, the registry has %s", table.Name, c.Name, got, columnSQL(&c))
			}
			delete(columns, c.Name)
		}
		for name := range columns {
			t.Errorf("%s: column %s is not in the registry", table.Name, name)
		}
	}
	if missing.Len() > 0 {
		t.Errorf("migrations lack:\n%s", missing.String())
	}
}

// TestColumnNames: names are used unquoted in SQL, in filters and in osquery, so
// none may be a reserved word or differ from its lower case, and no message may
// use the name of a common column.
func TestColumnNames(t *testing.T) {
	t.Parallel()
	reserved := " all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create " +
		"current_date current_role current_time current_timestamp current_user default deferrable desc distinct do else end " +
		"except false fetch for foreign from grant group having in initially intersect into lateral leading limit localtime " +
		"localtimestamp not null offset on only or order placing primary references returning select session_user some " +
		"symmetric table then to trailing true union unique user using variadic when where window with authorization binary " +
		"collation concurrently cross current_schema freeze full ilike inner is isnull join left like natural notnull outer " +
		"overlaps right similar tablesample verbose index set values transaction "
	for _, table := range Tables() {
		seen := map[string]bool{}
		for _, c := range table.Columns {
			if seen[c.Name] {
				t.Errorf("%s: column %s twice", table.Name, c.Name)
			}
			seen[c.Name] = true
			if strings.Contains(reserved, " "+c.Name+" ") {
				t.Errorf("%s: column %s is a reserved word", table.Name, c.Name)
			}
			if strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
				t.Errorf("%s: column %q needs quotes", table.Name, c.Name)
			}
			if c.Description == "" {
				t.Errorf("%s: column %s has no description", table.Name, c.Name)
			}
		}
	}
}
