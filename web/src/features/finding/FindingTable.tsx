import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import type { Finding } from "../../gen/assay/console/v1/finding_pb";
import { useList } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import { dateOf } from "../../lib/time";
import type { FindingAge } from "../../routes/searches";
import { DataTable, type Column } from "../../ui/DataTable";
import { EvidenceLinks, refName } from "../../ui/Evidence";
import { Empty } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { overviewQuery } from "../overview/queries";
import { hasAge } from "./age";
import { FindingStatus } from "./FindingStatus";
import { findingsAsk, findingsKey, type FindingFilter } from "./queries";

interface FindingTableProps {
  readonly name: string;
  readonly filter: FindingFilter;
  readonly age?: FindingAge | undefined;
  readonly withHost?: boolean;
  readonly filters?: ReactNode;
  readonly filtered?: boolean;
}

const columns: readonly Column<Finding>[] = [
  {
    id: "title",
    header: "Finding",
    width: "minmax(15rem, 2fr)",
    value: (finding) => finding.title,
    cell: (finding) => (
      <Link to="/findings/$id" params={{ id: finding.id }}>
        <Raw text={finding.title} sentence />
      </Link>
    ),
  },
  { id: "status", header: "Status", width: "minmax(6rem, max-content)", value: (finding) => finding.status, cell: (finding) => <FindingStatus status={finding.status} /> },
  {
    id: "host",
    header: "Host",
    width: "minmax(10rem, 1fr)",
    value: (finding) => finding.hostName,
    cell: (finding) => (
      <Link to="/hosts/$id" params={{ id: finding.hostId }}>
        <Raw text={finding.hostName} />
      </Link>
    ),
  },
  {
    id: "check",
    header: "Check",
    width: "minmax(9rem, 0.8fr)",
    value: (finding) => finding.check,
    cell: (finding) => (
      <Link to="/hosts" search={{ check: finding.check }} className="mono">
        {finding.check}
      </Link>
    ),
  },
  { id: "opened", header: "Open since", width: "minmax(7rem, max-content)", value: (finding) => dateOf(finding.openedAt)?.toISOString(), cell: (finding) => <Time at={finding.openedAt} ago /> },
  { id: "closed", header: "Closed", width: "minmax(7rem, max-content)", value: (finding) => dateOf(finding.closedAt)?.toISOString(), cell: (finding) => <Time at={finding.closedAt} ago /> },
  { id: "cause", header: "Cause", width: "minmax(10rem, 1fr)", off: true, value: (finding) => finding.cause, cell: (finding) => (finding.cause === "" ? "–" : <Raw text={finding.cause} />) },
  { id: "evidence", header: "Evidence", width: "minmax(7rem, 0.6fr)", value: (finding) => finding.evidence.map(refName).join(" "), cell: (finding) => <EvidenceLinks of={finding.evidence} total={finding.evidence.length} /> },
  { id: "grade", header: "Grade", width: "minmax(4rem, max-content)", value: (finding) => finding.grade },
  { id: "requirements", header: "Bears on", width: "minmax(10rem, 1fr)", off: true, value: (finding) => finding.requirements.join(", ") },
];

/** FindingTable lists findings by a filter. */
export function FindingTable({ name, filter, age, withHost = true, filters, filtered = false }: FindingTableProps) {
  const asOf = useAsOf();
  // Ages are counted from the moment that the overview was judged for, as its numbers are.
  const judged = useQuery({ ...overviewQuery(asOf), enabled: age !== undefined }).data?.evaluated?.instant;
  const keep = useMemo(() => {
    if (age === undefined) return undefined;
    const at = dateOf(judged) ?? new Date();
    return (finding: Finding): boolean => {
      const opened = dateOf(finding.openedAt);
      return opened !== undefined && hasAge(opened, at, age);
    };
  }, [age, judged]);
  const list = useList({ key: findingsKey(filter, asOf), ask: findingsAsk(filter, asOf), keep });
  const shown = useMemo(() => (withHost ? columns : columns.filter((column) => column.id !== "host")), [withHost]);
  return (
    <DataTable
      name={name}
      label="Findings"
      main
      columns={shown}
      list={list}
      rowKey={(finding) => finding.id}
      filters={filters}
      empty={
        filtered ? (
          <Empty title="No finding fits this filter">
            <Link to="/findings" search={{ status: "all" }}>
              Show all findings, open and closed
            </Link>
          </Empty>
        ) : (
          <Empty title="No finding">A finding opens here when a violation is seen, and stays until it is resolved or closed with its cause.</Empty>
        )
      }
    />
  );
}
