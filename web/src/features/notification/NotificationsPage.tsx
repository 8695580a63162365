import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useMemo, useState } from "react";
import type { Delivery, NotificationTarget } from "../../gen/assay/console/v1/notification_pb";
import { notificationApi } from "../../lib/api";
import { listOf } from "../../lib/list";
import { oneOf } from "../../lib/search";
import { dateOf } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { DataTable, type Column } from "../../ui/DataTable";
import { Choice } from "../../ui/Filter";
import { Icon } from "../../ui/Icon";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Page, Section, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { ReasonDialog } from "../../ui/ReasonDialog";
import { Time } from "../../ui/Time";
import { Enabled } from "../rule/RuleMarks";
import { useIsAdmin } from "../session/useSession";
import { Deliveries, DeliveryState, kindWords, NoDelivery } from "./Deliveries";
import { changedDeliveries, targetsQuery } from "./queries";

const route = getRouteApi("/app/settings/notifications");
const CreateTarget = lazy(() => import("./CreateTarget").then((module) => ({ default: module.CreateTarget })));
const ChangeTarget = lazy(() => import("./ChangeTarget").then((module) => ({ default: module.ChangeTarget })));

const states = ["pending", "delivered", "failed", "cancelled"] as const;

interface Deeds {
  readonly test: (of: NotificationTarget) => void;
  readonly testing: string | undefined;
  readonly toggle: (of: NotificationTarget) => void;
  readonly change: (of: NotificationTarget) => void;
}

function count(of: NotificationTarget, state: (typeof states)[number], n: bigint) {
  return n === 0n ? (
    <span className="dim num">0</span>
  ) : (
    <Link to="." search={(old) => ({ ...old, target: of.id, state })} resetScroll={false} className="num">
      {n.toLocaleString("en")}
    </Link>
  );
}

const kindOf = (of: NotificationTarget): string => (of.format === "ocsf" ? "webhook, OCSF" : of.kind);

function columnsFor(deeds: Deeds | undefined): readonly Column<NotificationTarget>[] {
  const columns: Column<NotificationTarget>[] = [
    {
      id: "name",
      header: "Target",
      width: "minmax(8rem, 1fr)",
      value: (of) => `${of.name} (${kindOf(of)})`,
      cell: (of) => (
        <>
          <Raw text={of.name} /> <Tag>{kindOf(of)}</Tag>
        </>
      ),
    },
    { id: "address", header: "Address", width: "minmax(10rem, 1.4fr)", value: (of) => of.address, cell: (of) => <Raw text={of.kind === "email" ? `${of.to.join(", ")} via ${of.address}` : of.address} /> },
    { id: "enabled", header: "State", width: "minmax(6.6rem, max-content)", value: (of) => of.enabled, cell: (of) => <Enabled on={of.enabled} /> },
    { id: "wants", header: "Told of", width: "minmax(7.5rem, 1fr)", value: (of) => `${of.levels.join(", ")}; ${of.kinds.join(", ")}`, cell: (of) => `${of.levels.length === 0 ? "every level" : of.levels.join(", ")}; ${of.kinds.length === 0 ? "everything" : of.kinds.map(kindWords).join(", ").toLowerCase()}` },
    { id: "delivered", header: "Delivered", width: "minmax(5.8rem, max-content)", end: true, value: (of) => of.delivered, cell: (of) => count(of, "delivered", of.delivered) },
    { id: "pending", header: "Pending", width: "minmax(5rem, max-content)", end: true, value: (of) => of.pending, cell: (of) => count(of, "pending", of.pending) },
    { id: "failed", header: "Failed", width: "minmax(4.4rem, max-content)", end: true, value: (of) => of.failed, cell: (of) => count(of, "failed", of.failed) },
    {
      id: "last",
      header: "Newest attempt",
      width: "minmax(8rem, 1.2fr)",
      value: (of) => (of.lastError === "" ? dateOf(of.lastDeliveredAt)?.toISOString() : of.lastError),
      cell: (of) =>
        of.lastError === "" ? (
          of.lastDeliveredAt === undefined ? <span className="dim">none yet</span> : <span>delivered <Time at={of.lastDeliveredAt} ago /></span>
        ) : (
          <span style={{ color: "var(--fail)" }}>
            <Icon name="warn" size={11} /> <Raw text={of.lastError} sentence />
          </span>
        ),
    },
  ];
  if (deeds === undefined) return columns;
  return [
    ...columns,
    {
      id: "action",
      header: "Action",
      width: "minmax(8.8rem, max-content)",
      value: () => undefined,
      cell: (of) => (
        <span className="row" style={{ gap: 4 }}>
          <Button size="compact-xs" variant="default" loading={deeds.testing === of.id} onClick={() => deeds.test(of)}>
            Test<span className="sr"> {visibleText(of.name)}</span>
          </Button>
          <Button size="compact-xs" variant="default" onClick={() => deeds.change(of)}>
            Change<span className="sr"> {visibleText(of.name)}</span>
          </Button>
          <Button size="compact-xs" variant="default" onClick={() => deeds.toggle(of)}>
            {of.enabled ? "Disable" : "Enable"}
            <span className="sr"> {visibleText(of.name)}</span>
          </Button>
        </span>
      ),
    },
  ];
}

/** NotificationsPage says where alerts are told to, and what became of each message. */
export function NotificationsPage() {
  const { target, state } = route.useSearch();
  const navigate = useNavigate();
  const admin = useIsAdmin();
  const query = useQuery(targetsQuery);
  const targets = query.data?.targets;
  const [creating, setCreating] = useState(false);
  const filter = useMemo(() => ({ target, state }), [target, state]);
  return (
    <Page
      name="Notifications"
      title="Notifications"
      lead="Alerts are told to webhooks, mail and syslog servers. What fails is tried again, 16 times over about 22 hours. Nothing of an event leaves: only what the alert is about, and a link."
      actions={
        admin ? (
          <Button leftSection={<Icon name="plus" size={13} />} onClick={() => setCreating(true)}>
            Add target
          </Button>
        ) : undefined
      }
    >
      <Targets targets={targets} error={query.isError ? query.error : undefined} again={() => void query.refetch()} onCreate={() => setCreating(true)} />
      <h2 style={{ marginTop: 8 }}>Deliveries</h2>
      <Deliveries
        main
        filter={filter}
        filters={
          <>
            <Choice label="Target" any="All" value={target} choices={(targets ?? []).map((one) => [one.id, one.name])} onChange={(value) => void navigate({ to: ".", search: (old) => ({ ...old, target: value }), resetScroll: false })} />
            <Choice label="State" any="Any" value={state} choices={states.map((one) => [one, one.charAt(0).toUpperCase() + one.slice(1)])} onChange={(value) => void navigate({ to: ".", search: (old) => ({ ...old, state: oneOf(value, states) }), resetScroll: false })} />
          </>
        }
        empty={
          target === undefined && state === undefined ? (
            <NoDelivery />
          ) : (
            <Empty title="No delivery fits this filter">
              <Link to="." search={(old) => ({ ...old, target: undefined, state: undefined })}>
                Show all deliveries
              </Link>
            </Empty>
          )
        }
      />
      <Suspense fallback={null}>{creating ? <CreateTarget onDone={() => setCreating(false)} /> : null}</Suspense>
    </Page>
  );
}

interface TargetsProps {
  readonly targets: readonly NotificationTarget[] | undefined;
  readonly error: Error | undefined;
  readonly again: () => void;
  readonly onCreate: () => void;
}

function Targets({ targets, error, again, onCreate }: TargetsProps) {
  const admin = useIsAdmin();
  const client = useQueryClient();
  const [toggling, setToggling] = useState<NotificationTarget>();
  const [changing, setChanging] = useState<NotificationTarget>();
  const test = useMutation({
    mutationFn: (id: string) => notificationApi.testNotificationTarget({ id }),
    onSettled: () => {
      for (const queryKey of changedDeliveries) void client.invalidateQueries({ queryKey });
    },
  });
  const { mutate, isPending, variables } = test;
  const columns = useMemo(() => columnsFor(admin ? { test: (of) => mutate(of.id), testing: isPending ? variables : undefined, toggle: setToggling, change: setChanging } : undefined), [admin, mutate, isPending, variables]);
  const list = useMemo(() => listOf(targets ?? []), [targets]);
  return (
    <Section title="Targets" aside={targets === undefined ? undefined : <>{targets.length} in all</>} flush={targets !== undefined && targets.length > 0}>
      {test.isError ? <Failure error={test.error} /> : null}
      {test.data?.delivery === undefined ? null : <Tested of={test.data.delivery} />}
      {targets === undefined ? (
        error === undefined ? (
          <Loading lines={3} what="targets" />
        ) : (
          <Failure error={error} again={again} />
        )
      ) : (
        <DataTable
          name="notification-targets"
          label="Notification targets"
          plain
          columns={columns}
          list={list}
          rowKey={(of) => of.id}
          empty={
            <Empty title="Nobody is told of alerts yet">
              <p>{admin ? "Add a webhook, a mail server or a syslog server; then test it." : "An administrator of Assay adds webhooks, mail servers and syslog servers."}</p>
              {admin ? (
                <div>
                  <Button onClick={onCreate}>Add a target</Button>
                </div>
              ) : null}
            </Empty>
          }
        />
      )}
      <Suspense fallback={null}>{changing === undefined ? null : <ChangeTarget target={changing} onDone={() => setChanging(undefined)} />}</Suspense>
      {toggling === undefined ? null : (
        <ReasonDialog
          title={toggling.enabled ? "Disable this target" : "Enable this target"}
          button={toggling.enabled ? "Disable" : "Enable"}
          changed={changedDeliveries}
          send={(reason) => notificationApi.setNotificationTargetEnabled({ id: toggling.id, enabled: !toggling.enabled, reason })}
          onDone={() => setToggling(undefined)}
        >
          <p>
            <Raw text={toggling.name} /> {toggling.enabled ? "is told nothing more; what waits for it is cancelled." : "is told of what happens from now on."}
          </p>
        </ReasonDialog>
      )}
    </Section>
  );
}

/** Tested says what came of a test. */
function Tested({ of }: { readonly of: Delivery }) {
  const last = of.attempts.at(-1);
  return (
    <p role="status" className="row" style={{ padding: "10px 14px", borderBottom: "1px solid var(--line)" }}>
      <DeliveryState state={of.state} />
      <span>
        Test of <Raw text={of.targetName} />: {last === undefined ? "not tried" : <Raw text={last.detail} sentence />}
        {last === undefined ? null : <span className="dim num"> {last.milliseconds.toLocaleString("en")} ms</span>}
      </span>
    </p>
  );
}
