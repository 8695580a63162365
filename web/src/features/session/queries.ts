import { Code } from "@connectrpc/connect";
import { queryOptions } from "@tanstack/react-query";
import { sessionApi } from "../../lib/api";
import { isCode } from "../../lib/fault";

/** sessionQuery is who is signed in; null for nobody. */
export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: async ({ signal }) => {
    try {
      return (await sessionApi.getSession({}, { signal })).session ?? null;
    } catch (error) {
      if (isCode(error, Code.Unauthenticated)) return null;
      throw error;
    }
  },
  staleTime: Infinity,
});
