import { Link } from "@tanstack/react-router";
import { useMoment } from "../../lib/moment";
import { Icon } from "../../ui/Icon";
import { Time } from "../../ui/Time";
import css from "./shell.module.css";

/** PastBanner marks every page that does not speak of now. */
export function PastBanner() {
  const moment = useMoment();
  if (moment.kind === "now") return <div className="no-print" />;
  return (
    <div className={css.banner} role="status">
      <Icon name="clock" />
      {moment.kind === "instant" ? (
        <span>
          You are looking at the past: verdicts as of <Time at={moment.at} />, with all that is known of it today.
        </span>
      ) : (
        <span>You are looking at the past: what was known when the ledger held {moment.size.toLocaleString("en")} leaves.</span>
      )}
      <Link to="." search={(old) => ({ ...old, at: undefined })} className="no-print">
        Back to now
      </Link>
    </div>
  );
}
