import type { CoverageLane, CoverageRange } from "../../../gen/assay/console/v1/host_pb";
import type { EventRef } from "../../../gen/assay/console/v1/common_pb";
import { durationWords } from "../../../lib/duration";
import { dateOf, utcText } from "../../../lib/time";

/** RangeKind is how a stretch of time was observed. */
export type RangeKind = "live" | "recovered" | "explained" | "unexplained" | "pending";

export const rangeWords: Readonly<Record<RangeKind, string>> = {
  live: "Live",
  recovered: "Recovered",
  explained: "Gap, explained",
  unexplained: "Gap, unexplained",
  pending: "Pending",
};

/** kindOf reads a range's state and mode; a strange state is no cover. */
export function kindOf(range: Pick<CoverageRange, "state" | "mode">): RangeKind {
  switch (range.state) {
    case "covered":
      return range.mode === "live" ? "live" : "recovered";
    case "explained_off":
      return "explained";
    case "pending":
      return "pending";
    default:
      return "unexplained";
  }
}

/** Stretch is a range as it is drawn: cut to the window, in milliseconds. */
export interface Stretch {
  readonly kind: RangeKind;
  readonly from: number;
  readonly to: number;
  readonly reason: string;
  readonly mode: string;
  readonly evidence: EventRef | undefined;
}

/** Window is what the timeline shows, in milliseconds. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** stretches cuts a lane's ranges to a window, in order of time. */
export function stretches(lane: Pick<CoverageLane, "ranges">, window: Window): Stretch[] {
  return lane.ranges
    .flatMap((range) => {
      const from = dateOf(range.from)?.getTime();
      const to = dateOf(range.to)?.getTime() ?? window.to;
      if (from === undefined || to <= window.from || from >= window.to || to <= from) return [];
      return [{ kind: kindOf(range), from: Math.max(from, window.from), to: Math.min(to, window.to), reason: range.reason, mode: range.mode, evidence: range.evidence }];
    })
    .sort((a, b) => a.from - b.from);
}

/** stretchWords says a stretch in one line. */
export function stretchWords(stretch: Stretch): string {
  const times = `${utcText(new Date(stretch.from))} to ${utcText(new Date(stretch.to))} UTC`;
  return `${rangeWords[stretch.kind]}, ${times}, ${durationWords(stretch.to - stretch.from)}${stretch.reason === "" ? "" : `: ${stretch.reason}`}`;
}

const shortest = 60_000;
const longest = 400 * 86_400_000;

/** zoom makes a window narrower (factor under 1) or wider around a point of it, 0 to 1. */
export function zoom(window: Window, factor: number, around = 0.5): Window {
  const span = window.to - window.from;
  const next = Math.min(longest, Math.max(shortest, Math.round(span * factor)));
  const from = Math.round(window.from + (span - next) * around);
  return { from, to: from + next };
}

/** pan moves a window by a share of its width. */
export function pan(window: Window, share: number): Window {
  const by = Math.round((window.to - window.from) * share);
  return { from: window.from + by, to: window.to + by };
}

const steps = [60_000, 300_000, 900_000, 3_600_000, 3 * 3_600_000, 6 * 3_600_000, 12 * 3_600_000, 86_400_000, 2 * 86_400_000, 7 * 86_400_000, 14 * 86_400_000, 30 * 86_400_000, 90 * 86_400_000];

/** ticks chooses round UTC times, at most `most` of them. */
export function ticks(window: Window, most: number): number[] {
  const span = window.to - window.from;
  const step = steps.find((one) => span / one <= most) ?? span;
  const out: number[] = [];
  for (let at = Math.ceil(window.from / step) * step; at <= window.to && out.length <= most; at += step) out.push(at);
  return out;
}
