import { queryOptions } from "@tanstack/react-query";
import type { Backfill, Rule, RuleProblem } from "../../gen/assay/console/v1/rule_pb";
import { ruleApi } from "../../lib/api";
import type { Ask } from "../../lib/list";
import { timeOf } from "../../lib/time";

export interface RuleFilter {
  readonly pack?: string | undefined;
  readonly enabled?: string | undefined;
  readonly level?: string | undefined;
  readonly text?: string | undefined;
  readonly onlyHit?: boolean;
  /** days that hits are counted over. */
  readonly days: number;
}

/** since is the beginning of the last days, on the hour so that answers keep. */
function since(days: number): Date {
  const hour = 3_600_000;
  return new Date(Math.floor(Date.now() / hour) * hour - days * 24 * hour);
}

export function rulesKey(filter: RuleFilter): readonly unknown[] {
  return ["rules", filter];
}

/** rulesAsk reads the list of rules. */
export function rulesAsk(filter: RuleFilter): Ask<Rule> {
  return async (page, signal) => {
    const answer = await ruleApi.listRules(
      { pack: filter.pack ?? "", enabled: filter.enabled ?? "", level: filter.level ?? "", text: filter.text ?? "", onlyHit: filter.onlyHit ?? false, hitsSince: timeOf(since(filter.days)), page },
      { signal },
    );
    return { rows: answer.rules, next: answer.nextPageToken, total: answer.total };
  };
}

/** ruleQuery is one rule with its source, hits and changes. */
export function ruleQuery(pack: string, id: string, days: number) {
  return queryOptions({
    queryKey: ["rule", pack, id, days],
    queryFn: ({ signal }) => ruleApi.getRule({ pack, id, hitsSince: timeOf(since(days)) }, { signal }),
  });
}

/** packsQuery is every version of every pack, and the set of rules in force. */
export const packsQuery = queryOptions({
  queryKey: ["rule-packs"],
  queryFn: ({ signal }) => ruleApi.listRulePacks({}, { signal }),
});

export function problemsKey(pack: string, version: string): readonly unknown[] {
  return ["rule-problems", pack, version];
}

/** problemsAsk reads what of a pack's version was refused. */
export function problemsAsk(pack: string, version: string): Ask<RuleProblem> {
  return async (page, signal) => {
    const answer = await ruleApi.listRuleProblems({ pack, version, page }, { signal });
    return { rows: answer.problems, next: answer.nextPageToken, total: answer.total };
  };
}

export const backfillsKey = ["backfills"] as const;

/** backfillsAsk reads the runs of rules over the past, newest first. */
export const backfillsAsk: Ask<Backfill> = async (page, signal) => {
  const answer = await ruleApi.listBackfills({ page }, { signal });
  return { rows: answer.backfills, next: answer.nextPageToken, total: answer.total };
};

/** changedRules are the queries to ask again after somebody changed the rules in force. */
export const changedRules: readonly (readonly string[])[] = [["rules"], ["rule"], ["rule-packs"]];
