import { Link } from "@tanstack/react-router";
import { useMemo, type ReactNode } from "react";
import type { Rule } from "../../gen/assay/console/v1/rule_pb";
import { levelRank } from "../../lib/level";
import { useList } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Empty } from "../../ui/Note";
import { LevelMark } from "../../ui/Level";
import { Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { rulesAsk, rulesKey, type RuleFilter } from "./queries";
import { RuleSwitch } from "./RuleSwitch";

function columnsFor(days: number): readonly Column<Rule>[] {
  const span = { 1: "24 hours", 7: "7 days", 30: "30 days", 90: "90 days" }[days] ?? `${days} days`;
  return [
    { id: "level", header: "Level", width: "minmax(7rem, max-content)", value: (rule) => rule.level, order: (rule) => -levelRank(rule.level), cell: (rule) => <LevelMark level={rule.level} /> },
    {
      id: "title",
      header: "Rule",
      width: "minmax(15rem, 2fr)",
      value: (rule) => rule.title,
      cell: (rule) => (
        <>
          <Link to="/rules/$pack/$id" params={{ pack: rule.pack, id: rule.id }}>
            <Raw text={rule.title} sentence />
          </Link>{" "}
          {rule.kind === "rule" ? null : <Tag>{rule.kind}</Tag>}
        </>
      ),
    },
    { id: "enabled", header: "Enabled", width: "minmax(6rem, max-content)", value: (rule) => rule.enabled, cell: (rule) => <RuleSwitch of={rule} /> },
    {
      id: "hits",
      header: `Hits, ${span}`,
      width: "minmax(6rem, max-content)",
      end: true,
      value: (rule) => rule.hits,
      cell: (rule) =>
        rule.hits === 0n ? (
          <span className="dim num">0</span>
        ) : (
          <Link to="/rules/$pack/$id" params={{ pack: rule.pack, id: rule.id }} hash="detections" className="num">
            {rule.hits.toLocaleString("en")}
          </Link>
        ),
    },
    { id: "suppressed", header: "Suppressed", width: "minmax(6rem, max-content)", end: true, value: (rule) => rule.suppressed, cell: (rule) => <span className={rule.suppressed === 0n ? "dim num" : "num"}>{rule.suppressed.toLocaleString("en")}</span> },
    {
      id: "open",
      header: "Open alerts",
      width: "minmax(6rem, max-content)",
      end: true,
      value: (rule) => rule.openAlerts,
      cell: (rule) =>
        rule.openAlerts === 0 ? (
          <span className="dim num">0</span>
        ) : (
          <Link to="/alerts" search={{ pack: rule.pack, rule: rule.id }} className="num">
            {rule.openAlerts.toLocaleString("en")}
          </Link>
        ),
    },
    { id: "last", header: "Last hit", width: "minmax(7rem, max-content)", value: (rule) => dateOf(rule.lastHitAt)?.toISOString(), cell: (rule) => <Time at={rule.lastHitAt} ago none="never" /> },
    { id: "pack", header: "Pack", width: "minmax(7rem, 0.6fr)", value: (rule) => rule.pack, cell: (rule) => <Raw text={rule.pack} /> },
    { id: "status", header: "Status", width: "minmax(6rem, max-content)", off: true, value: (rule) => rule.status },
    { id: "logsource", header: "Log source", width: "minmax(10rem, 1fr)", off: true, value: (rule) => rule.logsource, cell: (rule) => (rule.logsource === "" ? "–" : <Raw text={rule.logsource} />) },
    { id: "tags", header: "Tags", width: "minmax(10rem, 1fr)", off: true, value: (rule) => rule.tags.join(", "), cell: (rule) => (rule.tags.length === 0 ? "–" : <Raw text={rule.tags.join(", ")} />) },
    { id: "path", header: "File", width: "minmax(10rem, 1fr)", off: true, value: (rule) => `${rule.path}:${rule.line}`, cell: (rule) => <Raw text={`${rule.path}:${rule.line}`} line /> },
    { id: "id", header: "Id", width: "minmax(12rem, 1fr)", off: true, value: (rule) => rule.id, cell: (rule) => <Raw text={rule.id} line /> },
  ];
}

/** RuleTable lists rules with what they hit. */
export function RuleTable({ filter, filters, filtered }: { readonly filter: RuleFilter; readonly filters: ReactNode; readonly filtered: boolean }) {
  const list = useList({ key: rulesKey(filter), ask: rulesAsk(filter) });
  const columns = useMemo(() => columnsFor(filter.days), [filter.days]);
  return (
    <DataTable
      name="rules"
      label="Rules"
      main
      columns={columns}
      list={list}
      rowKey={(rule) => `${rule.pack} ${rule.id}`}
      filters={filters}
      empty={
        filtered ? (
          <Empty title="No rule fits this filter">
            <Link to="/rules" search={{}}>
              Show all rules
            </Link>
          </Empty>
        ) : (
          <NoRules />
        )
      }
    />
  );
}

/** NoRules says how rules get here. */
export function NoRules() {
  return (
    <Empty title="No rule is loaded yet">
      <p>Detection rules come in packs of Sigma YAML. An administrator brings one in with “Import rules” above, or with:</p>
      <p className="mono">assayctl rules import FOLDER --pack NAME --enable 'level&gt;=high' --reason TEXT</p>
      <p className="dim">It first says what it would turn on when called with --dry-run.</p>
    </Empty>
  );
}
