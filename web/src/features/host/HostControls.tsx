import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useList } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import type { StateName } from "../../lib/state";
import { Choice, StateFilter } from "../../ui/Filter";
import { Empty } from "../../ui/Note";
import { frameworksQuery, verdictAsk, verdictKey } from "../control/queries";
import { VerdictTable } from "../control/VerdictTable";

const route = getRouteApi("/app/hosts/$id");

/** HostControls lists the verdicts on one host with what they rest on. */
export function HostControls({ id }: { readonly id: string }) {
  const { state, check, framework } = route.useSearch();
  const navigate = useNavigate();
  const moment = useAsOf();
  const filter = { host: id, state, check, framework };
  const list = useList({ key: verdictKey(filter, moment), ask: verdictAsk(filter, moment) });
  const known = useQuery(frameworksQuery).data;
  const set = (next: { state?: StateName | undefined; check?: string | undefined; framework?: string | undefined }): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }), resetScroll: false });
  };
  return (
    <VerdictTable
      name={`host-${id}`}
      first="check"
      list={list}
      filters={
        <>
          <StateFilter value={state} onChange={(value) => set({ state: value })} />
          <Choice label="Framework" any="All" value={framework} choices={(known?.frameworks ?? []).map((one) => [one.id, one.title])} onChange={(value) => set({ framework: value })} />
          <Choice label="Check" any="All" value={check} choices={(known?.checks ?? []).map((one) => [one.id, one.id])} onChange={(value) => set({ check: value })} />
        </>
      }
      empty={
        state === undefined && check === undefined && framework === undefined ? (
          <Empty title="No verdict yet">Verdicts appear with the first evaluation after this host has sent telemetry.</Empty>
        ) : (
          <Empty title="No verdict fits this filter">
            <Link to="." search={(old) => ({ at: old.at })} resetScroll={false}>
              Show all verdicts on this host
            </Link>
          </Empty>
        )
      }
    />
  );
}
