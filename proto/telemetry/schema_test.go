package telemetry

import (
	"fmt"
	"strings"
	"testing"
)

const migration = "../../migrations/0002_events.sql"

// schemaSQL is the migration that creates the event tables as the registry has
// them. Once released it is fixed: later columns come in later migrations, and
// the comparison is then with the live schema alone.
func schemaSQL() string {
	var b strings.Builder
	b.WriteString(`-- +goose Up
-- The event tables, one per message of assay.telemetry.v1, generated from the
-- table registry (go test ./proto/telemetry -run TestSchema -update).
--
-- Rows are projections: (position, ordinal) says which event of which batch a
-- row is of, and there is no primary key because the projection's cursor moves in
-- the transaction that copies the rows. Partitions by received_at are made at
-- run time, by day or by ISO week.
`)
	for _, t := range Tables() {
		fmt.Fprintf(&b, "\nCREATE TABLE %s (\n", t.Name)
		for i, c := range t.Columns {
			fmt.Fprintf(&b, "    %s %s", c.Name, c.SQLType)
			if !c.Nullable {
				b.WriteString(" NOT NULL")
			}
			if i < len(t.Columns)-1 {
				b.WriteString(",")
			}
			b.WriteString("\n")
		}
		b.WriteString(") PARTITION BY RANGE (received_at);\n")
		fmt.Fprintf(&b, "CREATE INDEX %s_host_observed ON %[1]s (host_id, observed_at);\n", t.Name)
		fmt.Fprintf(&b, "CREATE INDEX %s_received ON %[1]s USING brin (received_at);\n", t.Name)
	}
	b.WriteString(`
-- How many events of an observed day were received on which day: a query over
-- observed_at looks here for the bounds of received_at that prune partitions.
CREATE TABLE event_days (
    table_name text NOT NULL,
    received_day date NOT NULL,
    observed_day date NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (table_name, received_day, observed_day)
);
CREATE INDEX event_days_observed ON event_days (table_name, observed_day);
`)
	return b.String()
}

// TestSchema compares the migration with the registry; -update writes it.
func TestSchema(t *testing.T) {
	compareOrUpdate(t, migration, []byte(schemaSQL()))
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
