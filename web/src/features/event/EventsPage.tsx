import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import type { Table } from "../../gen/assay/console/v1/event_pb";
import { useList } from "../../lib/list";
import { useMoment } from "../../lib/moment";
import { dateFromSearch } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { EventLink, refName } from "../../ui/Evidence";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Page } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { formatCondition, parseCondition } from "./conditions";
import { eventsAsk, eventsKey, tablesQuery, type Row } from "./queries";
import { QueryForm } from "./QueryForm";

const route = getRouteApi("/app/events");

/** EventsPage asks the event tables and shows each event down to its raw fields. */
export function EventsPage() {
  const tables = useQuery(tablesQuery);
  return (
    <Page name="Events" title="Events" lead="Telemetry as received, newest first. Names of tables and columns are those of SQL.">
      {tables.data !== undefined ? (
        tables.data.tables.length === 0 ? (
          <Empty title="The server offers no table">This role may not read events.</Empty>
        ) : (
          <Events tables={tables.data.tables} />
        )
      ) : tables.isError ? (
        <Failure error={tables.error} again={() => void tables.refetch()} />
      ) : (
        <Loading what="tables" />
      )}
    </Page>
  );
}

function Events({ tables }: { readonly tables: readonly Table[] }) {
  const search = route.useSearch();
  const moment = useMoment();
  const fullest = [...tables].sort((a, b) => (a.events > b.events ? -1 : a.events < b.events ? 1 : 0))[0];
  const table = tables.find((one) => one.name === search.table) ?? fullest;
  // Looking at the past, nothing later is shown unless asked for by its own time.
  const to = search.to ?? (moment.kind === "instant" ? moment.at.toISOString() : undefined);
  const filter = {
    table: table?.name ?? "",
    host: search.host,
    from: search.from,
    to,
    conditions: (search.where ?? []).flatMap((text) => parseCondition(text) ?? []),
  };
  const list = useList({ key: eventsKey(filter), ask: eventsAsk(filter) });
  const columns = useMemo(() => columnsFor(table), [table]);
  if (table === undefined) return null;
  const filtered = filter.host !== undefined || filter.from !== undefined || search.to !== undefined || filter.conditions.length > 0;
  return (
    <>
      <QueryForm key={`${table.name} ${search.host ?? ""} ${search.from ?? ""} ${search.to ?? ""} ${filter.conditions.map(formatCondition).join(" ")}`} tables={tables} table={table} filter={{ ...filter, to: search.to }} />
      <DataTable
        name={`events-${table.name}`}
        label={`Events of ${table.name}`}
        main
        columns={columns}
        list={list}
        rowKey={(row) => (row.event.ref === undefined ? "" : refName(row.event.ref))}
        empty={
          filtered ? (
            <Empty title="No event fits this question">
              <Link to="/events" search={{ table: table.name }}>
                Show the newest events of {table.name}
              </Link>
            </Empty>
          ) : (
            <Empty title={`No event in ${table.name} yet`}>
              <p>
                {table.description === "" ? "Events" : table.description} appear here once an agent sends them. Enrolment tokens and the command to run are under <Link to="/agents">Agents</Link>.
              </p>
            </Empty>
          )
        }
      />
    </>
  );
}

function timeCell(type: string, text: string): ReactNode {
  if (!/^time/.test(type)) return undefined;
  const date = dateFromSearch(text === "" ? undefined : text);
  return date === undefined ? undefined : <Time at={date} />;
}

// Columns that every table has and that say nothing of what happened: last, and hidden until chosen.
const common = ["host_id", "position", "ordinal", "received_at", "source", "grade", "mode", "record_id", "channel", "provider", "event_id", "rule_name"];
// What tells the records of a table without columns of its own apart.
const telling = ["channel", "event_id", "provider"];
const shownAtFirst = 7;

function columnsFor(table: Table | undefined): Column<Row>[] {
  const all = (table?.columns ?? []).filter((column) => column.name !== "host_name");
  const own = all.filter((column) => !common.includes(column.name));
  const first = [...own, ...all.filter((column) => own.length < 3 && telling.includes(column.name))].slice(0, shownAtFirst);
  const ordered = [...first, ...own.filter((column) => !first.includes(column)), ...all.filter((column) => !first.includes(column) && !own.includes(column))];
  const value = (row: Row, name: string): string => row.event.values[row.columns.indexOf(name)] ?? "";
  return [
    {
      id: "ref",
      header: "Event",
      width: "minmax(6rem, max-content)",
      value: (row) => (row.event.ref === undefined ? "" : refName(row.event.ref)),
      cell: (row) => (row.event.ref === undefined ? "–" : <EventLink of={row.event.ref} />),
    },
    { id: "host_name", header: "host_name", width: "minmax(9rem, 0.8fr)", value: (row) => row.event.hostName, cell: (row) => <Raw text={row.event.hostName} line /> },
    ...ordered.map(
      (column): Column<Row> => ({
        id: column.name,
        header: column.name,
        width: /int|double|boolean/.test(column.type) ? "minmax(5rem, max-content)" : /^time/.test(column.type) ? "minmax(12.5rem, max-content)" : "minmax(9rem, 1fr)",
        off: !first.includes(column),
        value: (row) => value(row, column.name),
        cell: (row) => timeCell(column.type, value(row, column.name)) ?? (value(row, column.name) === "" ? <span className="dim">–</span> : <Raw text={value(row, column.name)} line />),
      }),
    ),
  ];
}
