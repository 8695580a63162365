import type { Verdict } from "../../gen/assay/console/v1/status_pb";
import { rollUp, stateName, type StateName } from "../../lib/state";
import type { VerdictFilter } from "./queries";

/**
 * serverFilter is what the API can be asked for, given that hosts are filtered
 * by their state for a whole requirement. A host fails where any verdict fails,
 * so only "fail" (or a single check) narrows the question; for the other states
 * a host's other verdicts must be known.
 */
export function serverFilter(filter: VerdictFilter, state: StateName | undefined): VerdictFilter {
  return state === "fail" || (state !== undefined && filter.check !== undefined) ? { ...filter, state } : filter;
}

/**
 * hostsInState keeps the verdicts that put their host into a state: hosts are
 * counted by the worst of their verdicts, and a number must lead to just those.
 */
export function hostsInState(verdicts: readonly Verdict[], state: StateName | undefined): readonly Verdict[] {
  if (state === undefined) return verdicts;
  const states = new Map<string, StateName[]>();
  for (const verdict of verdicts) {
    const known = states.get(verdict.hostId);
    if (known === undefined) states.set(verdict.hostId, [stateName(verdict.state)]);
    else known.push(stateName(verdict.state));
  }
  return verdicts.filter((verdict) => stateName(verdict.state) === state && rollUp(states.get(verdict.hostId) ?? []) === state);
}
