import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Stream } from "../../gen/assay/console/v1/host_pb";
import { listOf } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Empty } from "../../ui/Note";
import { Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";

const columns: readonly Column<Stream>[] = [
  {
    id: "kind",
    header: "Stream",
    width: "minmax(9rem, 1fr)",
    value: (stream) => stream.kind,
    cell: (stream) => (
      <>
        <strong>{stream.kind}</strong> {stream.revoked ? <Tag warn>revoked</Tag> : null}
      </>
    ),
  },
  { id: "id", header: "Id", width: "minmax(12rem, 1.4fr)", value: (stream) => stream.id, cell: (stream) => <Raw text={stream.id} /> },
  { id: "epoch", header: "Epoch", width: "minmax(4rem, max-content)", end: true, value: (stream) => stream.epoch },
  { id: "number", header: "Batch", width: "minmax(5rem, max-content)", end: true, value: (stream) => stream.number },
  { id: "events", header: "Events", width: "minmax(6rem, max-content)", end: true, value: (stream) => stream.events },
  {
    id: "position",
    header: "Ledger position",
    width: "minmax(7rem, max-content)",
    end: true,
    value: (stream) => stream.position,
    cell: (stream) => (
      <Link to="/ledger" search={{ position: stream.position.toString() }} className="num">
        {stream.position.toLocaleString("en")}
      </Link>
    ),
  },
  {
    id: "forks",
    header: "Forks",
    width: "minmax(5rem, max-content)",
    value: (stream) => stream.forks,
    cell: (stream) => (stream.forks === 0 ? "none" : <Tag warn title="Two batches claimed the same place; both are kept">{stream.forks} forked</Tag>),
  },
  { id: "committed", header: "Last batch", width: "minmax(8rem, max-content)", value: (stream) => dateOf(stream.committedAt)?.toISOString(), cell: (stream) => <Time at={stream.committedAt} ago /> },
  { id: "certificate", header: "Certificate ends", width: "minmax(8rem, max-content)", value: (stream) => dateOf(stream.certificateExpiresAt)?.toISOString(), cell: (stream) => <Time at={stream.certificateExpiresAt} ago /> },
  { id: "hash", header: "Head hash", width: "minmax(18rem, 2fr)", value: (stream) => stream.hash, cell: (stream) => <Raw text={stream.hash} line /> },
];

/** HostStreams lists the chains of a host with their heads. */
export function HostStreams({ of }: { readonly of: readonly Stream[] }) {
  const list = useMemo(() => listOf(of), [of]);
  return (
    <DataTable name="streams" label="Streams" main columns={columns} list={list} rowKey={(stream) => stream.id} empty={<Empty title="No stream yet">A stream appears with the first batch that this host’s agent sends.</Empty>} />
  );
}
