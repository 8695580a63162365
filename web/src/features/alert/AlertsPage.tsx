import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { levelChoices, levelChoiceWords, levelsOf } from "../../lib/level";
import { useList } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import { oneOf } from "../../lib/search";
import { alertOrders, alertShows } from "../../routes/searches";
import { Choice, TextFilter } from "../../ui/Filter";
import { Icon } from "../../ui/Icon";
import { Empty } from "../../ui/Note";
import { Page } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { isTyping } from "../../ui/useTableKeys";
import { sessionQuery } from "../session/queries";
import { useIsAdmin } from "../session/useSession";
import css from "./alert.module.css";
import { actWords, AlertDialog, type AlertAct } from "./AlertActions";
import { AlertTable } from "./AlertTable";
import { alertsAsk, alertsKey, unclosed } from "./queries";

const route = getRouteApi("/app/alerts");

/** mostChosen bounds one deed on many alerts, as the server does. */
const mostChosen = 500;

/** AlertsPage lists alerts, those that still call for somebody unless asked otherwise. */
export function AlertsPage() {
  const search = route.useSearch();
  const moment = useAsOf();
  const admin = useIsAdmin();
  const { state, level, q, host, pack, rule, assignee, overdue, order } = search;
  const filter = useMemo(
    () => ({ states: state === undefined ? unclosed : state === "all" ? [] : [state], levels: levelsOf(level), text: q, host, pack, rule, assignee, overdue: overdue === "yes", order }),
    [state, level, q, host, pack, rule, assignee, overdue, order],
  );
  const list = useList({ key: alertsKey(filter, moment), ask: alertsAsk(filter, moment) });
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback((id: string) => setIds((old) => new Set(old.has(id) ? [...old].filter((one) => one !== id) : [...old, id])), []);
  useChooseKey();
  // What is chosen is what is shown as chosen: rows that a filter took away are not.
  const chosen = list.rows.filter((alert) => ids.has(alert.id));
  const selection = useMemo(() => (admin && moment.key === "now" ? { ids, toggle } : undefined), [admin, moment.key, ids, toggle]);
  const filtered = [level, q, host, pack, rule, assignee, overdue].some((one) => one !== undefined);
  return (
    <Page name="Alerts" title="Alerts" lead="A rule that matches opens an alert; what matches again is added to it. Each level has a time to acknowledge and a time to close.">
      <Narrowed host={host} rule={rule} />
      <Chosen chosen={chosen} most={list.rows.length} onAll={() => setIds(new Set(list.rows.slice(0, mostChosen).map((alert) => alert.id)))} onNone={() => setIds(new Set())} />
      <AlertTable
        name="alerts"
        main
        list={list}
        selection={selection}
        filters={<Filters />}
        empty={
          filtered || state === "open" || state === "acknowledged" ? (
            <Empty title="No alert fits this filter">
              <Link to="/alerts" search={{ state: "all" }}>
                Show all alerts, open and closed
              </Link>
            </Empty>
          ) : (
            <Empty title={state === undefined ? "No alert is open" : "No alert"}>
              <p>
                An alert opens here when an enabled rule matches an event. <Link to="/rules">Look which rules are enabled</Link>
                {state === undefined ? (
                  <>
                    , or{" "}
                    <Link to="/alerts" search={{ state: "all" }}>
                      show closed alerts
                    </Link>
                  </>
                ) : null}
                .
              </p>
            </Empty>
          )
        }
      />
    </Page>
  );
}

function Narrowed({ host, rule }: { readonly host: string | undefined; readonly rule: string | undefined }) {
  if (host === undefined && rule === undefined) return null;
  return (
    <p>
      Only {rule === undefined ? null : <>of the rule <Raw text={rule} /></>} {host === undefined ? null : <>on the host <Raw text={host} /></>}.{" "}
      <Link to="." search={(old) => ({ ...old, host: undefined, rule: undefined, pack: undefined })}>
        Show all rules and hosts
      </Link>
    </p>
  );
}

function Filters() {
  const { state, level, q, assignee, overdue, order } = route.useSearch();
  const navigate = useNavigate();
  const me = useQuery(sessionQuery).data?.user ?? "";
  const set = (next: Partial<ReturnType<typeof route.useSearch>>): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }) });
  };
  const assignees = [["-", "Nobody"], ...(me === "" ? [] : [[me, "Me"]]), ...(assignee === undefined || assignee === "-" || assignee === me ? [] : [[assignee, assignee]])] as [string, string][];
  return (
    <>
      <TextFilter label="Title, host, rule or value" value={q} onChange={(value) => set({ q: value })} />
      <Choice
        label="State"
        any="Open or acknowledged"
        value={state}
        choices={[
          ["open", "Open"],
          ["acknowledged", "Acknowledged"],
          ["closed", "Closed"],
          ["all", "All"],
        ]}
        onChange={(value) => set({ state: oneOf(value, alertShows) })}
      />
      <Choice label="Level" any="Any" value={level} choices={levelChoices.map((one) => [one, levelChoiceWords(one)])} onChange={(value) => set({ level: oneOf(value, levelChoices) })} />
      <Choice label="Assigned to" any="Anybody" value={assignee} choices={assignees} onChange={(value) => set({ assignee: value })} />
      <Choice label="Clocks" any="All" value={overdue} choices={[["yes", "Overdue"]]} onChange={(value) => set({ overdue: oneOf(value, ["yes"] as const) })} />
      <Choice
        label="Order"
        any="Newest activity"
        value={order === "newest" ? undefined : order}
        choices={[
          ["oldest", "Oldest first"],
          ["level", "Highest level"],
          ["due", "Next clock"],
        ]}
        onChange={(value) => set({ order: oneOf(value, alertOrders) })}
      />
    </>
  );
}

interface ChosenProps {
  readonly chosen: readonly { id: string; level: string; state: string }[];
  readonly most: number;
  readonly onAll: () => void;
  readonly onNone: () => void;
}

/** Chosen is what can be done to all chosen alerts at once. */
function Chosen({ chosen, most, onAll, onNone }: ChosenProps) {
  const [act, setAct] = useState<AlertAct>();
  const open = chosen.filter((alert) => alert.state === "open");
  const live = chosen.filter((alert) => alert.state !== "closed");
  const of = act === "acknowledge" ? open : live;
  return (
    <>
      {chosen.length === 0 ? null : (
        <div className={css.chosen} role="region" aria-label="Chosen alerts">
          <strong aria-live="polite">{chosen.length.toLocaleString("en")} chosen</strong>
          <Button disabled={open.length === 0} onClick={() => setAct("acknowledge")}>
            {actWords.acknowledge} {open.length.toLocaleString("en")}
          </Button>
          <Button variant="default" disabled={live.length === 0} onClick={() => setAct("assign")}>
            {actWords.assign} {live.length.toLocaleString("en")}
          </Button>
          <Button variant="default" disabled={live.length === 0} onClick={() => setAct("close")}>
            {actWords.close} {live.length.toLocaleString("en")}
          </Button>
          <span style={{ flex: 1 }} />
          {chosen.length < Math.min(most, mostChosen) ? (
            <Button variant="subtle" onClick={onAll}>
              Choose all {Math.min(most, mostChosen).toLocaleString("en")} read
            </Button>
          ) : null}
          <Button variant="subtle" leftSection={<Icon name="close" size={12} />} onClick={onNone}>
            Choose none
          </Button>
        </div>
      )}
      {act === undefined ? null : (
        <AlertDialog
          act={act}
          alerts={of}
          onDone={(done) => {
            setAct(undefined);
            if (done) onNone();
          }}
        />
      )}
    </>
  );
}

/** useChooseKey lets x choose the row that j and k have moved to. */
function useChooseKey(): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key !== "x" || isTyping(event)) return;
      document.activeElement?.closest("[data-row]")?.querySelector<HTMLInputElement>("input[data-choose]")?.click();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}
