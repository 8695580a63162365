import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { GetHostResponse } from "../../gen/assay/console/v1/host_pb";
import { useAsOf } from "../../lib/moment";
import { vectorOf } from "../../lib/state";
import { visibleText } from "../../lib/visible";
import { hostTabs, type HostTab } from "../../routes/searches";
import { CopyIcon } from "../../ui/Copy";
import { Evaluation } from "../../ui/Evaluation";
import { Failure, Loading } from "../../ui/Note";
import { Facts, Page, Section } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { StateBar, StateCounts } from "../../ui/State";
import tabs from "../../ui/tabs.module.css";
import { Time } from "../../ui/Time";
import { percent } from "../control/words";
import { FindingTable } from "../finding/FindingTable";
import { HostChanges } from "./HostChanges";
import { HostControls } from "./HostControls";
import { HostMarks } from "./HostMarks";
import { Tags } from "./HostsPage";
import { HostStreams } from "./HostStreams";
import { CoverageTab } from "./coverage/CoverageTab";
import css from "./host.module.css";
import { hostQuery } from "./queries";

const route = getRouteApi("/app/hosts/$id");

const tabWords: Readonly<Record<HostTab, string>> = { controls: "Controls", coverage: "Coverage", findings: "Findings", streams: "Streams", changes: "Changes" };

/** HostPage is all that is known of one host. */
export function HostPage() {
  const { id } = route.useParams();
  const query = useQuery(hostQuery(id, useAsOf()));
  const host = query.data?.host;
  return (
    <Page
      name={host === undefined ? "Host" : visibleText(host.name)}
      crumbs={
        <Link to="/hosts" search={{}}>
          Hosts
        </Link>
      }
      title={
        host === undefined ? (
          "Host"
        ) : (
          <>
            <Raw text={host.name} />
            <HostMarks of={host} />
          </>
        )
      }
      lead={<Evaluation of={query.data?.evaluated} />}
    >
      {query.data !== undefined ? <Host of={query.data} /> : query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={12} what="host" />}
    </Page>
  );
}

function Host({ of }: { readonly of: GetHostResponse }) {
  const { tab = "controls" } = route.useSearch();
  const host = of.host;
  if (host === undefined) return null;
  const vector = vectorOf(host.states);
  return (
    <>
      <div className={css.top}>
        <Section title="Identity">
          <Facts
            of={[
              [
                "Id",
                <span key="id" className="row" style={{ gap: 2 }}>
                  <Raw text={host.id} />
                  <CopyIcon value={host.id} what="the host id" />
                </span>,
              ],
              ["Domain", host.domain === "" ? "–" : <Raw key="domain" text={host.domain} />],
              ["System", host.osVersion === "" ? "–" : <Raw key="os" text={host.osVersion} />],
              ["First seen", <Time key="first" at={host.firstSeenAt} />],
              ["Last seen", <Time key="last" at={host.lastSeenAt} />],
              ["Agent", host.agentVersion === "" ? "none: imported" : host.agentVersion],
              ["Tags", host.tags.length === 0 ? "none" : <Tags key="tags" of={host.tags} />],
              ...(host.alsoKnownAs.length === 0
                ? []
                : [
                    [
                      "Likely the same as",
                      host.alsoKnownAs.map((other) => (
                        <Link key={other.id} to="/hosts/$id" params={{ id: other.id }}>
                          <Raw text={other.name} />
                        </Link>
                      )),
                    ] as const,
                  ]),
            ]}
          />
        </Section>
        <Section title="Standing">
          <Facts
            of={[
              [
                "Checks by state",
                <div key="states" style={{ display: "grid", gap: 6 }}>
                  <StateBar vector={vector} />
                  <StateCounts
                    vector={vector}
                    of="checks"
                    words
                    link={(state, className, children) => (
                      <Link to="." search={(old) => ({ at: old.at, state })} resetScroll={false} className={className}>
                        {children}
                      </Link>
                    )}
                  />
                </div>,
              ],
              [
                "Covered, 24 hours",
                host.hasCoverage ? (
                  <Link key="coverage" to="." search={(old) => ({ at: old.at, tab: "coverage" as const })} className="num">
                    {percent(host.coverageDay)}
                  </Link>
                ) : (
                  "not kept for imported logs"
                ),
              ],
              [
                "Open findings",
                <Link key="findings" to="." search={(old) => ({ at: old.at, tab: "findings" as const })} className="num">
                  {host.openFindings}
                </Link>,
              ],
              ["Events", <Link key="events" to="/events" search={{ host: host.id }}>Look through this host’s events</Link>],
            ]}
          />
        </Section>
      </div>
      <nav aria-label="Parts of this host" className={tabs.tabs}>
        {hostTabs.map((name) => (
          <Link key={name} to="." search={(old) => ({ at: old.at, tab: name === "controls" ? undefined : name })} resetScroll={false} activeOptions={{ includeSearch: true, explicitUndefined: true }}>
            {tabWords[name]}
          </Link>
        ))}
      </nav>
      {tab === "controls" ? <HostControls id={host.id} /> : null}
      {tab === "coverage" ? <CoverageTab host={host} /> : null}
      {tab === "findings" ? <FindingTable filter={{ host: host.id }} name={`findings-${host.id}`} withHost={false} /> : null}
      {tab === "streams" ? <HostStreams of={of.streams} /> : null}
      {tab === "changes" ? <HostChanges id={host.id} /> : null}
    </>
  );
}
