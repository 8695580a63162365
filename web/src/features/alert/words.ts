import type { AlertLevelClock } from "../../gen/assay/console/v1/alert_pb";
import type { AlertClock } from "../../gen/assay/console/v1/alert_pb";
import { durationWords } from "../../lib/duration";
import { dateOf } from "../../lib/time";

/** closeReasons are the ways an alert ends, with what each says. */
export const closeReasons: readonly (readonly [reason: string, words: string])[] = [
  ["true_positive", "True positive: it was what the rule looks for, and was dealt with"],
  ["benign", "Benign: it happened as the rule says, and it was allowed"],
  ["false_positive", "False positive: the rule matched what it should not"],
  ["duplicate", "Duplicate of another alert"],
  ["not_reproducible", "Not reproducible: nothing more could be found out"],
];

/** reasonWords is a reason in short. */
export function reasonWords(reason: string): string {
  const known = closeReasons.find(([name]) => name === reason);
  return known === undefined ? reason : (known[1].split(":")[0] ?? reason);
}

/** clockWords says where a clock stands at a moment: "due in 2 hours", "overdue by 3 days". */
export function clockWords(clock: AlertClock | undefined, now: Date): string {
  const due = dateOf(clock?.due);
  if (clock === undefined || due === undefined || clock.state === "none") return "no clock";
  const left = due.getTime() - now.getTime();
  switch (clock.state) {
    case "overdue":
      return `overdue by ${durationWords(left)}`;
    case "met":
      return "in time";
    case "late": {
      const met = dateOf(clock.met);
      return met === undefined ? "late" : `late by ${durationWords(met.getTime() - due.getTime())}`;
    }
    default:
      return left > 0 ? `due in ${durationWords(left)}` : `overdue by ${durationWords(left)}`;
  }
}

const actionNames: Readonly<Record<string, string>> = {
  open: "Opened",
  acknowledge: "Acknowledged",
  close: "Closed",
  reopen: "Opened again",
  assign: "Assigned",
  escalate: "Raised",
  note: "Note",
  overdue: "Overdue",
};

/** actionWords says one step of an alert's history. */
export function actionWords(kind: string, detail: string): string {
  const name = actionNames[kind] ?? kind;
  if (kind === "close" && detail !== "") return `${name}: ${reasonWords(detail).toLowerCase()}`;
  if (kind === "assign") return detail === "" ? "Taken from everybody" : `${name} to ${detail}`;
  if (kind === "escalate" && detail !== "") return `${name} to ${detail}`;
  if (kind === "overdue") return `${name} to be ${detail === "acknowledge" ? "acknowledged" : "closed"}`;
  return name;
}

/** spanWords says one time of the policy; undefined where it sets none. */
export const spanWords = (of: AlertLevelClock["closeWithin"]): string | undefined => (of === undefined || of.seconds === 0n ? undefined : durationWords(Number(of.seconds) * 1000));
