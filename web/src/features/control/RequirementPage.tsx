import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import type { GetFrameworkStatusResponse, RequirementStatus } from "../../gen/assay/console/v1/status_pb";
import { useList } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import { stateName, stateWords, vectorOf, type StateName } from "../../lib/state";
import { Evaluation } from "../../ui/Evaluation";
import { Choice, StateFilter, TextFilter } from "../../ui/Filter";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Facts, Page, Section } from "../../ui/Page";
import { StateBar, StateCounts, StateMark } from "../../ui/State";
import { CheckCards } from "./CheckCards";
import css from "./control.module.css";
import { frameworkStatusQuery, verdictAsk, verdictKey } from "./queries";
import { hostsInState, serverFilter } from "./rollup";
import { VerdictTable } from "./VerdictTable";
import { ceilingWords, gradeWords } from "./words";

const route = getRouteApi("/app/controls/$framework/$id");

/** RequirementPage says what a requirement asks, what speaks for it, and how each host stands. */
export function RequirementPage() {
  const { framework, id } = route.useParams();
  const query = useQuery(frameworkStatusQuery(framework, useAsOf()));
  const title = query.data?.framework?.requirements.find((one) => one.id === id)?.title;
  return (
    <Page
      name={`${id} ${title ?? ""}`}
      title={title === undefined ? id : `${id} ${title}`}
      crumbs={
        <>
          Controls /{" "}
          <Link to="/controls/$framework" params={{ framework }}>
            {query.data?.framework?.title ?? framework}
          </Link>
        </>
      }
      lead={<Evaluation of={query.data?.evaluated} />}
    >
      {query.data !== undefined ? <Requirement of={query.data} id={id} /> : query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={12} what="requirement" />}
    </Page>
  );
}

function Requirement({ of, id }: { readonly of: GetFrameworkStatusResponse; readonly id: string }) {
  const requirement = of.framework?.requirements.find((one) => one.id === id);
  const status = of.requirements.find((one) => one.id === id);
  if (requirement === undefined) {
    return <Empty title={`${of.framework?.title ?? "This framework"} has no requirement ${id}`}>The address may be mistyped, or come from another version of the framework.</Empty>;
  }
  const [short, long] = ceilingWords(requirement.ceiling);
  return (
    <>
      <div className={css.top}>
      <Section title="Where it stands">
        <Facts
          of={[
            ["State over the fleet", <StateMark key="state" state={status === undefined ? "unknown" : stateName(status.state)} />],
            ["Hosts by state", requirement.checks.length === 0 ? "No check speaks for it" : <Hosts key="hosts" status={status} />],
            ["Ceiling", `${short}. ${long}`],
            ["Obligation", requirement.obligation === "addressable" ? "Addressable: the reasons may be documented instead" : "Required"],
            ["Grade", gradeWords(status?.grade ?? "")],
            ["Chapter", requirement.chapter === "" ? "–" : requirement.chapter],
          ]}
        />
      </Section>
      {requirement.checks.length === 0 ? null : <CheckCards ids={requirement.checks} summaries={status?.checks ?? []} />}
      </div>
      {requirement.checks.length === 0 ? (
        <Empty title="No check speaks for this requirement">
          <p>{long} Its state stays manual here, and it is counted as such.</p>
        </Empty>
      ) : (
        <Verdicts framework={of.framework?.id ?? ""} id={id} checks={requirement.checks} />
      )}
    </>
  );
}

function Hosts({ status }: { readonly status: RequirementStatus | undefined }) {
  const vector = vectorOf(status?.hosts);
  return (
    <div style={{ display: "grid", gap: 6, maxWidth: 560 }}>
      <StateBar vector={vector} />
      <StateCounts
        vector={vector}
        of="hosts"
        words
        link={(state, className, children) => (
          <Link to="." search={(old) => ({ at: old.at, state })} resetScroll={false} className={className}>
            {children}
          </Link>
        )}
      />
    </div>
  );
}

function Verdicts({ framework, id, checks }: { readonly framework: string; readonly id: string; readonly checks: readonly string[] }) {
  const { state, check, q } = route.useSearch();
  const navigate = useNavigate();
  const moment = useAsOf();
  const filter = serverFilter({ framework, requirement: id, check }, state);
  const whole = state !== undefined || q !== undefined;
  const list = useList({ key: verdictKey(filter, moment), ask: verdictAsk(filter, moment), all: whole });
  const shown = useMemo(() => {
    const part = q?.toLowerCase();
    const rows = hostsInState(list.rows, state).filter((verdict) => part === undefined || verdict.hostName.toLowerCase().includes(part));
    const readAll = async () => hostsInState(await list.readAll(), state).filter((verdict) => part === undefined || verdict.hostName.toLowerCase().includes(part));
    return { ...list, rows, readAll, total: whole ? (list.complete ? rows.length : undefined) : list.total };
  }, [list, state, q, whole]);
  const hosts = new Set(shown.rows.map((verdict) => verdict.hostId)).size;
  const set = (next: { state?: StateName | undefined; check?: string | undefined; q?: string | undefined }): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }), replace: "q" in next, resetScroll: false });
  };
  return (
    <section aria-label="Verdicts by host" className="stack" style={{ gap: 8 }}>
      <h2>
        Verdicts by host
        {state === undefined ? "" : `: hosts in state ${stateWords[state].toLowerCase()}`}
      </h2>
      <VerdictTable
        name={`verdicts-${framework}-${id}`}
        first="host"
        list={shown}
        count={shown.complete ? `${hosts.toLocaleString("en")} hosts, ${shown.rows.length.toLocaleString("en")} verdicts` : undefined}
        filters={
          <>
            <TextFilter label="Host" value={q} onChange={(value) => set({ q: value })} />
            <StateFilter value={state} onChange={(value) => set({ state: value })} />
            {checks.length < 2 ? null : <Choice label="Check" any="All" value={check} choices={checks.map((one) => [one, one])} onChange={(value) => set({ check: value })} />}
          </>
        }
        empty={
          <Empty title={state === undefined ? "No verdict yet" : "No host is in this state"}>
            {state === undefined ? (
              "Verdicts appear once a host in scope has sent telemetry."
            ) : (
              <Link to="." search={(old) => ({ at: old.at })} resetScroll={false}>
                Show hosts in every state
              </Link>
            )}
          </Empty>
        }
      />
    </section>
  );
}
