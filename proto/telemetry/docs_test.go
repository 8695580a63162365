package telemetry

import (
	"fmt"
	"strings"
	"testing"
)

const tablesPage = "../../docs/tables.md"

// tablesDoc is the page of the event tables as the registry has them.
func tablesDoc() string {
	tables := Tables()
	var b strings.Builder
	b.WriteString(`# Event tables

<!-- Generated from the table registry (proto/telemetry). Do not edit.
     To write it again: go test ./proto/telemetry -run TestDocs -update -->

This page is generated from the table registry, ` + "`proto/telemetry`" + `; a test fails when it is stale. The same names hold in
Postgres, in the console's event query and in ` + "`assayctl events --table`" + `.

A table holds the typed form of an event: one row each. It does not hold the raw event. ` + "`position` and `ordinal`" + ` say which event
of which batch a row is of, and the raw event with its proof is read from there. Tables are projections: they can be emptied and
filled again from the batches at any time.

Heavy tables are partitioned by the UTC day of ` + "`received_at`" + `, the others by its ISO week. Numbers and booleans are null where the
event does not say; texts are then empty. Times keep Postgres' microseconds; the raw event keeps the 100 ns of the source.
`)
	b.WriteString("\n## Common columns\n\nEvery table begins with these.\n\n")
	columnsDoc(&b, commonColumns)
	b.WriteString("\n## The tables\n\n| table | what a row is | partitions | OCSF class |\n|---|---|---|---|\n")
	for _, t := range tables {
		fmt.Fprintf(&b, "| [`%s`](#%[1]s) | %s | %s | %s |\n", t.Name, cell(whatRow(t)), partitions(t), ocsfDoc(t))
	}
	for _, t := range tables {
		fmt.Fprintf(&b, "\n## %s\n\n%s Message `%s`, partitioned by %s.\n\n", t.Name, t.Description, t.Message, partitions(t))
		columnsDoc(&b, t.Columns[len(commonColumns):])
	}
	return b.String()
}

func columnsDoc(b *strings.Builder, columns []Column) {
	b.WriteString("| column | type | null | meaning |\n|---|---|---|---|\n")
	for _, c := range columns {
		null := "no"
		if c.Nullable {
			null = "yes"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", c.Name, sqlTypes[c.Kind], null, cell(meaning(c)))
	}
}

// meaning is a column's description without the name that stands beside it.
func meaning(c Column) string {
	for _, verb := range []string{" is ", " are "} {
		if rest, found := strings.CutPrefix(c.Description, c.Name+verb); found {
			return rest
		}
	}
	return c.Description
}

// whatRow is the first sentence of a table's description without the name of
// its message: "a change of a user account."
func whatRow(t *Table) string {
	first, _, _ := strings.Cut(t.Description, ". ")
	first = strings.TrimPrefix(first, string(t.Message.Name())+" is ")
	return strings.TrimSuffix(first, ".")
}

func partitions(t *Table) string {
	if t.Heavy {
		return "day"
	}
	return "week"
}

func ocsfDoc(t *Table) string {
	if t.OCSFClass == 0 {
		return "by event"
	}
	return fmt.Sprint(t.OCSFClass)
}

// cell makes text fit for a cell of a Markdown table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// TestDocs compares docs/tables.md with the registry; -update writes it.
func TestDocs(t *testing.T) {
	compareOrUpdate(t, tablesPage, []byte(tablesDoc()))
}
