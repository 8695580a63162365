import { useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { NOW, parseMoment, toAsOf, type Moment } from "./asof";

/** useMoment is the "as of" of this address. */
export function useMoment(): Moment {
  const { at } = useSearch({ strict: false });
  return useMemo(() => parseMoment(at) ?? NOW, [at]);
}

/** useAsOf is the same as requests take it, with a key for their answers. */
export function useAsOf(): { readonly asOf: ReturnType<typeof toAsOf>; readonly key: string } {
  const { at } = useSearch({ strict: false });
  return useMemo(() => ({ asOf: toAsOf(parseMoment(at) ?? NOW), key: at ?? "now" }), [at]);
}
