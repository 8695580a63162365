import { queryOptions } from "@tanstack/react-query";
import type { EventRow } from "../../gen/assay/console/v1/event_pb";
import { eventApi } from "../../lib/api";
import type { Ask } from "../../lib/list";
import { dateFromSearch, timeOf } from "../../lib/time";
import type { Condition } from "./conditions";

/** tablesQuery is every event table with its columns. */
export const tablesQuery = queryOptions({
  queryKey: ["tables"],
  queryFn: ({ signal }) => eventApi.listTables({}, { signal }),
  staleTime: 60_000,
});

export interface EventFilter {
  readonly table: string;
  readonly host: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly conditions: readonly Condition[];
}

/** Row is an event with its values under their columns' names. */
export interface Row {
  readonly event: EventRow;
  readonly columns: readonly string[];
}

export function eventsKey(filter: EventFilter): readonly unknown[] {
  return ["events", filter];
}

/** eventsAsk reads one table, newest first. */
export function eventsAsk(filter: EventFilter): Ask<Row> {
  const from = dateFromSearch(filter.from);
  const to = dateFromSearch(filter.to);
  return async (page, signal) => {
    const answer = await eventApi.listEvents(
      {
        table: filter.table,
        host: filter.host ?? "",
        from: from === undefined ? undefined : timeOf(from),
        to: to === undefined ? undefined : timeOf(to),
        conditions: filter.conditions.map((condition) => ({ ...condition })),
        page,
      },
      { signal },
    );
    return { rows: answer.rows.map((event) => ({ event, columns: answer.columns })), next: answer.nextPageToken };
  };
}

/** eventQuery is one event in full; it never changes, but its checkpoint may come later. */
export function eventQuery(position: bigint, ordinal: number) {
  return queryOptions({
    queryKey: ["event", position.toString(), ordinal],
    queryFn: ({ signal }) => eventApi.getEvent({ ref: { position, ordinal } }, { signal }),
  });
}
