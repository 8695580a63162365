import { queryOptions } from "@tanstack/react-query";
import type { AsOf } from "../../gen/assay/console/v1/common_pb";
import { statusApi } from "../../lib/api";

/** overviewQuery is the first screen; the present is asked for again each minute. */
export function overviewQuery(moment: { asOf: AsOf | undefined; key: string }) {
  return queryOptions({
    queryKey: ["overview", moment.key],
    queryFn: ({ signal }) => statusApi.getOverview({ asOf: moment.asOf }, { signal }),
    refetchInterval: moment.key === "now" ? 60_000 : false,
  });
}
