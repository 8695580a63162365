import { queryOptions } from "@tanstack/react-query";
import type { AsOf } from "../../gen/assay/console/v1/common_pb";
import type { Host } from "../../gen/assay/console/v1/host_pb";
import type { Transition } from "../../gen/assay/console/v1/status_pb";
import { hostApi, statusApi } from "../../lib/api";
import type { Ask } from "../../lib/list";
import { timeOf } from "../../lib/time";

interface Moment {
  readonly asOf: AsOf | undefined;
  readonly key: string;
}

export interface HostFilter {
  readonly name?: string | undefined;
  readonly kind?: string | undefined;
  readonly framework?: string | undefined;
}

export function hostsKey(filter: HostFilter, moment: Moment): readonly unknown[] {
  return ["hosts", filter, moment.key];
}

/** hostsAsk reads the list of hosts. */
export function hostsAsk(filter: HostFilter, moment: Moment): Ask<Host> {
  return async (page, signal) => {
    const answer = await hostApi.listHosts({ name: filter.name ?? "", kind: filter.kind ?? "", framework: filter.framework ?? "", asOf: moment.asOf, page }, { signal });
    return { rows: answer.hosts, next: answer.nextPageToken, total: answer.total, evaluated: answer.evaluated };
  };
}

/** hostQuery is one host with its streams. */
export function hostQuery(id: string, moment: Moment) {
  return queryOptions({
    queryKey: ["host", id, moment.key],
    queryFn: ({ signal }) => hostApi.getHost({ id, asOf: moment.asOf }, { signal }),
  });
}

/** coverageQuery is a host's lanes between two times. */
export function coverageQuery(host: string, from: Date, to: Date) {
  return queryOptions({
    queryKey: ["coverage", host, from.toISOString(), to.toISOString()],
    queryFn: ({ signal }) => hostApi.getCoverage({ host, from: timeOf(from), to: timeOf(to) }, { signal }),
    // Moving the window keeps the lanes in sight, never those of another host.
    placeholderData: (before, query) => (query?.queryKey[1] === host ? before : undefined),
  });
}

/** transitionsAsk reads a host's changes of state. */
export function transitionsAsk(host: string): Ask<Transition> {
  return async (page, signal) => {
    const answer = await statusApi.listTransitions({ host, page }, { signal });
    return { rows: answer.transitions, next: answer.nextPageToken };
  };
}
