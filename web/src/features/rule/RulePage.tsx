import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import type { GetRuleResponse, Rule as RuleMessage, RuleChange, RuleDay } from "../../gen/assay/console/v1/rule_pb";
import { oneOf } from "../../lib/search";
import { visibleText } from "../../lib/visible";
import { CopyIcon, Hash } from "../../ui/Copy";
import { Choice } from "../../ui/Filter";
import { Icon } from "../../ui/Icon";
import { LevelMark } from "../../ui/Level";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Facts, Page, Section, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { Detections } from "../alert/Detections";
import alertCss from "../alert/alert.module.css";
import { useIsAdmin } from "../session/useSession";
import { ruleQuery } from "./queries";
import css from "./rule.module.css";
import { Enabled } from "./RuleMarks";
import { RuleSource } from "./RuleSource";
import { RuleSwitch } from "./RuleSwitch";

const route = getRouteApi("/app/rules/$pack/$id");
const StartBackfill = lazy(() => import("./StartBackfill").then((module) => ({ default: module.StartBackfill })));
const Suppress = lazy(() => import("../suppression/Suppress").then((module) => ({ default: module.Suppress })));

/** RulePage is one rule: what it looks for, what it found, and who turned it on. */
export function RulePage() {
  const { pack, id } = route.useParams();
  const { days = "30" } = route.useSearch();
  const query = useQuery(ruleQuery(pack, id, Number(days)));
  const rule = query.data?.rule;
  const admin = useIsAdmin();
  const [asking, setAsking] = useState<"backfill" | "suppress">();
  return (
    <Page
      name={rule === undefined ? "Rule" : visibleText(rule.title)}
      title={
        rule === undefined ? (
          "Rule"
        ) : (
          <>
            <Raw text={rule.title} sentence /> <LevelMark level={rule.level} /> <Enabled on={rule.enabled} /> {rule.kind === "rule" ? null : <Tag>{rule.kind}</Tag>}
          </>
        )
      }
      crumbs={<Link to="/rules">Rules</Link>}
      actions={
        rule !== undefined && admin ? (
          <>
            <RuleSwitch of={rule} labelled />
            <Button variant="default" disabled={!rule.enabled} onClick={() => setAsking("backfill")}>
              Run over the past
            </Button>
            <Button variant="default" onClick={() => setAsking("suppress")}>
              Suppress
            </Button>
          </>
        ) : undefined
      }
    >
      {query.data !== undefined && rule !== undefined ? <Rule of={query.data} rule={rule} /> : query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={14} what="rule" />}
      <Suspense fallback={null}>
        {rule !== undefined && asking === "backfill" ? <StartBackfill rule={rule} onDone={() => setAsking(undefined)} /> : null}
        {rule !== undefined && asking === "suppress" ? <Suppress scope={{ pack: rule.pack, rule: rule.id }} candidates={[]} onDone={() => setAsking(undefined)} /> : null}
      </Suspense>
    </Page>
  );
}

function Rule({ of, rule }: { readonly of: GetRuleResponse; readonly rule: RuleMessage }) {
  const { days = "30", suppressed } = route.useSearch();
  const navigate = useNavigate();
  return (
    <>
      {of.description === "" ? null : (
        <p style={{ maxWidth: "100ch" }}>
          <Raw text={of.description} sentence />
        </p>
      )}
      <div className={css.columns}>
        <Section title="About">
          <Facts of={facts(of, rule)} />
        </Section>
        <div className="stack">
          <Section
            title="Hits by day"
            aside={
              <>
                {rule.hits.toLocaleString("en")} in {days} days,{" "}
                <Link to="/alerts" search={{ pack: rule.pack, rule: rule.id }}>
                  {rule.openAlerts.toLocaleString("en")} open alerts
                </Link>
              </>
            }
          >
            <Days of={of.days} />
          </Section>
          <Section title="Turned on and off">
            <Changes of={of.changes} />
          </Section>
        </div>
      </div>
      <Section title="Source" aside={<Raw text={`${rule.path}:${rule.line}`} />}>
        <RuleSource source={of.source} />
      </Section>
      <div id="detections">
        <Section
          title="Detections"
          aside={
            <Choice
              label="Suppressed"
              any="With and without"
              value={suppressed}
              choices={[
                ["no", "Not suppressed"],
                ["yes", "Suppressed"],
              ]}
              onChange={(value) => void navigate({ to: ".", search: (old) => ({ ...old, suppressed: oneOf(value, ["yes", "no"] as const) }), resetScroll: false })}
            />
          }
          flush
        >
          <Detections name={`detections-${rule.id}`} filter={{ pack: rule.pack, rule: rule.id, suppressed }} />
        </Section>
      </div>
    </>
  );
}

/** Days draws the hits of each day; the table beneath says the same to those who cannot see it. */
function Days({ of }: { readonly of: readonly RuleDay[] }) {
  const most = of.reduce((max, day) => (day.hits > max ? day.hits : max), 1n);
  if (of.every((day) => day.hits === 0n)) return <Empty title="No hit in this time">Days with detections are drawn here.</Empty>;
  return (
    <>
      <div className={css.days} aria-hidden="true">
        {of.map((day) => (
          <div key={day.day} className={css.day} title={`${day.day}: ${day.hits} hits, ${day.suppressed} suppressed`}>
            <div className={css.hits} style={{ height: `${Number(((day.hits - day.suppressed) * 1000n) / most) / 10}%` }} />
            <div className={css.quiet} style={{ height: `${Number((day.suppressed * 1000n) / most) / 10}%` }} />
          </div>
        ))}
      </div>
      <p className="dim row" style={{ justifyContent: "space-between", marginTop: 4 }}>
        <span>{of[0]?.day}</span>
        <span>most in a day: {most.toLocaleString("en")}; grey: suppressed</span>
        <span>{of.at(-1)?.day}</span>
      </p>
      <table className="sr">
        <caption>Hits by day</caption>
        <tbody>
          {of
            .filter((day) => day.hits > 0n)
            .map((day) => (
              <tr key={day.day}>
                <th scope="row">{day.day}</th>
                <td>
                  {day.hits.toLocaleString("en")}, {day.suppressed.toLocaleString("en")} suppressed
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </>
  );
}

function Changes({ of }: { readonly of: readonly RuleChange[] }) {
  if (of.length === 0) return <Empty title="Never changed">It stands as its pack was imported.</Empty>;
  return (
    <ol className={alertCss.timeline}>
      {of.map((change, i) => (
        <li key={`${change.position.toString()} ${i}`}>
          <span className={alertCss.dot}>
            <Icon name={change.enabled ? "done" : "minus"} size={12} />
          </span>
          <div>
            <Enabled on={change.enabled} />{" "}
            <span className="dim">
              by {change.by === "" ? "the server" : <Raw text={change.by} />} · <Time at={change.at} />
              {change.position === 0n ? null : (
                <>
                  {" · "}
                  <Link to="/ledger" search={{ position: change.position.toString() }} className="num">
                    leaf {change.position.toLocaleString("en")}
                  </Link>
                </>
              )}
            </span>
            {change.reason === "" ? null : (
              <div className={alertCss.said}>
                <Raw text={change.reason} sentence />
              </div>
            )}
          </div>
        </li>
      ))}
    </ol>
  );
}

function facts(of: GetRuleResponse, rule: RuleMessage): readonly (readonly [string, React.ReactNode])[] {
  const texts = (list: readonly string[]): React.ReactNode =>
    list.length === 0 ? "–" : list.map((text, i) => (
      <div key={`${text} ${i}`}>
        <Raw text={text} sentence />
      </div>
    ));
  return [
    ["Pack", <span key="pack"><Raw text={rule.pack} /> <span className="dim"><Raw text={rule.version} /></span></span>],
    ["Status", rule.status === "" ? "–" : <Raw key="status" text={rule.status} />],
    ["Log source", rule.logsource === "" ? "–" : <Raw key="logsource" text={rule.logsource} />],
    ["Alerts told apart by", rule.alertBy.length === 0 ? "host alone" : <Raw key="by" text={["host", ...rule.alertBy].join(", ")} />],
    ["Tags", rule.tags.length === 0 ? "none" : <Raw key="tags" text={rule.tags.join(", ")} />],
    ["Author", of.author === "" ? "–" : <Raw key="author" text={of.author} sentence />],
    ["Licence", of.license === "" ? "–" : <Raw key="license" text={of.license} sentence />],
    ["Known false positives", texts(of.falsePositives)],
    ["References", texts(of.references)],
    ...(of.related.length === 0 ? [] : [["Names", texts(of.related)] as const]),
    ["Last hit", <Time key="last" at={rule.lastHitAt} none="never" />],
    ["Suppressed", <Link key="suppressed" to="/suppressions" search={{ pack: rule.pack, rule: rule.id, state: "all" }}>{rule.suppressed.toLocaleString("en")} hits</Link>],
    [
      "Id",
      <span key="id" className="row" style={{ gap: 2 }}>
        <Raw text={rule.id} />
        <CopyIcon value={rule.id} what="the rule id" />
      </span>,
    ],
    ["Digest", <Hash key="digest" value={rule.digest} what="the digest" />],
  ];
}
