import { Icon } from "../../ui/Icon";
import css from "../../ui/state.module.css";

/** Enabled says by icon, word and colour whether a rule or a target is on. */
export function Enabled({ on }: { readonly on: boolean }) {
  return (
    <span className={`${css.mark} ${on ? css.pass : css.not_applicable}`}>
      <Icon name={on ? "done" : "minus"} size={12} />
      {on ? "Enabled" : "Disabled"}
    </span>
  );
}

const looks: Readonly<Record<string, string | undefined>> = { running: css.manual, done: css.pass, cancelled: css.not_applicable, failed: css.fail };
const icons = { running: "clock", done: "done", cancelled: "close", failed: "warn" } as const;

/** BackfillState says where a run over the past stands. */
export function BackfillState({ state }: { readonly state: string }) {
  const name = state === "running" || state === "done" || state === "cancelled" || state === "failed" ? state : undefined;
  return (
    <span className={`${css.mark} ${looks[state] ?? css.unknown ?? ""}`}>
      <Icon name={name === undefined ? "unknown" : icons[name]} size={12} />
      {state.charAt(0).toUpperCase() + state.slice(1)}
    </span>
  );
}
