import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useMemo } from "react";
import type { Backfill } from "../../gen/assay/console/v1/rule_pb";
import { ruleApi } from "../../lib/api";
import { useList } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { DataTable, type Column } from "../../ui/DataTable";
import { Empty, Failure } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import { backfillsAsk, backfillsKey } from "./queries";
import css from "./rule.module.css";
import { BackfillState } from "./RuleMarks";
import { progress } from "./progress";

function columnsFor(onCancel: ((backfill: Backfill) => void) | undefined): readonly Column<Backfill>[] {
  const columns: Column<Backfill>[] = [
    { id: "state", header: "State", width: "minmax(7rem, max-content)", value: (one) => one.state, cell: (one) => <BackfillState state={one.state} /> },
    {
      id: "progress",
      header: "Progress",
      width: "minmax(8rem, 1fr)",
      value: (one) => `${Math.floor(progress(one) * 100)} %`,
      cell: (one) => {
        const share = Math.floor(progress(one) * 100);
        return (
          <span className="row" style={{ flexWrap: "nowrap" }}>
            <span className={css.bar} style={{ flex: 1 }} role="progressbar" aria-label="Positions read" aria-valuenow={share} aria-valuemin={0} aria-valuemax={100}>
              <span style={{ display: "block", height: "100%", width: `${share}%`, background: "var(--manual-fill)" }} />
            </span>
            <span className="num" style={{ whiteSpace: "nowrap" }}>{share} %</span>
          </span>
        );
      },
    },
    {
      id: "rules",
      header: "Rules",
      width: "minmax(10rem, 1.5fr)",
      value: (one) => (one.rules.length === 0 ? `all enabled of ${one.pack}` : one.rules.join(", ")),
      cell: (one) =>
        one.rules.length === 0 ? (
          <>
            all enabled of <Raw text={one.pack} />
          </>
        ) : (
          one.rules.map((id) => (
            <Link key={id} to="/rules/$pack/$id" params={{ pack: one.pack, id }} className={css.named}>
              <Raw text={id} line />
            </Link>
          ))
        ),
    },
    { id: "since", header: "Received since", width: "minmax(8.5rem, max-content)", value: (one) => dateOf(one.since)?.toISOString(), cell: (one) => <Time at={one.since} seconds={false} /> },
    { id: "detections", header: "Detections", width: "minmax(6.2rem, max-content)", end: true, value: (one) => one.detections },
    { id: "started", header: "Started", width: "minmax(7rem, max-content)", value: (one) => dateOf(one.startedAt)?.toISOString(), cell: (one) => <Time at={one.startedAt} ago /> },
    { id: "by", header: "By", width: "minmax(5rem, max-content)", value: (one) => one.by, cell: (one) => <Raw text={one.by} /> },
    {
      id: "reason",
      header: "Reason",
      width: "minmax(8rem, 1fr)",
      value: (one) => (one.error === "" ? one.reason : `${one.reason}; failed: ${one.error}`),
      cell: (one) => (
        <>
          <Raw text={one.reason} sentence />
          {one.error === "" ? null : (
            <span style={{ color: "var(--fail)" }}>
              {" "}
              failed: <Raw text={one.error} sentence />
            </span>
          )}
        </>
      ),
    },
  ];
  if (onCancel === undefined) return columns;
  return [
    ...columns,
    {
      id: "cancel",
      header: "Action",
      width: "minmax(5rem, max-content)",
      value: () => undefined,
      cell: (one) =>
        one.state === "running" ? (
          <Button size="compact-xs" variant="default" onClick={() => onCancel(one)}>
            Cancel<span className="sr"> the backfill of {visibleText(one.pack)}</span>
          </Button>
        ) : null,
    },
  ];
}

/** Backfills lists the runs of rules over what was received before, with their progress. */
export function Backfills() {
  const admin = useIsAdmin();
  const client = useQueryClient();
  const list = useList({ key: backfillsKey, ask: backfillsAsk });
  const cancel = useMutation({
    mutationFn: (id: string) => ruleApi.cancelBackfill({ id }),
    onSettled: () => void client.invalidateQueries({ queryKey: backfillsKey }),
  });
  const { mutate } = cancel;
  const columns = useMemo(() => columnsFor(admin ? (one) => mutate(one.id) : undefined), [admin, mutate]);
  const running = list.rows.some((one) => one.state === "running");
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => void client.invalidateQueries({ queryKey: backfillsKey }), 3000);
    return () => clearInterval(timer);
  }, [running, client]);
  return (
    <>
      {cancel.isError ? <Failure error={cancel.error} /> : null}
      <DataTable
        name="backfills"
        label="Backfills"
        main
        columns={columns}
        list={list}
        rowKey={(one) => one.id}
        empty={<Empty title="No rule was run over the past">On the page of an enabled rule, “Run over the past” matches what was received before the rule came into force.</Empty>}
      />
    </>
  );
}
