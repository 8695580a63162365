import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useList } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import { stateWords } from "../../lib/state";
import { Evaluation } from "../../ui/Evaluation";
import { Choice, StateFilter } from "../../ui/Filter";
import { Empty } from "../../ui/Note";
import { Facts, Page, Section, Tag } from "../../ui/Page";
import { frameworksQuery, verdictAsk, verdictKey } from "../control/queries";
import { VerdictTable } from "../control/VerdictTable";

const route = getRouteApi("/app/hosts");

/** CheckHosts lists the hosts by their verdict for one check. */
export function CheckHosts({ check }: { readonly check: string }) {
  const { state } = route.useSearch();
  const navigate = useNavigate();
  const moment = useAsOf();
  const filter = { check, state };
  const list = useList({ key: verdictKey(filter, moment), ask: verdictAsk(filter, moment) });
  const known = useQuery(frameworksQuery).data;
  const about = known?.checks.find((one) => one.id === check);
  const title = about?.title ?? check;
  return (
    <Page
      name={`Hosts: ${title}`}
      title={
        <>
          {title} <Tag>{check}</Tag>
        </>
      }
      crumbs={
        <>
          <Link to="/hosts" search={{}}>
            Hosts
          </Link>{" "}
          / by check{state === undefined ? "" : ` / ${stateWords[state]}`}
        </>
      }
      lead={<Evaluation of={list.evaluated} />}
    >
      {about === undefined ? null : (
        <Section title="What the check asks">
          <Facts
            of={[
              ["Fails on", about.violation],
              ["Needs to see", about.requires.length === 0 ? "nothing further" : about.requires.join(", ")],
              ["What would turn it", about.remedy],
            ]}
          />
        </Section>
      )}
      <VerdictTable
        name={`hosts-${check}`}
        first="host"
        one
        list={list}
        filters={
          <>
            <StateFilter value={state} onChange={(value) => void navigate({ to: ".", search: (old) => ({ ...old, state: value }) })} />
            <Choice label="Check" any="All hosts" value={check} choices={(known?.checks ?? [{ id: check }]).map((one) => [one.id, one.id])} onChange={(value) => void navigate({ to: "/hosts", search: { check: value, state } })} />
          </>
        }
        empty={
          <Empty title={state === undefined ? "No verdict yet" : `No host is in the state ${stateWords[state].toLowerCase()} for this check`}>
            {state === undefined ? (
              "Verdicts appear once a host in scope has sent telemetry."
            ) : (
              <Link to="/hosts" search={{ check }}>
                Show hosts in every state
              </Link>
            )}
          </Empty>
        }
      />
    </Page>
  );
}
