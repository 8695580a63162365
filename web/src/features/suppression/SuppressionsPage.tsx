import { Button } from "@mantine/core";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useMemo, useState } from "react";
import type { Suppression } from "../../gen/assay/console/v1/suppression_pb";
import { suppressionApi } from "../../lib/api";
import { useList } from "../../lib/list";
import { oneOf } from "../../lib/search";
import { dateOf } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { DataTable, type Column } from "../../ui/DataTable";
import { Choice } from "../../ui/Filter";
import { Icon } from "../../ui/Icon";
import { Empty } from "../../ui/Note";
import { Page } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { ReasonDialog } from "../../ui/ReasonDialog";
import state from "../../ui/state.module.css";
import { Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import { suppressionsAsk, suppressionsKey } from "./queries";
import { scopeWords } from "./scope";

const route = getRouteApi("/app/suppressions");
const Suppress = lazy(() => import("./Suppress").then((module) => ({ default: module.Suppress })));

const wordsOf = (one: Suppression): string => (one.scope === undefined ? "" : scopeWords(one.scope, one.ruleTitle, one.hostName));

function columnsFor(onEnd: ((one: Suppression) => void) | undefined): readonly Column<Suppression>[] {
  const columns: Column<Suppression>[] = [
    {
      id: "state",
      header: "State",
      width: "minmax(6rem, max-content)",
      value: (one) => one.state,
      cell: (one) => (
        <span className={`${state.mark} ${one.state === "active" ? state.manual : state.not_applicable}`}>
          <Icon name={one.state === "active" ? "suppressions" : "done"} size={12} />
          {one.state === "active" ? "Active" : "Ended"}
        </span>
      ),
    },
    { id: "scope", header: "What it covers", width: "minmax(16rem, 2fr)", value: wordsOf, cell: (one) => <Scope of={one} /> },
    { id: "count", header: "Suppressed", width: "minmax(6.4rem, max-content)", end: true, value: (one) => one.count },
    { id: "last", header: "Last", width: "minmax(7rem, max-content)", value: (one) => dateOf(one.lastAt)?.toISOString(), cell: (one) => <Time at={one.lastAt} ago none="never" /> },
    {
      id: "ends",
      header: "Ends",
      width: "minmax(7rem, max-content)",
      value: (one) => dateOf(one.endedAt ?? one.expiresAt)?.toISOString(),
      cell: (one) => <Time at={one.endedAt ?? one.expiresAt} ago />,
    },
    { id: "owner", header: "Owner", width: "minmax(5rem, max-content)", value: (one) => one.owner, cell: (one) => <Raw text={one.owner} /> },
    {
      id: "reason",
      header: "Reason",
      width: "minmax(12rem, 1.2fr)",
      value: (one) => (one.endedReason === "" ? one.reason : `${one.reason}; ended: ${one.endedReason}`),
      cell: (one) => (
        <>
          <Raw text={one.reason} sentence />
          {one.endedBy === "" ? null : (
            <span className="dim">
              {" "}
              Ended by <Raw text={one.endedBy} />: <Raw text={one.endedReason} sentence />
            </span>
          )}
        </>
      ),
    },
    {
      id: "leaf",
      header: "Leaf",
      width: "minmax(5rem, max-content)",
      off: true,
      end: true,
      value: (one) => one.position,
      cell: (one) => (
        <Link to="/ledger" search={{ position: one.position.toString() }} className="num">
          {one.position.toLocaleString("en")}
        </Link>
      ),
    },
    { id: "created", header: "Made", width: "minmax(7rem, max-content)", off: true, value: (one) => dateOf(one.createdAt)?.toISOString(), cell: (one) => <Time at={one.createdAt} ago /> },
    { id: "by", header: "Made by", width: "minmax(5rem, max-content)", off: true, value: (one) => one.createdBy, cell: (one) => <Raw text={one.createdBy} /> },
  ];
  if (onEnd === undefined) return columns;
  return [
    ...columns,
    {
      id: "end",
      header: "Action",
      width: "minmax(5rem, max-content)",
      value: () => undefined,
      cell: (one) =>
        one.state === "active" ? (
          <Button size="compact-xs" variant="default" onClick={() => onEnd(one)}>
            End<span className="sr"> the suppression of {visibleText(wordsOf(one))}</span>
          </Button>
        ) : null,
    },
  ];
}

function Scope({ of }: { readonly of: Suppression }) {
  const scope = of.scope;
  if (scope === undefined) return <span className="dim">–</span>;
  return (
    <span>
      {scope.rule === "" ? (
        <>any rule{scope.pack === "" ? "" : <> of <Raw text={scope.pack} /></>}</>
      ) : (
        <Link to="/rules/$pack/$id" params={{ pack: scope.pack, id: scope.rule }}>
          <Raw text={of.ruleTitle === "" ? scope.rule : of.ruleTitle} sentence />
        </Link>
      )}
      {scope.host === "" ? null : (
        <>
          {" on "}
          <Link to="/hosts/$id" params={{ id: scope.host }}>
            <Raw text={of.hostName === "" ? scope.host : of.hostName} />
          </Link>
        </>
      )}
      {scope.tag === "" ? null : (
        <>
          {" on hosts tagged "}
          <Raw text={scope.tag} />
        </>
      )}
      {scope.conditions.map((one, i) => (
        <span key={`${one.field} ${i}`}>
          {i === 0 ? " where " : " and "}
          <Raw text={one.field} /> is <Raw text={one.value} />
        </span>
      ))}
    </span>
  );
}

/** SuppressionsPage lists what is kept from alerting, until when and why. */
export function SuppressionsPage() {
  const { state: shown, pack, rule, host } = route.useSearch();
  const navigate = useNavigate();
  const admin = useIsAdmin();
  const filter = useMemo(() => ({ state: shown === undefined ? "active" : shown === "all" ? undefined : shown, pack, rule, host }), [shown, pack, rule, host]);
  const list = useList({ key: suppressionsKey(filter), ask: suppressionsAsk(filter) });
  const [creating, setCreating] = useState(false);
  const [ending, setEnding] = useState<Suppression>();
  const columns = useMemo(() => columnsFor(admin ? setEnding : undefined), [admin]);
  const narrowed = rule !== undefined || host !== undefined;
  return (
    <Page
      name="Suppressions"
      title="Suppressions"
      lead="Known and accepted detections that open no alert. Each has an owner, a reason and an end; what it keeps quiet is counted and stays listed."
      actions={
        admin ? (
          <Button leftSection={<Icon name="plus" size={13} />} onClick={() => setCreating(true)}>
            Add suppression
          </Button>
        ) : undefined
      }
    >
      {narrowed ? (
        <p>
          Only of one {rule === undefined ? "host" : "rule"}: <Raw text={rule ?? host ?? ""} />.{" "}
          <Link to="." search={(old) => ({ ...old, rule: undefined, pack: undefined, host: undefined })}>
            Show all
          </Link>
        </p>
      ) : null}
      <DataTable
        name="suppressions"
        label="Suppressions"
        main
        columns={columns}
        list={list}
        rowKey={(one) => one.id}
        filters={
          <Choice
            label="State"
            any="Active"
            value={shown}
            choices={[
              ["ended", "Ended"],
              ["all", "All"],
            ]}
            onChange={(value) => void navigate({ to: ".", search: (old) => ({ ...old, state: oneOf(value, ["ended", "all"] as const) }) })}
          />
        }
        empty={
          <Empty title={shown === undefined ? "Nothing is suppressed" : "No suppression"}>
            <p>
              {admin ? "Suppress from an alert’s page: what it matched on is offered there as conditions." : "An administrator of Assay makes suppressions, best from an alert’s page."}{" "}
              {shown === "all" ? null : (
                <Link to="." search={(old) => ({ ...old, state: "all" as const })}>
                  Show ended ones too
                </Link>
              )}
            </p>
          </Empty>
        }
      />
      <Suspense fallback={null}>{creating ? <Suppress scope={{}} candidates={[]} onDone={() => setCreating(false)} /> : null}</Suspense>
      {ending === undefined ? null : (
        <ReasonDialog title="End this suppression" button="End it" changed={[["suppressions"]]} send={(reason) => suppressionApi.endSuppression({ id: ending.id, reason })} onDone={() => setEnding(undefined)}>
          <p>What it covers opens alerts again from now on. What it kept quiet stays so.</p>
        </ReasonDialog>
      )}
    </Page>
  );
}
