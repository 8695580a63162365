import { Button } from "@mantine/core";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useState } from "react";
import { levelOrder, levelWords } from "../../lib/level";
import { oneOf } from "../../lib/search";
import { hitSpans, ruleTabs, type RuleTab } from "../../routes/searches";
import { Choice, TextFilter } from "../../ui/Filter";
import { Icon } from "../../ui/Icon";
import { Page } from "../../ui/Page";
import tabs from "../../ui/tabs.module.css";
import { useIsAdmin } from "../session/useSession";
import { Backfills } from "./Backfills";
import { Packs } from "./Packs";
import { packsQuery } from "./queries";
import { Refused } from "./Refused";
import { RuleTable } from "./RuleTable";

const route = getRouteApi("/app/rules");
const ImportRules = lazy(() => import("./ImportRules").then((module) => ({ default: module.ImportRules })));

const tabWords: Readonly<Record<RuleTab, string>> = { rules: "Rules", packs: "Packs", refused: "Refused", backfills: "Over the past" };

/** RulesPage is what events are matched against. */
export function RulesPage() {
  const { tab = "rules", pack, version } = route.useSearch();
  const navigate = useNavigate();
  const admin = useIsAdmin();
  const [importing, setImporting] = useState(false);
  const packs = useQuery(packsQuery).data;
  const refused = packs?.packs.filter((one) => one.inForce).reduce((sum, one) => sum + one.problems, 0) ?? 0;
  return (
    <Page
      name="Rules"
      title="Rules"
      lead="Detection rules in Sigma’s language. A change of what is in force is a leaf of the ledger, and holds from exactly that position on."
      actions={
        admin ? (
          <Button leftSection={<Icon name="plus" size={13} />} onClick={() => setImporting(true)}>
            Import rules
          </Button>
        ) : undefined
      }
    >
      <nav aria-label="Parts of the rules" className={tabs.tabs}>
        {ruleTabs.map((name) => (
          <Link key={name} to="." search={(old) => ({ at: old.at, tab: name === "rules" ? undefined : name })} resetScroll={false} activeOptions={{ includeSearch: true, explicitUndefined: true }}>
            {tabWords[name]}
            {name === "refused" && refused > 0 ? ` (${refused.toLocaleString("en")})` : ""}
          </Link>
        ))}
      </nav>
      {tab === "rules" ? <Rules /> : null}
      {tab === "packs" ? <Packs /> : null}
      {tab === "refused" ? <Refused pack={pack} version={version} onChoose={(name, number) => void navigate({ to: ".", search: (old) => ({ ...old, pack: name, version: number }) })} /> : null}
      {tab === "backfills" ? <Backfills /> : null}
      <Suspense fallback={null}>{importing ? <ImportRules onDone={() => setImporting(false)} /> : null}</Suspense>
    </Page>
  );
}

function Rules() {
  const { q, pack, level, enabled, hit, days = "7" } = route.useSearch();
  const navigate = useNavigate();
  const packs = useQuery(packsQuery).data?.packs ?? [];
  const filter = useMemo(() => ({ text: q, pack, level, enabled, onlyHit: hit === "yes", days: Number(days) }), [q, pack, level, enabled, hit, days]);
  const set = (next: Partial<ReturnType<typeof route.useSearch>>): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }) });
  };
  return (
    <RuleTable
      filter={filter}
      filtered={[q, pack, level, enabled, hit].some((one) => one !== undefined)}
      filters={
        <>
          <TextFilter label="Title, id or tag" value={q} onChange={(value) => set({ q: value })} />
          <Choice label="Pack" any="All" value={pack} choices={[...new Set(packs.map((one) => one.name))].map((name) => [name, name])} onChange={(value) => set({ pack: value })} />
          <Choice label="Level" any="Any" value={level} choices={levelOrder.map((one) => [one, one === "critical" ? levelWords[one] : `${levelWords[one]} and above`])} onChange={(value) => set({ level: oneOf(value, levelOrder) })} />
          <Choice
            label="Enabled"
            any="Yes and no"
            value={enabled}
            choices={[
              ["yes", "Enabled"],
              ["no", "Disabled"],
            ]}
            onChange={(value) => set({ enabled: oneOf(value, ["yes", "no"] as const) })}
          />
          <Choice label="Hits" any="With and without" value={hit} choices={[["yes", "With hits only"]]} onChange={(value) => set({ hit: oneOf(value, ["yes"] as const) })} />
          <Choice
            label="Counted over"
            any="7 days"
            value={days === "7" ? undefined : days}
            choices={[
              ["1", "24 hours"],
              ["30", "30 days"],
              ["90", "90 days"],
            ]}
            onChange={(value) => set({ days: oneOf(value, hitSpans) })}
          />
        </>
      }
    />
  );
}
