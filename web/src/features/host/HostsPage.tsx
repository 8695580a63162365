import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Host } from "../../gen/assay/console/v1/host_pb";
import { useList } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import { vectorOf, vectorWords } from "../../lib/state";
import { dateOf } from "../../lib/time";
import { hostShows } from "../../routes/searches";
import { DataTable, type Column } from "../../ui/DataTable";
import { Evaluation } from "../../ui/Evaluation";
import { Choice, TextFilter } from "../../ui/Filter";
import { Empty } from "../../ui/Note";
import { Page, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { StateBar, StateCounts } from "../../ui/State";
import { Time } from "../../ui/Time";
import { frameworksQuery } from "../control/queries";
import { percent } from "../control/words";
import { CheckHosts } from "./CheckHosts";
import { HostMarks } from "./HostMarks";
import { hostsAsk, hostsKey } from "./queries";

const route = getRouteApi("/app/hosts");

type Show = (typeof hostShows)[number];

const showWords: Readonly<Record<Show, string>> = {
  silent: "Silent",
  simulated: "Simulated",
  findings: "With open findings",
  fail: "With a fail",
  unknown: "With an unknown",
};

// What the API does not filter by is filtered here, over the whole list.
const keeps: Readonly<Record<Show, (host: Host) => boolean>> = {
  silent: (host) => host.silent,
  simulated: (host) => host.simulated,
  findings: (host) => host.openFindings > 0,
  fail: (host) => (host.states?.fail ?? 0) > 0,
  unknown: (host) => (host.states?.unknown ?? 0) > 0,
};

function columnsFor(framework: string | undefined): readonly Column<Host>[] {
  return [
    {
      id: "name",
      header: "Host",
      width: "minmax(12rem, 1.4fr)",
      value: (host) => host.name,
      cell: (host) => (
        <span className="row" style={{ gap: 6 }}>
          <Link to="/hosts/$id" params={{ id: host.id }}>
            <Raw text={host.name} />
          </Link>
          <HostMarks of={host} />
        </span>
      ),
    },
    {
      id: "states",
      header: "Checks by state",
      width: "minmax(14rem, 1.5fr)",
      value: (host) => vectorWords(vectorOf(host.states)),
      cell: (host) => (
        <div style={{ display: "grid", gap: 4 }}>
          <StateBar vector={vectorOf(host.states)} thin />
          <StateCounts
            vector={vectorOf(host.states)}
            of="checks"
            link={(state, className, children) => (
              <Link to="/hosts/$id" params={{ id: host.id }} search={{ state, framework }} className={className}>
                {children}
              </Link>
            )}
          />
        </div>
      ),
    },
    {
      id: "coverage",
      header: "Covered, 24 h",
      width: "minmax(6.5rem, max-content)",
      end: true,
      value: (host) => (host.hasCoverage ? host.coverageDay : undefined),
      cell: (host) =>
        host.hasCoverage ? (
          <Link to="/hosts/$id" params={{ id: host.id }} search={{ tab: "coverage" }} className="num">
            {percent(host.coverageDay)}
          </Link>
        ) : (
          <span className="dim" title="No coverage is kept for imported logs">
            –
          </span>
        ),
    },
    {
      id: "findings",
      header: "Findings",
      width: "minmax(5rem, max-content)",
      end: true,
      value: (host) => host.openFindings,
      cell: (host) => (
        <Link to="/findings" search={{ status: "open", host: host.id }} className="num">
          {host.openFindings}
          <span className="sr"> open findings</span>
        </Link>
      ),
    },
    { id: "seen", header: "Last seen", width: "minmax(7rem, max-content)", value: (host) => dateOf(host.lastSeenAt)?.toISOString(), cell: (host) => <Time at={host.lastSeenAt} ago /> },
    { id: "os", header: "System", width: "minmax(10rem, 1.2fr)", value: (host) => host.osVersion, cell: (host) => <Raw text={host.osVersion} line /> },
    { id: "domain", header: "Domain", width: "minmax(8rem, 1fr)", off: true, value: (host) => host.domain, cell: (host) => <Raw text={host.domain} line /> },
    { id: "kind", header: "Kind", width: "minmax(6rem, max-content)", off: true, value: (host) => host.kind },
    { id: "silent", header: "Silent", width: "minmax(4rem, max-content)", off: true, value: (host) => (host.silent ? "silent" : "") },
    { id: "simulated", header: "Simulated", width: "minmax(6rem, max-content)", off: true, value: (host) => (host.simulated ? "simulated" : "") },
    { id: "tags", header: "Tags", width: "minmax(8rem, 1fr)", off: true, value: (host) => host.tags.join(" "), cell: (host) => <Tags of={host.tags} /> },
    { id: "agent", header: "Agent", width: "minmax(5rem, max-content)", off: true, value: (host) => host.agentVersion },
    { id: "id", header: "Id", width: "minmax(19rem, max-content)", off: true, value: (host) => host.id, cell: (host) => <Raw text={host.id} line /> },
  ];
}

/** Tags lists a host's tags. */
export function Tags({ of }: { readonly of: readonly string[] }) {
  return (
    <span className="row" style={{ gap: 4 }}>
      {of.map((tag) => (
        <Tag key={tag}>
          <Raw text={tag} />
        </Tag>
      ))}
    </span>
  );
}

/** HostsPage lists hosts; with a check in its address, the hosts by that check's state. */
export function HostsPage() {
  const { check } = route.useSearch();
  return check === undefined ? <Hosts /> : <CheckHosts check={check} />;
}

function Hosts() {
  const { name, kind, framework, show } = route.useSearch();
  const moment = useAsOf();
  const navigate = useNavigate();
  const filter = { name, kind, framework };
  const list = useList({ key: hostsKey(filter, moment), ask: hostsAsk(filter, moment), keep: show === undefined ? undefined : keeps[show] });
  const frameworks = useQuery(frameworksQuery).data?.frameworks ?? [];
  const columns = useMemo(() => columnsFor(framework), [framework]);
  const filtered = name !== undefined || kind !== undefined || show !== undefined;
  const set = (next: Record<string, string | undefined>): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }), replace: "name" in next });
  };
  return (
    <Page name="Hosts" title="Hosts" lead={<Evaluation of={list.evaluated} />}>
      <DataTable
        name="hosts"
        label="Hosts"
        main
        columns={columns}
        list={list}
        rowKey={(host) => host.id}
        filters={
          <>
            <TextFilter label="Name" value={name} onChange={(value) => set({ name: value })} />
            <Choice
              label="Kind"
              any="Any"
              value={kind}
              choices={[
                ["enrolled", "Enrolled"],
                ["imported", "Imported"],
              ]}
              onChange={(value) => set({ kind: value })}
            />
            <Choice label="Only" any="All" value={show} choices={hostShows.map((one) => [one, showWords[one]])} onChange={(value) => set({ show: value })} />
            <Choice label="States of" any="All checks" value={framework} choices={frameworks.map((one) => [one.id, one.title])} onChange={(value) => set({ framework: value })} />
          </>
        }
        empty={
          filtered ? (
            <Empty title="No host fits this filter">
              <Link to="/hosts" search={{}}>
                Show all hosts
              </Link>
            </Empty>
          ) : (
            <Empty title="No host has been seen yet">
              <p>
                A host appears here once its agent has enrolled, or once its exported logs were imported. Create an enrolment token under <Link to="/agents">Agents</Link>: it shows the command to run.
              </p>
            </Empty>
          )
        }
      />
    </Page>
  );
}
