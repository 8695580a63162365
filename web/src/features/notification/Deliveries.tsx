import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import type { Delivery } from "../../gen/assay/console/v1/notification_pb";
import { notificationApi } from "../../lib/api";
import { useList } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { DataTable, type Column } from "../../ui/DataTable";
import { Icon, type IconName } from "../../ui/Icon";
import { LevelMark } from "../../ui/Level";
import { Empty, Failure } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import state from "../../ui/state.module.css";
import { Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import { changedDeliveries, deliveriesAsk, deliveriesKey, type DeliveryFilter } from "./queries";

const marks: Readonly<Record<string, readonly [icon: IconName, look: string | undefined, word: string]>> = {
  pending: ["clock", state.unknown, "Pending"],
  delivered: ["done", state.pass, "Delivered"],
  failed: ["warn", state.fail, "Failed"],
  cancelled: ["minus", state.not_applicable, "Cancelled"],
};

/** DeliveryState says what became of a message. */
export function DeliveryState({ state: name }: { readonly state: string }) {
  const [icon, look, word] = marks[name] ?? ["unknown", state.unknown, name];
  return (
    <span className={`${state.mark} ${look ?? ""}`}>
      <Icon name={icon} size={12} />
      {word}
    </span>
  );
}

const kinds: Readonly<Record<string, string>> = {
  "alert.open": "Alert opened",
  "alert.reopen": "Alert opened again",
  "alert.escalate": "Level raised",
  "alert.overdue": "Clock ran out",
  test: "Test",
};

/** kindWords says what a message tells. */
export function kindWords(kind: string): string {
  return kinds[kind] ?? kind;
}

function columnsFor(onRetry: ((of: Delivery) => void) | undefined, withAlert: boolean): readonly Column<Delivery>[] {
  const columns: Column<Delivery>[] = [
    { id: "state", header: "State", width: "minmax(7rem, max-content)", value: (of) => of.state, cell: (of) => <DeliveryState state={of.state} /> },
    { id: "target", header: "Target", width: "minmax(7rem, 0.8fr)", value: (of) => of.targetName, cell: (of) => <Raw text={of.targetName} /> },
    {
      id: "kind",
      header: "What it tells",
      width: "minmax(8.5rem, 1fr)",
      value: (of) => of.kind,
      cell: (of) =>
        of.alert === "" || !withAlert ? (
          kindWords(of.kind)
        ) : (
          <Link to="/alerts/$id" params={{ id: of.alert }}>
            {kindWords(of.kind)}
          </Link>
        ),
    },
    { id: "level", header: "Level", width: "minmax(6.6rem, max-content)", value: (of) => of.level, cell: (of) => (of.kind === "test" ? <span className="dim">–</span> : <LevelMark level={of.level} />) },
    { id: "occurred", header: "Of", width: "minmax(7rem, max-content)", value: (of) => dateOf(of.occurredAt)?.toISOString(), cell: (of) => <Time at={of.occurredAt} ago /> },
    { id: "attempts", header: "Attempts", width: "minmax(5.6rem, max-content)", value: (of) => `${of.attempts.length} of ${of.maxAttempts}`, cell: (of) => <span className="num">{of.attempts.length > of.maxAttempts ? of.attempts.length : `${of.attempts.length} of ${of.maxAttempts}`}</span> },
    {
      id: "answer",
      header: "Newest attempt",
      width: "minmax(12rem, 2fr)",
      value: (of) => of.attempts.at(-1)?.detail ?? "",
      cell: (of) => {
        const last = of.attempts.at(-1);
        return last === undefined ? (
          <span className="dim">not tried yet</span>
        ) : (
          <>
            <Raw text={last.detail} sentence /> <span className="dim num">{last.milliseconds.toLocaleString("en")} ms</span>
          </>
        );
      },
    },
    { id: "next", header: "Next attempt", width: "minmax(6.6rem, max-content)", value: (of) => dateOf(of.nextAttemptAt)?.toISOString(), cell: (of) => <Time at={of.nextAttemptAt} ago /> },
  ];
  if (onRetry === undefined) return columns;
  return [
    ...columns,
    {
      id: "retry",
      header: "Action",
      width: "minmax(5rem, max-content)",
      value: () => undefined,
      cell: (of) =>
        of.state === "failed" && of.kind !== "test" ? (
          <Button size="compact-xs" variant="default" onClick={() => onRetry(of)}>
            Try again<span className="sr"> to tell {visibleText(of.targetName)}</span>
          </Button>
        ) : null,
    },
  ];
}

interface DeliveriesProps {
  readonly filter: DeliveryFilter;
  readonly main?: boolean;
  readonly filters?: ReactNode;
  readonly empty: ReactNode;
}

/** Deliveries is the log of what was told to whom, newest first. */
export function Deliveries({ filter, main = false, filters, empty }: DeliveriesProps) {
  const admin = useIsAdmin();
  const client = useQueryClient();
  const list = useList({ key: deliveriesKey(filter), ask: deliveriesAsk(filter) });
  const retry = useMutation({
    mutationFn: (id: string) => notificationApi.retryDelivery({ id }),
    onSettled: () => {
      for (const queryKey of changedDeliveries) void client.invalidateQueries({ queryKey });
    },
  });
  const { mutate } = retry;
  const columns = useMemo(() => columnsFor(admin ? (of) => mutate(of.id) : undefined, filter.alert === undefined), [admin, mutate, filter.alert]);
  return (
    <>
      {retry.isError ? <Failure error={retry.error} /> : null}
      <DataTable name="deliveries" label="Deliveries" main={main} plain={!main} columns={columns} list={list} rowKey={(of) => of.id} filters={filters} empty={empty} />
    </>
  );
}

/** NoDelivery says when messages appear. */
export function NoDelivery() {
  return <Empty title="Nothing was told yet">Each message to a target is listed here, with every attempt and what the receiver answered.</Empty>;
}
