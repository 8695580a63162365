/** Condition compares one column with a value. */
export interface Condition {
  readonly column: string;
  readonly op: string;
  readonly value: string;
}

/** ops are the comparisons of the API with their words. */
export const ops = [
  ["=", "is"],
  ["!=", "is not"],
  ["contains", "contains"],
  ["starts_with", "starts with"],
  ["<", "is under"],
  ["<=", "is at most"],
  [">", "is over"],
  [">=", "is at least"],
] as const;

/** formatCondition is a condition as it stands in an address: column~op~value. */
export function formatCondition(condition: Condition): string {
  return `${condition.column}~${condition.op}~${condition.value}`;
}

/** parseCondition is its inverse; only the value may hold a tilde. */
export function parseCondition(text: string): Condition | undefined {
  const match = /^([A-Za-z_][A-Za-z0-9_.]{0,99})~([^~]{1,20})~(.*)$/s.exec(text);
  const [, column, op, value] = match ?? [];
  if (column === undefined || op === undefined || value === undefined || !ops.some(([known]) => known === op)) return undefined;
  return { column, op, value };
}
