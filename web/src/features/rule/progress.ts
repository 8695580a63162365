import type { Backfill } from "../../gen/assay/console/v1/rule_pb";

/** progress is the share of a backfill's positions that were read, 0 to 1. */
export function progress(of: Pick<Backfill, "from" | "to" | "position" | "state">): number {
  if (of.state === "done") return 1;
  const all = Number(of.to - of.from);
  if (all <= 0) return 0;
  return Math.min(1, Math.max(0, Number(of.position - of.from) / all));
}
