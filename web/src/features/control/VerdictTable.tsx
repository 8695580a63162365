import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import type { Framework, Verdict } from "../../gen/assay/console/v1/status_pb";
import type { List } from "../../lib/list";
import { stateName, stateWords } from "../../lib/state";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { EvidenceLinks, refName } from "../../ui/Evidence";
import { Raw } from "../../ui/Raw";
import { StateMark } from "../../ui/State";
import { Time } from "../../ui/Time";
import { frameworksQuery } from "./queries";
import { gradeWords, percent, reasonWords } from "./words";

interface VerdictTableProps {
  readonly list: List<Verdict>;
  /** first is the column that leads on: the host, or the check of one host. */
  readonly first: "host" | "check";
  readonly name: string;
  readonly empty: ReactNode;
  readonly filters?: ReactNode;
  readonly count?: ReactNode;
  /** one is set where every row is of the same check: its column waits to be chosen. */
  readonly one?: boolean;
}

const hostColumn: Column<Verdict> = {
  id: "host",
  header: "Host",
  width: "minmax(9rem, 1.1fr)",
  value: (verdict) => verdict.hostName,
  cell: (verdict) => (
    <Link to="/hosts/$id" params={{ id: verdict.hostId }} search={{ check: verdict.check }}>
      <Raw text={verdict.hostName} />
    </Link>
  ),
};

const stateColumn: Column<Verdict> = {
  id: "state",
  header: "State",
  width: "minmax(6.5rem, max-content)",
  value: (verdict) => stateWords[stateName(verdict.state)],
  cell: (verdict) => <StateMark state={stateName(verdict.state)} />,
};

const restColumns: readonly Column<Verdict>[] = [
  {
    id: "reason",
    header: "Reason",
    width: "minmax(12rem, 2.2fr)",
    value: (verdict) => (verdict.reason === "" ? verdict.detail : `${verdict.reason}: ${verdict.detail}`),
    cell: (verdict) => (
      <>
        {verdict.reason === "" ? null : <strong>{reasonWords(verdict.reason)}</strong>}
        {verdict.reason === "" || verdict.detail === "" ? null : <br />}
        {verdict.detail === "" ? null : <Raw text={verdict.detail} sentence />}
      </>
    ),
  },
  {
    id: "evidence",
    header: "Evidence",
    width: "minmax(7rem, 0.7fr)",
    value: (verdict) => verdict.evidence.map(refName).join(" "),
    cell: (verdict) => <EvidenceLinks of={verdict.evidence} total={verdict.evidenceTotal} />,
  },
  {
    id: "grade",
    header: "Grade",
    width: "minmax(3.6rem, max-content)",
    value: (verdict) => verdict.grade,
    cell: (verdict) => <span title={gradeWords(verdict.grade)}>{verdict.grade === "" ? "–" : verdict.grade}</span>,
  },
  {
    id: "coverage",
    header: "Coverage",
    width: "minmax(5.5rem, max-content)",
    end: true,
    value: (verdict) => (verdict.hasCoverage ? verdict.coverage : undefined),
    cell: (verdict) =>
      verdict.hasCoverage ? (
        <Link to="/hosts/$id" params={{ id: verdict.hostId }} search={{ tab: "coverage", from: iso(verdict.windowFrom), to: iso(verdict.windowTo) }} className="num">
          {percent(verdict.coverage)}
        </Link>
      ) : (
        <span className="dim">–</span>
      ),
  },
  {
    id: "since",
    header: "Since",
    width: "minmax(6.2rem, 0.6fr)",
    value: (verdict) => dateOf(verdict.since)?.toISOString(),
    cell: (verdict) => <Time at={verdict.since} ago />,
  },
  {
    id: "window",
    header: "Window",
    width: "minmax(11rem, max-content)",
    off: true,
    value: (verdict) => `${dateOf(verdict.windowFrom)?.toISOString() ?? ""}/${dateOf(verdict.windowTo)?.toISOString() ?? ""}`,
    cell: (verdict) => (
      <>
        <Time at={verdict.windowFrom} seconds={false} />
        <br />
        <Time at={verdict.windowTo} seconds={false} />
      </>
    ),
  },
  {
    id: "findings",
    header: "Findings",
    width: "minmax(5rem, max-content)",
    end: true,
    value: (verdict) => verdict.openFindings,
    cell: (verdict) => (
      <Link to="/findings" search={{ status: "open", host: verdict.hostId, check: verdict.check }} className="num">
        {verdict.openFindings}
        <span className="sr"> open findings</span>
      </Link>
    ),
  },
];

function iso(time: Verdict["windowFrom"]): string | undefined {
  return dateOf(time)?.toISOString();
}

/** requirementsOf names the requirements that a check speaks for. */
function requirementsOf(frameworks: readonly Framework[], check: string): { framework: string; id: string }[] {
  return frameworks.flatMap((framework) => framework.requirements.filter((one) => one.checks.includes(check)).map((one) => ({ framework: framework.id, id: one.id })));
}

/** VerdictTable lists verdicts with why they are so. */
export function VerdictTable({ list, first, name, empty, filters, count, one = false }: VerdictTableProps) {
  const known = useQuery(frameworksQuery).data;
  const columns = useMemo((): Column<Verdict>[] => {
    const checkColumn: Column<Verdict> = {
      id: "check",
      header: "Check",
      width: "minmax(9rem, 1.2fr)",
      off: one,
      value: (verdict) => verdict.check,
      cell: (verdict) => {
        const title = known?.checks.find((check) => check.id === verdict.check)?.title ?? "";
        return (
          <>
            <Link to="/hosts" search={{ check: verdict.check }} className="mono">
              {verdict.check}
            </Link>
            <div className="dim">{title}</div>
          </>
        );
      },
    };
    const speaksFor: Column<Verdict> = {
      id: "requirements",
      header: "Speaks for",
      width: "minmax(7rem, 0.9fr)",
      off: first === "host",
      value: (verdict) =>
        requirementsOf(known?.frameworks ?? [], verdict.check)
          .map((one) => `${one.framework} ${one.id}`)
          .join(", "),
      cell: (verdict) => (
        <>
          {requirementsOf(known?.frameworks ?? [], verdict.check).map((one, i) => (
            <span key={`${one.framework} ${one.id}`}>
              {i === 0 ? "" : ", "}
              <Link to="/controls/$framework/$id" params={one} title={one.framework}>
                {one.id}
              </Link>
            </span>
          ))}
        </>
      ),
    };
    return first === "host" ? [hostColumn, stateColumn, checkColumn, ...restColumns, speaksFor] : [checkColumn, stateColumn, ...restColumns, speaksFor];
  }, [known, first, one]);
  return (
    <DataTable
      name={name}
      label="Verdicts"
      main
      columns={columns}
      list={list}
      rowKey={(verdict) => `${verdict.hostId} ${verdict.check}`}
      empty={empty}
      filters={filters}
      count={count}
    />
  );
}
