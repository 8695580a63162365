import { Link } from "@tanstack/react-router";
import type { AlertAction } from "../../gen/assay/console/v1/alert_pb";
import { Icon, type IconName } from "../../ui/Icon";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import css from "./alert.module.css";
import { actionWords } from "./words";

const icons: Readonly<Record<string, IconName>> = { open: "alerts", reopen: "alerts", acknowledge: "user", assign: "user", close: "done", escalate: "up", overdue: "warn", note: "copy" };

/** AlertTimeline is all that was done, oldest first, each step with its leaf. */
export function AlertTimeline({ of }: { readonly of: readonly AlertAction[] }) {
  return (
    <ol className={css.timeline}>
      {of.map((action, i) => (
        <li key={`${action.position.toString()} ${i}`}>
          <span className={css.dot}>
            <Icon name={icons[action.kind] ?? "clock"} size={12} />
          </span>
          <div>
            <strong>
              <Raw text={actionWords(action.kind, action.detail)} sentence />
            </strong>{" "}
            <span className="dim">
              by {action.by === "" ? "the server" : <Raw text={action.by} />} · <Time at={action.at} />
              {action.position === 0n ? null : (
                <>
                  {" · "}
                  <Link to="/ledger" search={{ position: action.position.toString() }} className="num">
                    leaf {action.position.toLocaleString("en")}
                  </Link>
                </>
              )}
            </span>
            {action.note === "" ? null : (
              <div className={css.said}>
                <Raw text={action.note} sentence />
              </div>
            )}
          </div>
        </li>
      ))}
    </ol>
  );
}
