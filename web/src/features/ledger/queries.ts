import { queryOptions } from "@tanstack/react-query";
import { ledgerApi } from "../../lib/api";

/** ledgerQuery is the evidence log's size, checkpoint and last verification. */
export const ledgerQuery = queryOptions({
  queryKey: ["ledger"],
  queryFn: ({ signal }) => ledgerApi.getLedger({}, { signal }),
  refetchInterval: 30_000,
});
