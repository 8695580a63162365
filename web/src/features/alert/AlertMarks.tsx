import type { Alert, AlertClock } from "../../gen/assay/console/v1/alert_pb";
import { dateOf, utcText } from "../../lib/time";
import { Icon, type IconName } from "../../ui/Icon";
import css from "../../ui/state.module.css";
import { clockWords } from "./words";

const states: Readonly<Record<string, readonly [icon: IconName, look: string | undefined, word: string]>> = {
  open: ["alerts", css.fail, "Open"],
  acknowledged: ["user", css.manual, "Acknowledged"],
  closed: ["done", css.not_applicable, "Closed"],
};

/** AlertState says where an alert stands by icon, word and colour. */
export function AlertState({ state }: { readonly state: string }) {
  const [icon, look, word] = states[state] ?? ["unknown", css.unknown, state];
  return (
    <span className={`${css.mark} ${look ?? ""}`}>
      <Icon name={icon} size={12} />
      {word}
    </span>
  );
}

/** isLate tells whether a clock is past its time. */
function isLate(clock: AlertClock, now: Date): boolean {
  const due = dateOf(clock.due);
  return clock.state === "overdue" || clock.state === "late" || (clock.state === "running" && due !== undefined && due < now);
}

/** Clock says where one of an alert's clocks stands; short says it in one unit of time. */
export function Clock({ of, short = false }: { readonly of: AlertClock | undefined; readonly short?: boolean }) {
  const now = new Date();
  const due = dateOf(of?.due);
  const words = clockWords(of, now);
  if (of === undefined || due === undefined || of.state === "none") return <span className="dim">{words}</span>;
  const late = isLate(of, now);
  const look = late ? css.fail : of.state === "met" ? css.pass : css.unknown;
  return (
    <span className={`${css.mark} ${look ?? ""}`} title={`due ${utcText(due)} UTC`}>
      <Icon name={late ? "warn" : of.state === "met" ? "done" : "clock"} size={12} />
      {short ? firstUnit(words) : words}
    </span>
  );
}

/** firstUnit drops the smaller of two units of time: "due in 2 days 3 hours". */
function firstUnit(words: string): string {
  return words.replace(/(\d+ [a-z]+) \d+ [a-z]+$/, "$1");
}

/** NextClock is the clock that runs out next, with what it is for. */
export function NextClock({ of }: { readonly of: Alert }) {
  if (of.state === "closed") return <Clock short of={of.close} />;
  const acknowledging = of.state === "open" && of.acknowledge?.due !== undefined;
  return (
    <span className={css.chips}>
      <Clock short of={acknowledging ? of.acknowledge : of.close} />
      <span className="dim">{acknowledging ? "to acknowledge" : of.close?.due === undefined ? "" : "to close"}</span>
    </span>
  );
}
