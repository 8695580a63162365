import { queryOptions } from "@tanstack/react-query";
import type { AsOf } from "../../gen/assay/console/v1/common_pb";
import type { Verdict } from "../../gen/assay/console/v1/status_pb";
import { statusApi } from "../../lib/api";
import type { Ask } from "../../lib/list";
import { stateNumber, type StateName } from "../../lib/state";

/** frameworksQuery is every framework with its requirements and checks; it changes with the server's packs only. */
export const frameworksQuery = queryOptions({
  queryKey: ["frameworks"],
  queryFn: ({ signal }) => statusApi.listFrameworks({}, { signal }),
  staleTime: 300_000,
});

export interface Moment {
  readonly asOf: AsOf | undefined;
  readonly key: string;
}

/** frameworkStatusQuery is how a framework's requirements stand over the fleet. */
export function frameworkStatusQuery(framework: string, moment: Moment) {
  return queryOptions({
    queryKey: ["framework-status", framework, moment.key],
    queryFn: ({ signal }) => statusApi.getFrameworkStatus({ framework, asOf: moment.asOf }, { signal }),
  });
}

export interface VerdictFilter {
  readonly framework?: string | undefined;
  readonly requirement?: string | undefined;
  readonly check?: string | undefined;
  readonly host?: string | undefined;
  readonly state?: StateName | undefined;
}

/** verdictKey and verdictAsk read verdicts by a filter of the API's own. */
export function verdictKey(filter: VerdictFilter, moment: Moment): readonly unknown[] {
  return ["verdicts", filter, moment.key];
}

export function verdictAsk(filter: VerdictFilter, moment: Moment): Ask<Verdict> {
  return async (page, signal) => {
    const answer = await statusApi.listVerdicts(
      {
        asOf: moment.asOf,
        framework: filter.framework ?? "",
        requirement: filter.requirement ?? "",
        check: filter.check ?? "",
        host: filter.host ?? "",
        state: stateNumber(filter.state),
        page,
      },
      { signal },
    );
    return { rows: answer.verdicts, next: answer.nextPageToken, total: answer.total, evaluated: answer.evaluated };
  };
}
