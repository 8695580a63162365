import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { BatchProof } from "../../gen/assay/console/v1/event_pb";
import { checkInclusion, parseCheckpoint, type Inclusion } from "../../lib/merkle";
import { Hash } from "../../ui/Copy";
import { Icon } from "../../ui/Icon";
import { Facts } from "../../ui/Page";
import css from "./event.module.css";

/** Proof shows the batch of an event, its leaf and how a checkpoint covers it. */
export function Proof({ of }: { readonly of: BatchProof }) {
  const checkpoint = parseCheckpoint(of.checkpointNote);
  return (
    <>
      <Covered of={of} />
      <Facts
        of={[
          [
            "Ledger position",
            <Link key="position" to="/ledger" search={{ position: of.position.toString() }} className="num">
              {of.position.toLocaleString("en")}
            </Link>,
          ],
          ["Chain", `${of.streamKind} stream, epoch ${of.epoch}, batch ${of.number.toLocaleString("en")}${of.signed ? ", head signed" : ""}`],
          ["Events in the batch", of.eventCount],
          ["Stream", <Hash key="stream" value={of.streamId} what="the stream id" />],
          ["Header hash", <Hash key="header" value={of.headerHash} what="the header hash" />],
          ["Previous hash", <Hash key="previous" value={of.previousHash} what="the previous hash" />],
          ["Payload SHA-256", <Hash key="payload" value={of.payloadSha256} what="the payload hash" />],
          ["This event’s commitment", <Hash key="commitment" value={of.commitment} what="the commitment" />],
          ["Commitment root", <Hash key="root" value={of.commitmentRoot} what="the commitment root" />],
          ["Leaf hash", <Hash key="leaf" value={of.leafHash} what="the leaf hash" />],
          ["Checkpoint", of.checkpointSize === 0n ? "none yet" : `size ${of.checkpointSize.toLocaleString("en")}${checkpoint === undefined ? "" : `, ${checkpoint.origin}`}`],
        ]}
      />
      {of.checkpointNote === "" ? null : (
        <details>
          <summary>Signed checkpoint</summary>
          <pre className={css.note} tabIndex={0} aria-label="Signed checkpoint">
            {of.checkpointNote}
          </pre>
        </details>
      )}
      {of.inclusionProof.length === 0 ? null : (
        <details>
          <summary>Inclusion proof, {of.inclusionProof.length} hashes</summary>
          <ol className={css.proof}>
            {of.inclusionProof.map((hash, i) => (
              <li key={`${hash} ${i}`}>{hash}</li>
            ))}
          </ol>
        </details>
      )}
    </>
  );
}

const outcomes: Readonly<Record<Inclusion, readonly [words: string, colour: string, icon: "done" | "fail" | "unknown"]>> = {
  included: ["Included: the proof leads from this leaf to the checkpoint’s root, as computed in this browser", "var(--pass)", "done"],
  differs: ["Not included: the proof does not lead to the checkpoint’s root. Keep this page and run a verification.", "var(--fail)", "fail"],
  unreadable: ["Not checked here: the proof or the checkpoint cannot be read by this console", "var(--unknown)", "unknown"],
  unavailable: ["Not checked here: browsers compute hashes only on pages that came over HTTPS", "var(--unknown)", "unknown"],
};

function Covered({ of }: { readonly of: BatchProof }) {
  const covered = of.checkpointSize > 0n;
  const check = useQuery({
    queryKey: ["inclusion", of.leafHash, of.position.toString(), of.checkpointNote, of.inclusionProof],
    queryFn: () => checkInclusion(of.leafHash, of.position, of.checkpointNote, of.inclusionProof),
    enabled: covered,
    staleTime: Infinity,
  });
  if (!covered) return <p className="dim">No signed checkpoint covers this leaf yet; one is signed within seconds of its arrival.</p>;
  const outcome = outcomes[check.data ?? "unreadable"];
  if (check.data === undefined) return <p className="dim">Checking the proof</p>;
  return (
    <p className={css.verdict} style={{ color: outcome[1] }}>
      <Icon name={outcome[2]} />
      {outcome[0]}
    </p>
  );
}
