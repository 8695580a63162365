import { Checkbox } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import type { Alert } from "../../gen/assay/console/v1/alert_pb";
import { levelRank } from "../../lib/level";
import type { List } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { DataTable, type Column } from "../../ui/DataTable";
import { EventLink, refName } from "../../ui/Evidence";
import { LevelMark } from "../../ui/Level";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { AlertState, NextClock } from "./AlertMarks";
import { clockWords, reasonWords } from "./words";

/** Selection is the set of chosen alerts. */
export interface Selection {
  readonly ids: ReadonlySet<string>;
  readonly toggle: (id: string) => void;
}

interface AlertTableProps {
  readonly name: string;
  readonly list: List<Alert>;
  readonly empty: ReactNode;
  readonly filters?: ReactNode;
  readonly main?: boolean;
  readonly selection?: Selection | undefined;
}

/** RuleLink leads to a rule, or to a check where the alert stands for a finding. */
export function RuleLink({ of }: { readonly of: Pick<Alert, "pack" | "rule"> }) {
  if (of.pack === "checks") {
    return (
      <Link to="/hosts" search={{ check: of.rule }} className="mono">
        {of.rule}
      </Link>
    );
  }
  return (
    <Link to="/rules/$pack/$id" params={{ pack: of.pack, id: of.rule }} className="mono">
      {of.rule}
    </Link>
  );
}

const columns: readonly Column<Alert>[] = [
  { id: "level", header: "Level", width: "minmax(7rem, max-content)", value: (alert) => alert.level, order: (alert) => -levelRank(alert.level), cell: (alert) => <LevelMark level={alert.level} /> },
  {
    id: "title",
    header: "Alert",
    width: "minmax(11rem, 2fr)",
    value: (alert) => alert.title,
    cell: (alert) => (
      <Link to="/alerts/$id" params={{ id: alert.id }}>
        <Raw text={alert.title} sentence />
      </Link>
    ),
  },
  { id: "state", header: "State", width: "minmax(9rem, max-content)", value: (alert) => alert.state, cell: (alert) => <AlertState state={alert.state} /> },
  {
    id: "host",
    header: "Host",
    width: "minmax(7.6rem, 1fr)",
    value: (alert) => alert.hostName,
    cell: (alert) => (
      <Link to="/hosts/$id" params={{ id: alert.hostId }}>
        <Raw text={alert.hostName} />
      </Link>
    ),
  },
  { id: "count", header: "Hits", width: "minmax(3.5rem, max-content)", end: true, value: (alert) => alert.count },
  { id: "last", header: "Last seen", width: "minmax(6.6rem, max-content)", value: (alert) => dateOf(alert.lastSeen)?.toISOString(), cell: (alert) => <Time at={alert.lastSeen} ago /> },
  { id: "clock", header: "Clock", width: "minmax(10rem, max-content)", value: (alert) => clockWords(alert.state === "open" && alert.acknowledge?.due !== undefined ? alert.acknowledge : alert.close, new Date()), cell: (alert) => <NextClock of={alert} /> },
  { id: "assignee", header: "Assigned to", width: "minmax(5.8rem, 0.5fr)", value: (alert) => alert.assignee, cell: (alert) => (alert.assignee === "" ? <span className="dim">nobody</span> : <Raw text={alert.assignee} />) },
  { id: "rule", header: "Rule", width: "minmax(10rem, 1fr)", off: true, value: (alert) => `${alert.pack}/${alert.rule}`, cell: (alert) => <RuleLink of={alert} /> },
  { id: "opened", header: "Opened", width: "minmax(7rem, max-content)", off: true, value: (alert) => dateOf(alert.openedAt)?.toISOString(), cell: (alert) => <Time at={alert.openedAt} ago /> },
  { id: "reason", header: "Closed as", width: "minmax(7rem, max-content)", off: true, value: (alert) => alert.reason, cell: (alert) => (alert.reason === "" ? "–" : reasonWords(alert.reason)) },
  { id: "closed_by", header: "Closed by", width: "minmax(6rem, max-content)", off: true, value: (alert) => alert.closedBy, cell: (alert) => (alert.closedBy === "" ? "–" : <Raw text={alert.closedBy} />) },
  {
    id: "event",
    header: "Newest event",
    width: "minmax(6rem, max-content)",
    off: true,
    value: (alert) => (alert.latest?.event === undefined ? "" : refName(alert.latest.event)),
    cell: (alert) => (alert.latest?.event === undefined ? "–" : <EventLink of={alert.latest.event} />),
  },
  { id: "tags", header: "Tags", width: "minmax(8rem, 1fr)", off: true, value: (alert) => alert.tags.join(", "), cell: (alert) => (alert.tags.length === 0 ? "–" : <Raw text={alert.tags.join(", ")} />) },
  { id: "id", header: "Id", width: "minmax(12rem, 1fr)", off: true, value: (alert) => alert.id, cell: (alert) => <Raw text={alert.id} line /> },
];

/** AlertTable lists alerts; with a selection each row has a box to choose it by. */
export function AlertTable({ name, list, empty, filters, main = false, selection }: AlertTableProps) {
  const shown = useMemo((): readonly Column<Alert>[] => {
    if (selection === undefined) return columns;
    return [
      {
        id: "choose",
        header: "Choose",
        width: "minmax(4.6rem, max-content)",
        value: () => undefined,
        cell: (alert) => <Checkbox size="xs" data-choose aria-label={`Choose ${visibleText(alert.title)} on ${visibleText(alert.hostName)}`} checked={selection.ids.has(alert.id)} onChange={() => selection.toggle(alert.id)} />,
      },
      ...columns,
    ];
  }, [selection]);
  return <DataTable name={name} label="Alerts" main={main} plain={!main} columns={shown} list={list} rowKey={(alert) => alert.id} filters={filters} empty={empty} />;
}
