import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { RulePack, RuleSet } from "../../gen/assay/console/v1/rule_pb";
import { ruleApi } from "../../lib/api";
import { listOf } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { Hash } from "../../ui/Copy";
import { DataTable, type Column } from "../../ui/DataTable";
import { Icon } from "../../ui/Icon";
import { Failure, Loading } from "../../ui/Note";
import { Facts, Section, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { ReasonDialog } from "../../ui/ReasonDialog";
import state from "../../ui/state.module.css";
import { Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import { changedRules, packsQuery } from "./queries";
import { NoRules } from "./RuleTable";

function columnsFor(onUse: ((pack: RulePack) => void) | undefined): readonly Column<RulePack>[] {
  const columns: Column<RulePack>[] = [
    {
      id: "name",
      header: "Pack",
      width: "minmax(9rem, 1fr)",
      value: (pack) => pack.name,
      cell: (pack) => (
        <>
          <Link to="." search={{ pack: pack.name }}>
            <Raw text={pack.name} />
          </Link>{" "}
          {pack.builtin ? <Tag title="Comes with the server">built in</Tag> : null}
        </>
      ),
    },
    { id: "version", header: "Version", width: "minmax(8rem, 1fr)", value: (pack) => pack.version, cell: (pack) => <Raw text={pack.version} /> },
    { id: "force", header: "In force", width: "minmax(6rem, max-content)", value: (pack) => pack.inForce, cell: (pack) => (pack.inForce ? <span className={`${state.mark} ${state.pass ?? ""}`}><Icon name="done" size={12} />In force</span> : <span className="dim">kept</span>) },
    { id: "rules", header: "Rules", width: "minmax(4rem, max-content)", end: true, value: (pack) => pack.rules },
    { id: "correlations", header: "Correlations", width: "minmax(6rem, max-content)", end: true, value: (pack) => pack.correlations },
    { id: "enabled", header: "Enabled", width: "minmax(5rem, max-content)", end: true, value: (pack) => pack.enabled },
    {
      id: "problems",
      header: "Refused",
      width: "minmax(5rem, max-content)",
      end: true,
      value: (pack) => pack.problems,
      cell: (pack) =>
        pack.problems === 0 ? (
          <span className="dim num">0</span>
        ) : (
          <Link to="." search={{ tab: "refused" as const, pack: pack.name, version: pack.version }} className="num">
            {pack.problems.toLocaleString("en")}
          </Link>
        ),
    },
    { id: "imported", header: "Imported", width: "minmax(7rem, max-content)", value: (pack) => dateOf(pack.importedAt)?.toISOString(), cell: (pack) => <Time at={pack.importedAt} ago /> },
    { id: "by", header: "By", width: "minmax(5rem, max-content)", value: (pack) => pack.importedBy, cell: (pack) => (pack.importedBy === "" ? <span className="dim">the server</span> : <Raw text={pack.importedBy} />) },
  ];
  if (onUse === undefined) return columns;
  return [
    ...columns,
    {
      id: "use",
      header: "Action",
      width: "minmax(7rem, max-content)",
      value: () => undefined,
      cell: (pack) =>
        pack.inForce ? null : (
          <Button size="compact-xs" variant="default" onClick={() => onUse(pack)}>
            Put in force<span className="sr">: {visibleText(`${pack.name} ${pack.version}`)}</span>
          </Button>
        ),
    },
  ];
}

/** Packs lists the packs with their versions, and says what is in force. */
export function Packs() {
  const query = useQuery(packsQuery);
  const admin = useIsAdmin();
  const [using, setUsing] = useState<RulePack>();
  const columns = useMemo(() => columnsFor(admin ? setUsing : undefined), [admin]);
  const list = useMemo(() => listOf(query.data?.packs ?? []), [query.data]);
  if (query.data === undefined) return query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading what="packs" />;
  return (
    <>
      {query.data.set === undefined ? null : <InForce of={query.data.set} />}
      <DataTable name="packs" label="Packs" main columns={columns} list={list} rowKey={(pack) => `${pack.name} ${pack.version}`} empty={<NoRules />} />
      {using === undefined ? null : (
        <ReasonDialog title="Put this version in force" button="Put in force" changed={changedRules} send={(reason) => ruleApi.useRulePack({ pack: using.name, version: using.version, reason })} onDone={() => setUsing(undefined)}>
          <p>
            <Raw text={using.name} /> <Raw text={using.version} /> takes the place of the version in force. Rules keep whether they are enabled.
          </p>
        </ReasonDialog>
      )}
    </>
  );
}

function InForce({ of }: { readonly of: RuleSet }) {
  return (
    <Section title="In force now">
      <Facts
        of={[
          ["Rules", `${of.rules.toLocaleString("en")} and ${of.correlations.toLocaleString("en")} correlations`],
          ["Digest", <Hash key="digest" value={of.digest} what="the digest of the set" />],
          [
            "Since",
            <span key="since">
              <Link to="/ledger" search={{ position: of.since.toString() }} className="num">
                ledger position {of.since.toLocaleString("en")}
              </Link>
              , <Time at={of.changedAt} />
            </span>,
          ],
          ["Events", of.behind === 0n ? "every batch is matched" : <span key="behind"><Tag warn>{of.behind.toLocaleString("en")} positions behind</Tag> matched below {of.projected.toLocaleString("en")}</span>],
        ]}
      />
    </Section>
  );
}
