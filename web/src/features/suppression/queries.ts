import type { Suppression } from "../../gen/assay/console/v1/suppression_pb";
import { suppressionApi } from "../../lib/api";
import type { Ask } from "../../lib/list";

export interface SuppressionFilter {
  /** state is "active", "ended" or undefined for both. */
  readonly state?: string | undefined;
  readonly pack?: string | undefined;
  readonly rule?: string | undefined;
  readonly host?: string | undefined;
}

export function suppressionsKey(filter: SuppressionFilter): readonly unknown[] {
  return ["suppressions", filter];
}

/** suppressionsAsk reads the list of suppressions. */
export function suppressionsAsk(filter: SuppressionFilter): Ask<Suppression> {
  return async (page, signal) => {
    const answer = await suppressionApi.listSuppressions({ state: filter.state ?? "", pack: filter.pack ?? "", rule: filter.rule ?? "", host: filter.host ?? "", page }, { signal });
    return { rows: answer.suppressions, next: answer.nextPageToken, total: answer.total };
  };
}
