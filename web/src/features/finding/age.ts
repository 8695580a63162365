import type { FindingAge } from "../../routes/searches";

const hour = 3_600_000;
const day = 24 * hour;

/** ageBounds is an age's span in milliseconds: at least the first, under the second. */
export const ageBounds: Readonly<Record<FindingAge, readonly [least: number, under: number]>> = {
  "1h": [-Infinity, hour],
  "1d": [hour, day],
  "7d": [day, 7 * day],
  "30d": [7 * day, 30 * day],
  older: [30 * day, Infinity],
};

export const ageWords: Readonly<Record<FindingAge, string>> = {
  "1h": "Under 1 hour",
  "1d": "1 hour to 1 day",
  "7d": "1 to 7 days",
  "30d": "7 to 30 days",
  older: "Over 30 days",
};

/** hasAge tells whether a finding opened then is of this age at a moment. */
export function hasAge(opened: Date, at: Date, age: FindingAge): boolean {
  const span = at.getTime() - opened.getTime();
  const [least, under] = ageBounds[age];
  return span >= least && span < under;
}
