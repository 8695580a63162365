import type { SuppressionScope } from "../../gen/assay/console/v1/suppression_pb";

/** scopeWords says in one line what a suppression covers. */
export function scopeWords(scope: Pick<SuppressionScope, "pack" | "rule" | "host" | "tag"> & { readonly conditions: readonly { field: string; value: string }[] }, ruleTitle: string, hostName: string): string {
  const parts = [scope.rule === "" ? (scope.pack === "" ? "any rule" : `any rule of ${scope.pack}`) : ruleTitle === "" ? scope.rule : ruleTitle];
  if (scope.host !== "") parts.push(`on ${hostName === "" ? scope.host : hostName}`);
  if (scope.tag !== "") parts.push(`on hosts tagged ${scope.tag}`);
  if (scope.conditions.length > 0) parts.push(`where ${scope.conditions.map((one) => `${one.field} is ${one.value}`).join(" and ")}`);
  return parts.join(" ");
}

/** uniqueConditions drops what is named twice: fields compare without case. */
export function uniqueConditions<T extends { readonly field: string; readonly value: string }>(list: readonly T[]): T[] {
  const seen = new Set<string>();
  return list.filter((one) => {
    const name = `${one.field.toLowerCase()}\u0000${one.value.toLowerCase()}`;
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
}
