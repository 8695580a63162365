import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { AlertLevelClock } from "../../gen/assay/console/v1/alert_pb";
import { levelOrder } from "../../lib/level";
import { useAsOf } from "../../lib/moment";
import { LevelMark } from "../../ui/Level";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Section } from "../../ui/Page";
import { Icon } from "../../ui/Icon";
import state from "../../ui/state.module.css";
import css from "./alert.module.css";
import { alertCountsQuery, alertPolicyQuery } from "./queries";
import { spanWords } from "./words";

/** withinWords says the clocks of a level: "acknowledge in 15 minutes, close in 1 day". */
function withinWords(clock: AlertLevelClock | undefined): string {
  const acknowledge = spanWords(clock?.acknowledgeWithin);
  const close = spanWords(clock?.closeWithin);
  const parts = [acknowledge === undefined ? undefined : `acknowledge in ${acknowledge}`, close === undefined ? undefined : `close in ${close}`].filter((part) => part !== undefined);
  return parts.length === 0 ? "no clock" : parts.join(", ");
}

/** AlertLevels shows the alerts that are not closed by level, each against its clocks. */
export function AlertLevels() {
  const moment = useAsOf();
  const counts = useQuery(alertCountsQuery(moment));
  const policy = useQuery(alertPolicyQuery).data?.policy;
  const of = counts.data;
  const total = (of?.open ?? 0) + (of?.acknowledged ?? 0);
  return (
    <Section
      title="Alerts by level, against their clocks"
      aside={
        of === undefined ? undefined : (
          <>
            <Link to="/alerts" search={{ state: "open" }}>{of.open.toLocaleString("en")} open</Link>,{" "}
            <Link to="/alerts" search={{ state: "acknowledged" }}>{of.acknowledged.toLocaleString("en")} acknowledged</Link>
          </>
        )
      }
    >
      {of === undefined ? (
        counts.isError ? (
          <Failure error={counts.error} again={() => void counts.refetch()} />
        ) : (
          <Loading lines={4} what="alerts" />
        )
      ) : total === 0 ? (
        <Empty title="No alert is open">
          <p>
            An alert opens when an enabled rule matches. <Link to="/rules">Look which rules are enabled</Link>.
          </p>
        </Empty>
      ) : (
        <ul className={css.levels}>
          {levelOrder.map((level) => {
            const { count = 0, overdue = 0 } = of.levels.find((one) => one.level === level) ?? {};
            if (count === 0) return null;
            return (
              <li key={level}>
                <LevelMark level={level} />
                <Link to="/alerts" search={{ level }} className="num">
                  {count.toLocaleString("en")}
                  <span className="sr"> alerts not closed</span>
                </Link>
                <span className="dim">{withinWords(policy?.clocks.find((one) => one.level === level))}</span>
                {overdue === 0 ? (
                  <span className="dim">none overdue</span>
                ) : (
                  <Link to="/alerts" search={{ level, overdue: "yes" }} className={`${state.mark} ${state.fail}`}>
                    <Icon name="warn" size={12} />
                    {overdue.toLocaleString("en")} overdue
                  </Link>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Section>
  );
}
