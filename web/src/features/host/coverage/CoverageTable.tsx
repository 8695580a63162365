import { useMemo } from "react";
import type { CoverageLane } from "../../../gen/assay/console/v1/host_pb";
import { durationWords } from "../../../lib/duration";
import { listOf } from "../../../lib/list";
import { DataTable, type Column } from "../../../ui/DataTable";
import { Empty } from "../../../ui/Note";
import { EventLink } from "../../../ui/Evidence";
import { Raw } from "../../../ui/Raw";
import { Time } from "../../../ui/Time";
import { rangeWords, stretches, type Stretch, type Window } from "./ranges";
import { laneName } from "./Timeline";

interface Row extends Stretch {
  readonly lane: CoverageLane;
}

const columns: readonly Column<Row>[] = [
  { id: "lane", header: "Source and channel", width: "minmax(12rem, 1.5fr)", value: (row) => laneName(row.lane), cell: (row) => <Raw text={laneName(row.lane)} /> },
  { id: "capability", header: "Capability", width: "minmax(8rem, 1fr)", value: (row) => row.lane.capability },
  { id: "kind", header: "Coverage", width: "minmax(9rem, max-content)", value: (row) => rangeWords[row.kind], cell: (row) => <strong style={{ color: row.kind === "unexplained" ? "var(--fail)" : undefined }}>{rangeWords[row.kind]}</strong> },
  { id: "from", header: "From", width: "minmax(11rem, max-content)", value: (row) => new Date(row.from).toISOString(), cell: (row) => <Time at={new Date(row.from)} /> },
  { id: "to", header: "To", width: "minmax(11rem, max-content)", value: (row) => new Date(row.to).toISOString(), cell: (row) => <Time at={new Date(row.to)} /> },
  { id: "length", header: "Length", width: "minmax(8rem, max-content)", value: (row) => Math.round((row.to - row.from) / 1000), cell: (row) => durationWords(row.to - row.from) },
  { id: "reason", header: "Reason", width: "minmax(10rem, 1.5fr)", value: (row) => row.reason, cell: (row) => (row.reason === "" ? "–" : <Raw text={row.reason} sentence />) },
  { id: "evidence", header: "Evidence", width: "minmax(6rem, max-content)", value: (row) => (row.evidence === undefined ? "" : `${row.evidence.position.toString()}.${row.evidence.ordinal}`), cell: (row) => (row.evidence === undefined ? "–" : <EventLink of={row.evidence} />) },
];

/** CoverageTable lists what the timeline draws. */
export function CoverageTable({ lanes, window, name }: { readonly lanes: readonly CoverageLane[]; readonly window: Window; readonly name: string }) {
  const list = useMemo(() => listOf(lanes.flatMap((lane) => stretches(lane, window).map((stretch): Row => ({ ...stretch, lane })))), [lanes, window]);
  return (
    <DataTable
      name={name}
      label="Coverage ranges"
      main
      columns={columns}
      list={list}
      rowKey={(row) => `${row.lane.source} ${row.lane.channel} ${row.lane.capability} ${row.from} ${row.kind}`}
      empty={<Empty title="No range in this window">Choose a wider window.</Empty>}
    />
  );
}
