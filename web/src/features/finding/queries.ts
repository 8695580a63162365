import { queryOptions } from "@tanstack/react-query";
import type { AsOf } from "../../gen/assay/console/v1/common_pb";
import type { Finding } from "../../gen/assay/console/v1/finding_pb";
import { findingApi } from "../../lib/api";
import type { Ask } from "../../lib/list";

export interface FindingFilter {
  readonly host?: string | undefined;
  readonly check?: string | undefined;
  /** status is "open" or "closed"; undefined is both. */
  readonly status?: string | undefined;
}

interface Moment {
  readonly asOf: AsOf | undefined;
  readonly key: string;
}

export function findingsKey(filter: FindingFilter, moment: Moment): readonly unknown[] {
  return ["findings", filter, moment.key];
}

/** findingsAsk reads the list of findings. */
export function findingsAsk(filter: FindingFilter, moment: Moment): Ask<Finding> {
  return async (page, signal) => {
    const answer = await findingApi.listFindings({ host: filter.host ?? "", check: filter.check ?? "", status: filter.status ?? "", asOf: moment.asOf, page }, { signal });
    return { rows: answer.findings, next: answer.nextPageToken, total: answer.total };
  };
}

/** findingQuery is one finding. */
export function findingQuery(id: string) {
  return queryOptions({
    queryKey: ["finding", id],
    queryFn: ({ signal }) => findingApi.getFinding({ id }, { signal }),
  });
}
