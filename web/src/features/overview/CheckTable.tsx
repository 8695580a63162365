import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import type { CheckSummary } from "../../gen/assay/console/v1/status_pb";
import { listOf } from "../../lib/list";
import { vectorOf, vectorWords } from "../../lib/state";
import { DataTable, type Column } from "../../ui/DataTable";
import { Empty } from "../../ui/Note";
import { Section } from "../../ui/Page";
import { StateBar, StateCounts } from "../../ui/State";

const columns: readonly Column<CheckSummary>[] = [
  {
    id: "check",
    header: "Check",
    width: "minmax(12rem, 1.2fr)",
    value: (check) => check.id,
    cell: (check) => (
      <>
        <Link to="/hosts" search={{ check: check.id }}>
          {check.title}
        </Link>
        <div className="dim mono">{check.id}</div>
      </>
    ),
  },
  {
    id: "hosts",
    header: "Hosts by state",
    width: "minmax(14rem, 1fr)",
    value: (check) => vectorWords(vectorOf(check.hosts)),
    cell: (check) => (
      <div style={{ display: "grid", gap: 4 }}>
        <StateBar vector={vectorOf(check.hosts)} thin />
        <StateCounts
          vector={vectorOf(check.hosts)}
          of="hosts"
          link={(state, className, children) => (
            <Link to="/hosts" search={{ check: check.id, state }} className={className}>
              {children}
            </Link>
          )}
        />
      </div>
    ),
  },
];

/** CheckTable lists every check with its hosts by state. */
export function CheckTable({ checks }: { readonly checks: CheckSummary[] }) {
  const list = useMemo(() => listOf(checks), [checks]);
  return (
    <Section title="Checks" aside={<>{checks.length} checks</>} flush>
      <DataTable
        name="checks"
        label="Checks with hosts by state"
        plain
        columns={columns}
        list={list}
        rowKey={(check) => check.id}
        empty={<Empty title="No check has run">Checks come with the framework packs and run once telemetry arrives.</Empty>}
      />
    </Section>
  );
}
