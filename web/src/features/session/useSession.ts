import { useQuery } from "@tanstack/react-query";
import { sessionQuery } from "./queries";

/** useIsAdmin tells whether to offer what only admins may do; the server decides anyway. */
export function useIsAdmin(): boolean {
  return useQuery(sessionQuery).data?.role === "admin";
}
