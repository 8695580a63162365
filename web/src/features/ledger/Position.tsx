import { Code } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { isCode } from "../../lib/fault";
import { EventLink } from "../../ui/Evidence";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import { Proof } from "../event/Proof";
import { eventQuery } from "../event/queries";

/** Position shows the batch at a ledger position with its proof. */
export function Position({ of }: { readonly of: bigint }) {
  const query = useQuery(eventQuery(of, 0));
  if (query.isError) {
    if (isCode(query.error, Code.NotFound)) {
      return <Empty title={`No batch of events at position ${of.toLocaleString("en")}`}>The leaf there may hold an evaluation, a finding or an operator’s action, or the position may lie beyond the tree.</Empty>;
    }
    return <Failure error={query.error} again={() => void query.refetch()} />;
  }
  const found = query.data;
  if (found === undefined) return <Loading lines={5} what="leaf" />;
  if (found.batch === undefined) return <Empty title="This leaf is no batch of events">It holds an evaluation, a finding or an operator’s action.</Empty>;
  const { batch } = found;
  return (
    <div className="stack" style={{ gap: 10 }}>
      <p>
        A batch of{" "}
        <Link to="/hosts/$id" params={{ id: found.hostId }}>
          <Raw text={found.hostName} />
        </Link>{" "}
        with {batch.eventCount} events:{" "}
        {Array.from({ length: Math.min(batch.eventCount, 20) }, (_, i) => (
          <span key={i}>
            {i === 0 ? "" : ", "}
            <EventLink of={{ $typeName: "assay.console.v1.EventRef", position: of, ordinal: i }}>{i}</EventLink>
          </span>
        ))}
        {batch.eventCount > 20 ? ", …" : ""}
      </p>
      <Proof of={batch} />
    </div>
  );
}
