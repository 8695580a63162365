import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { GetOverviewResponse } from "../../gen/assay/console/v1/status_pb";
import { dateOf } from "../../lib/time";
import { Icon } from "../../ui/Icon";
import { Time } from "../../ui/Time";
import css from "./overview.module.css";

/** Tiles are the counts of the first screen, each a link to what it counts. */
export function Tiles({ of }: { readonly of: GetOverviewResponse }) {
  const instant = dateOf(of.evaluated?.instant) ?? new Date();
  const dayBefore = new Date(instant.getTime() - 86_400_000).toISOString();
  const hosts = of.hosts.toLocaleString("en");
  return (
    <dl className={css.tiles}>
      <Tile name="Hosts" value={<Link to="/hosts">{hosts}</Link>}>
        <Link to="/hosts" search={{ kind: "imported" }}>
          {of.hostsImported} imported
        </Link>
        ,{" "}
        <Link to="/hosts" search={{ show: "simulated" }}>
          {of.hostsSimulated} simulated
        </Link>
      </Tile>
      <Tile name="Silent hosts" value={<Link to="/hosts" search={{ show: "silent" }}>{of.silentHosts.toLocaleString("en")}</Link>}>
        of {hosts}; their verdicts are unknown
      </Tile>
      <Tile name="Open findings" value={<Link to="/findings" search={{ status: "open" }}>{of.openFindings.toLocaleString("en")}</Link>}>
        open until resolved or closed with cause
      </Tile>
      <Tile name="Events in 24 hours" value={<Link to="/events" search={{ from: dayBefore, to: instant.toISOString() }}>{of.eventsLastDay.toLocaleString("en")}</Link>}>
        as received, all tables
      </Tile>
      <Tile name="Ledger" value={<Link to="/ledger">{of.ledgerSize.toLocaleString("en")}</Link>}>
        {of.ledgerVerifiedAt === undefined ? (
          <>leaves; not yet verified</>
        ) : of.ledgerGood ? (
          <span style={{ color: "var(--pass)" }}>
            <Icon name="done" size={11} /> verified <Time at={of.ledgerVerifiedAt} ago />
          </span>
        ) : (
          <span style={{ color: "var(--fail)" }}>
            <Icon name="fail" size={11} /> verification failed <Time at={of.ledgerVerifiedAt} ago />
          </span>
        )}
      </Tile>
    </dl>
  );
}

function Tile({ name, value, children }: { readonly name: string; readonly value: ReactNode; readonly children: ReactNode }) {
  return (
    <div className={css.tile}>
      <dt>{name}</dt>
      <dd className={`${css.big} num`}>{value}</dd>
      <dd className={css.small}>{children}</dd>
    </div>
  );
}
