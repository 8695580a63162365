const units: readonly (readonly [name: string, milliseconds: number])[] = [
  ["year", 365 * 86_400_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];

/**
 * durationWords says a span in at most two neighbouring units: "3 days 4
 * hours", "12 minutes". Spans under a second are "under a second"; the sign is
 * not said.
 */
export function durationWords(milliseconds: number): string {
  let rest = Math.floor(Math.abs(milliseconds) / 1000) * 1000;
  if (!Number.isFinite(rest)) return "unknown";
  if (rest === 0) return "under a second";
  const parts: string[] = [];
  for (const [name, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}${count === 1 ? "" : "s"}`);
    // The second unit must be the first one's neighbour: "1 day 3 seconds" says too much.
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** agoWords places a time beside now: "3 hours ago", "in 2 days". */
export function agoWords(then: Date, now: Date): string {
  const span = now.getTime() - then.getTime();
  if (Math.abs(span) < 1000) return "just now";
  const words = durationWords(span).split(" ").slice(0, 2).join(" ");
  return span >= 0 ? `${words} ago` : `in ${words}`;
}
