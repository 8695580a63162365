import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Detection } from "../../gen/assay/console/v1/alert_pb";
import { useList } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { EventLink, EvidenceLinks, refName } from "../../ui/Evidence";
import { Empty } from "../../ui/Note";
import { Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { detectionsAsk, detectionsKey, type DetectionFilter } from "./queries";

const matchedText = (of: Detection): string => of.matched.map((one) => `${one.field}=${one.value}`).join("; ");

const columns: readonly Column<Detection>[] = [
  { id: "event", header: "Event", width: "minmax(6rem, max-content)", value: (of) => (of.event === undefined ? "" : refName(of.event)), cell: (of) => (of.event === undefined ? "–" : <EventLink of={of.event} />) },
  {
    id: "observed",
    header: "Observed",
    width: "minmax(12.5rem, max-content)",
    value: (of) => dateOf(of.observedAt)?.toISOString(),
    cell: (of) => (
      <>
        <Time at={of.observedAt} /> {of.clockFault ? <Tag warn title="The host’s clock was wrong: this is the time of receipt">of receipt</Tag> : null}
      </>
    ),
  },
  {
    id: "host",
    header: "Host",
    width: "minmax(9rem, 0.8fr)",
    value: (of) => of.hostName,
    cell: (of) => (
      <Link to="/hosts/$id" params={{ id: of.hostId }}>
        <Raw text={of.hostName} />
      </Link>
    ),
  },
  { id: "matched", header: "Matched on", width: "minmax(14rem, 2fr)", value: matchedText, cell: (of) => (of.matched.length === 0 ? <Members of={of} /> : <Raw text={matchedText(of)} line />) },
  { id: "grade", header: "Grade", width: "minmax(4rem, max-content)", value: (of) => of.grade },
  {
    id: "became",
    header: "Became",
    width: "minmax(7rem, max-content)",
    value: (of) => (of.suppression !== "" ? "suppressed" : of.alert !== "" ? "alert" : "listed only"),
    cell: (of) =>
      of.suppression !== "" ? (
        <Tag>suppressed</Tag>
      ) : of.alert !== "" ? (
        <Link to="/alerts/$id" params={{ id: of.alert }}>
          alert
        </Link>
      ) : (
        <span className="dim">listed only</span>
      ),
  },
  { id: "received", header: "Received", width: "minmax(12.5rem, max-content)", off: true, value: (of) => dateOf(of.receivedAt)?.toISOString(), cell: (of) => <Time at={of.receivedAt} /> },
  { id: "version", header: "Pack version", width: "minmax(7rem, max-content)", off: true, value: (of) => of.version },
  { id: "channel", header: "Channel", width: "minmax(9rem, 1fr)", off: true, value: (of) => of.channel, cell: (of) => (of.channel === "" ? "–" : <Raw text={of.channel} line />) },
  { id: "event_id", header: "Event id", width: "minmax(5rem, max-content)", off: true, end: true, value: (of) => of.eventId },
];

function Members({ of }: { readonly of: Detection }) {
  if (of.memberCount === 0) return <span className="dim">–</span>;
  return (
    <span className="row" style={{ gap: 6 }}>
      <EvidenceLinks of={of.members} total={of.memberCount} />
      {of.group.length === 0 ? null : <Raw text={of.group.map((one) => `${one.name}=${one.value}`).join("; ")} line />}
    </span>
  );
}

interface DetectionsProps {
  readonly name: string;
  readonly filter: DetectionFilter;
  readonly withHost?: boolean;
  readonly empty?: ReactNode;
}

/** Detections lists the matches of an alert or of a rule, newest first. */
export function Detections({ name, filter, withHost = true, empty }: DetectionsProps) {
  const list = useList({ key: detectionsKey(filter), ask: detectionsAsk(filter) });
  return (
    <DataTable
      name={name}
      label="Detections"
      plain
      columns={withHost ? columns : columns.filter((column) => column.id !== "host" && column.id !== "became")}
      list={list}
      rowKey={(of) => `${of.pack} ${of.rule} ${of.event === undefined ? "" : refName(of.event)}`}
      empty={empty ?? <Empty title="No detection">Each event that the rule matches is listed here.</Empty>}
    />
  );
}
