import { useQuery } from "@tanstack/react-query";
import type { RuleProblem } from "../../gen/assay/console/v1/rule_pb";
import { useList } from "../../lib/list";
import { DataTable, type Column } from "../../ui/DataTable";
import { Choice } from "../../ui/Filter";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import { packsQuery, problemsAsk, problemsKey } from "./queries";
import { NoRules } from "./RuleTable";

/** problemColumns say of a refused rule where it stands and why it was refused. */
export const problemColumns: readonly Column<RuleProblem>[] = [
  { id: "place", header: "Where", width: "minmax(14rem, 1fr)", value: (one) => `${one.path}:${one.line}`, cell: (one) => <Raw text={`${one.path}:${one.line}`} /> },
  { id: "rule", header: "Rule", width: "minmax(10rem, 1fr)", value: (one) => one.rule, cell: (one) => (one.rule === "" ? <span className="dim">could not be read</span> : <Raw text={one.rule} sentence />) },
  { id: "reason", header: "Why it was refused", width: "minmax(16rem, 2fr)", value: (one) => one.reason, cell: (one) => <Raw text={one.reason} sentence /> },
];

interface RefusedProps {
  readonly pack: string | undefined;
  readonly version: string | undefined;
  readonly onChoose: (pack: string | undefined, version: string | undefined) => void;
}

/** Refused lists what of a pack could not be taken, with file, line and reason. */
export function Refused({ pack, version, onChoose }: RefusedProps) {
  const packs = useQuery(packsQuery);
  if (packs.data === undefined) return packs.isError ? <Failure error={packs.error} again={() => void packs.refetch()} /> : <Loading what="packs" />;
  const all = packs.data.packs;
  const chosen =
    all.find((one) => one.name === pack && (version === undefined ? one.inForce : one.version === version)) ?? all.find((one) => pack === undefined && one.inForce && one.problems > 0) ?? all.find((one) => pack === undefined && one.inForce) ?? all[0];
  if (chosen === undefined) return <NoRules />;
  return (
    <Problems
      pack={chosen.name}
      version={chosen.version}
      filters={
        <Choice
          label="Pack"
          any="The first with refused rules"
          value={pack === undefined ? undefined : `${chosen.name} ${chosen.version}`}
          choices={all.map((one) => [`${one.name} ${one.version}`, `${one.name} ${one.version}${one.inForce ? ", in force" : ""} – ${one.problems} refused`])}
          onChange={(value) => {
            const found = all.find((one) => `${one.name} ${one.version}` === value);
            onChoose(found?.name, found?.version);
          }}
        />
      }
    />
  );
}

function Problems({ pack, version, filters }: { readonly pack: string; readonly version: string; readonly filters: React.ReactNode }) {
  const list = useList({ key: problemsKey(pack, version), ask: problemsAsk(pack, version) });
  return (
    <DataTable
      name="refused-rules"
      label="Refused rules"
      main
      columns={problemColumns}
      list={list}
      rowKey={(one) => `${one.path} ${one.line} ${one.rule} ${one.reason}`}
      filters={filters}
      empty={
        <Empty title="Nothing was refused">
          Every rule of <Raw text={pack} /> <Raw text={version} /> could be taken. What cannot is listed here with its file, its line and why.
        </Empty>
      }
    />
  );
}
