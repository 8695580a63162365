const units: readonly (readonly [letter: string, seconds: number])[] = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
];

/** spanText writes seconds as a field takes them: "7d", "8h", "1h 30m"; nothing for no time. */
export function spanText(seconds: bigint | undefined): string {
  let rest = Number(seconds ?? 0n);
  const parts: string[] = [];
  for (const [letter, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${letter}`);
  }
  return parts.join(" ");
}

/** spanOf reads what spanText writes: undefined for no time, null for what is none. */
export function spanOf(text: string): bigint | undefined | null {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === "") return undefined;
  if (!/^(\d{1,6}\s*[dhm]\s*)+$/.test(trimmed)) return null;
  let seconds = 0;
  for (const [, count, letter] of trimmed.matchAll(/(\d+)\s*([dhm])/g)) seconds += Number(count) * (units.find(([one]) => one === letter)?.[1] ?? 0);
  return seconds === 0 ? null : BigInt(seconds);
}
