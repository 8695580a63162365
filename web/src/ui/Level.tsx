import { levelWords, parseLevel, type LevelName } from "../lib/level";
import { Icon, type IconName } from "./Icon";
import css from "./state.module.css";

const icons: Readonly<Record<LevelName, IconName>> = { critical: "warn", high: "up", medium: "right", low: "down", informational: "minus" };
const looks: Readonly<Record<LevelName, string | undefined>> = { critical: css.critical, high: css.fail, medium: css.unknown, low: css.manual, informational: css.not_applicable };

/** LevelMark says a level by icon, word and colour. */
export function LevelMark({ level }: { readonly level: string }) {
  const name = parseLevel(level);
  if (name === undefined) return <span className="dim">{level === "" ? "no level" : level}</span>;
  return (
    <span className={`${css.mark} ${looks[name] ?? ""}`}>
      <Icon name={icons[name]} size={12} />
      {levelWords[name]}
    </span>
  );
}
