import { Link } from "@tanstack/react-router";
import type { Transition } from "../../gen/assay/console/v1/status_pb";
import { useList } from "../../lib/list";
import { useMoment } from "../../lib/moment";
import { stateName, stateWords } from "../../lib/state";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Empty } from "../../ui/Note";
import { StateMark } from "../../ui/State";
import { Time } from "../../ui/Time";
import { reasonWords } from "../control/words";
import { transitionsAsk } from "./queries";

const columns: readonly Column<Transition>[] = [
  { id: "valid", header: "Became so", width: "minmax(11rem, max-content)", value: (change) => dateOf(change.validAt)?.toISOString(), cell: (change) => <Time at={change.validAt} /> },
  {
    id: "check",
    header: "Check",
    width: "minmax(9rem, 1fr)",
    value: (change) => change.check,
    cell: (change) => (
      <Link to="." search={(old) => ({ at: old.at, check: change.check })} className="mono">
        {change.check}
      </Link>
    ),
  },
  { id: "from", header: "From", width: "minmax(8rem, max-content)", value: (change) => stateWords[stateName(change.from)], cell: (change) => <StateMark state={stateName(change.from)} /> },
  { id: "to", header: "To", width: "minmax(8rem, max-content)", value: (change) => stateWords[stateName(change.to)], cell: (change) => <StateMark state={stateName(change.to)} /> },
  { id: "reason", header: "Reason", width: "minmax(8rem, 1fr)", value: (change) => reasonWords(change.reason) },
  { id: "recorded", header: "Known since", width: "minmax(11rem, max-content)", value: (change) => dateOf(change.recordedAt)?.toISOString(), cell: (change) => <Time at={change.recordedAt} /> },
  { id: "position", header: "Leaf", width: "minmax(5rem, max-content)", end: true, value: (change) => change.position },
];

/** HostChanges lists a host's changes of state up to the moment looked at. */
export function HostChanges({ id }: { readonly id: string }) {
  const moment = useMoment();
  const keep =
    moment.kind === "now"
      ? undefined
      : moment.kind === "tree"
        ? (change: Transition) => change.position < moment.size
        : (change: Transition) => (dateOf(change.validAt) ?? moment.at) <= moment.at;
  const list = useList({ key: ["transitions", id], ask: transitionsAsk(id), keep });
  return (
    <DataTable
      name={`changes-${id}`}
      label="Changes of state"
      main
      columns={columns}
      list={list}
      rowKey={(change) => `${change.position.toString()} ${change.check}`}
      empty={<Empty title="No change of state">Each change of a verdict on this host will be listed here with its leaf in the ledger.</Empty>}
    />
  );
}
