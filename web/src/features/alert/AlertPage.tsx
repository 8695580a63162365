import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import type { Alert, GetAlertResponse } from "../../gen/assay/console/v1/alert_pb";
import { listOf } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import { visibleText } from "../../lib/visible";
import { CopyIcon } from "../../ui/Copy";
import { EvidenceLinks } from "../../ui/Evidence";
import { LevelMark } from "../../ui/Level";
import { Named } from "../../ui/Named";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Facts, Page, Section } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { FindingStatus } from "../finding/FindingStatus";
import { findingQuery } from "../finding/queries";
import { Told } from "../notification/Told";
import { RuleSource } from "../rule/RuleSource";
import { useIsAdmin } from "../session/useSession";
import css from "./alert.module.css";
import { actsOn, actWords, AlertDialog, type AlertAct } from "./AlertActions";
import { AlertState, Clock } from "./AlertMarks";
import { AlertTable, RuleLink } from "./AlertTable";
import { AlertTimeline } from "./AlertTimeline";
import { Detections } from "./Detections";
import { Matched, NewestEvent } from "./NewestEvent";
import { alertQuery } from "./queries";
import { reasonWords } from "./words";

const route = getRouteApi("/app/alerts/$id");
const Suppress = lazy(() => import("../suppression/Suppress").then((module) => ({ default: module.Suppress })));

/** AlertPage is one alert: what matched, by which rule, what was done and what is due. */
export function AlertPage() {
  const { id } = route.useParams();
  const moment = useAsOf();
  const query = useQuery(alertQuery(id, moment));
  const alert = query.data?.alert;
  const admin = useIsAdmin();
  return (
    <Page
      name={alert === undefined ? "Alert" : visibleText(alert.title)}
      title={
        alert === undefined ? (
          "Alert"
        ) : (
          <>
            <Raw text={alert.title} sentence /> <LevelMark level={alert.level} /> <AlertState state={alert.state} />
          </>
        )
      }
      crumbs={<Link to="/alerts">Alerts</Link>}
      actions={alert !== undefined && admin && moment.key === "now" ? <Actions of={alert} /> : undefined}
    >
      {query.data !== undefined && alert !== undefined ? <Content of={query.data} alert={alert} /> : query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={14} what="alert" />}
    </Page>
  );
}

function Actions({ of }: { readonly of: Alert }) {
  const [act, setAct] = useState<AlertAct>();
  const [suppressing, setSuppressing] = useState(false);
  return (
    <>
      {actsOn(of).map((one, i) => (
        <Button key={one} variant={i === 0 ? "filled" : "default"} onClick={() => setAct(one)}>
          {actWords[one]}
        </Button>
      ))}
      {of.pack === "checks" ? null : (
        <Button variant="default" onClick={() => setSuppressing(true)}>
          Suppress
        </Button>
      )}
      {act === undefined ? null : <AlertDialog act={act} alerts={[of]} onDone={() => setAct(undefined)} />}
      <Suspense fallback={null}>
        {suppressing ? (
          <Suppress
            scope={{ pack: of.pack, rule: of.rule, host: of.hostId, hostName: of.hostName }}
            candidates={[...of.key.map((one) => ({ field: one.name, value: one.value })), ...(of.latest?.matched ?? []).map((one) => ({ field: one.field, value: one.value }))]}
            onDone={() => setSuppressing(false)}
          />
        ) : null}
      </Suspense>
    </>
  );
}

function Content({ of, alert }: { readonly of: GetAlertResponse; readonly alert: Alert }) {
  const event = alert.latest?.event;
  return (
    <>
      <div className={css.columns}>
        <Section title="What happened">
          <Facts of={facts(alert)} />
        </Section>
        <div className="stack">
          <Section title="Clocks" aside={<Link to="/alerts" search={{ overdue: "yes" }}>all overdue</Link>}>
            <div className={css.clocks}>
              <span>Acknowledge</span>
              <span className="row">
                <Clock of={alert.acknowledge} /> <Due of={alert.acknowledge} />
              </span>
              <span>Close</span>
              <span className="row">
                <Clock of={alert.close} /> <Due of={alert.close} />
              </span>
            </div>
          </Section>
          <Section title="What was done">
            <AlertTimeline of={of.actions} />
          </Section>
        </div>
      </div>
      {alert.pack === "checks" ? (
        <Finding of={alert} />
      ) : (
        <div className={`${css.columns} ${css.evidence}`}>
          <Matched of={alert.latest} />
          {event === undefined ? null : <NewestEvent event={event} matched={alert.latest?.matched ?? []} />}
        </div>
      )}
      {of.ruleSource === "" ? null : (
        <Section title="Rule" aside={<RuleLink of={alert} />}>
          <div className="stack">
            {of.ruleDescription === "" ? null : (
              <p style={{ maxWidth: "100ch" }}>
                <Raw text={of.ruleDescription} sentence />
              </p>
            )}
            <Notes title="Known false positives" of={of.ruleFalsePositives} />
            <RuleSource source={of.ruleSource} marked={(alert.latest?.matched ?? []).map((one) => one.field)} />
            <Notes title="References" of={of.ruleReferences} />
          </div>
        </Section>
      )}
      {alert.pack === "checks" ? null : (
        <Section title="Detections" aside={<>{alert.count.toLocaleString("en")} in all</>} flush>
          <Detections name={`detections-${alert.id}`} filter={{ alert: alert.id }} withHost={false} />
        </Section>
      )}
      <Section title="Other alerts of this host that are not closed" flush>
        <AlertTable name="related-alerts" list={listOf(of.related)} empty={<Empty title="No other alert">This host has no other alert that is not closed.</Empty>} />
      </Section>
      <Told alert={alert.id} />
    </>
  );
}

/** Finding leads on where an alert stands for a finding of a check. */
function Finding({ of }: { readonly of: Alert }) {
  const query = useQuery({ ...findingQuery(of.finding), enabled: of.finding !== "" });
  const finding = query.data?.finding;
  return (
    <Section title="The finding it stands for" aside={of.finding === "" ? undefined : <Link to="/findings/$id" params={{ id: of.finding }}>Open the finding</Link>}>
      {finding !== undefined ? (
        <div className="stack">
          <span className="row">
            <FindingStatus status={finding.status} /> evidence: <EvidenceLinks of={finding.evidence} total={finding.evidence.length} />
          </span>
          <Named of={finding.fields} label="Facts of the violating event" />
        </div>
      ) : query.isError ? (
        <Failure error={query.error} again={() => void query.refetch()} />
      ) : of.finding === "" ? (
        <Empty title="The finding is gone">It was taken back by what came in later.</Empty>
      ) : (
        <Loading what="finding" />
      )}
    </Section>
  );
}

function Due({ of }: { readonly of: Alert["close"] }) {
  if (of?.due === undefined) return null;
  return (
    <span className="dim">
      <Time at={of.due} seconds={false} />
    </span>
  );
}

function Notes({ title, of }: { readonly title: string; readonly of: readonly string[] }) {
  if (of.length === 0) return null;
  return (
    <div>
      <h3>{title}</h3>
      <ul style={{ margin: "4px 0 0", paddingLeft: 20 }}>
        {of.map((text, i) => (
          <li key={`${text} ${i}`}>
            {/* Never a link: a rule's author chose where it would lead. */}
            <Raw text={text} sentence />
          </li>
        ))}
      </ul>
    </div>
  );
}

function facts(alert: Alert): readonly (readonly [string, React.ReactNode])[] {
  const raised = alert.ruleLevel !== alert.level && alert.ruleLevel !== "";
  return [
    [
      "Host",
      <Link key="host" to="/hosts/$id" params={{ id: alert.hostId }}>
        <Raw text={alert.hostName} />
      </Link>,
    ],
    ["Rule", <span key="rule" className="row" style={{ gap: 4 }}>{alert.pack === "checks" ? "check" : <Raw text={alert.pack} />} <RuleLink of={alert} /></span>],
    ["Level", <span key="level" className="row"><LevelMark level={alert.level} /> {raised ? <span className="dim">raised from {alert.ruleLevel}</span> : null}</span>],
    ["Detections", <span key="count" className="num">{alert.count.toLocaleString("en")}</span>],
    ["First seen", <Time key="first" at={alert.firstSeen} />],
    ["Last seen", <Time key="last" at={alert.lastSeen} />],
    ["Opened", <span key="opened"><Time at={alert.openedAt} />{alert.reopened > 0 ? <span className="dim">, for the {ordinal(alert.reopened + 1)} time</span> : null}</span>],
    ...alert.key.map((one) => [one.name, <Raw key={one.name} text={one.value} />] as const),
    ["Assigned to", alert.assignee === "" ? "nobody" : <Raw key="assignee" text={alert.assignee} />],
    ...(alert.state === "closed"
      ? ([
          ["Closed", <Time key="closed" at={alert.closedAt} />],
          ["Closed by", <Raw key="by" text={alert.closedBy} />],
          ["Closed as", alert.duplicateOf === "" ? reasonWords(alert.reason) : <span key="as">{reasonWords(alert.reason)} <Link to="/alerts/$id" params={{ id: alert.duplicateOf }}>{alert.duplicateOf}</Link></span>],
        ] as const)
      : []),
    ...(alert.finding === "" ? [] : [["Finding", <Link key="finding" to="/findings/$id" params={{ id: alert.finding }}>{alert.finding}</Link>] as const]),
    ["Tags", alert.tags.length === 0 ? "none" : <Raw key="tags" text={alert.tags.join(", ")} />],
    [
      "Id",
      <span key="id" className="row" style={{ gap: 2 }}>
        <Raw text={alert.id} />
        <CopyIcon value={alert.id} what="the alert id" />
      </span>,
    ],
    [
      "Ledger leaf",
      alert.position === 0n ? "–" : (
        <Link key="leaf" to="/ledger" search={{ position: alert.position.toString() }} className="num">
          {alert.position.toLocaleString("en")}
        </Link>
      ),
    ],
  ];
}

function ordinal(n: number): string {
  const last = n % 100;
  if (last >= 11 && last <= 13) return `${n}th`;
  return `${n}${["th", "st", "nd", "rd"][n % 10] ?? "th"}`;
}
