import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { GetLedgerResponse, LedgerKey, LostRange, Witness } from "../../gen/assay/console/v1/ledger_pb";
import { parseSuccession } from "../../lib/succession";
import { Facts, Section, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";

const leaves = (n: bigint): ReactNode => <span className="num">{n.toLocaleString("en")} leaves</span>;

/** Vouching is who stands behind the ledger besides the server: hosts, witnesses, a time-stamp. */
export function Vouching({ of }: { readonly of: GetLedgerResponse }) {
  const stamp = of.timeStamps[0];
  const rows: [string, ReactNode][] = [
    [
      "Hosts",
      <span key="hosts">
        <span className="num">{of.cosignedHosts.toLocaleString("en")}</span> of <span className="num">{of.hosts.toLocaleString("en")}</span> verified and cosigned it within the last hour
        {of.cosignedSize === 0n ? null : <>, half of those up to {leaves(of.cosignedSize)} or more</>}
      </span>,
    ],
    ...of.witnesses.map((one): [string, ReactNode] => ["Witness", <Cosigned key={one.key} by={one} />]),
  ];
  if (!of.witnessed) {
    rows.push([
      "Witnesses",
      <span key="witness" className="row">
        <Tag warn>unwitnessed</Tag>
        <span>No outside witness has cosigned: whoever holds the server and its key could write another history.</span>
      </span>,
    ]);
  }
  if (stamp !== undefined) {
    rows.push([
      "Time-stamp",
      <span key="stamp">
        {leaves(stamp.size)} <Time at={stamp.stampedAt} /> by <Raw text={stamp.authority} />
      </span>,
    ]);
  }
  return (
    <Section title="Who vouches for it">
      <Facts of={rows} />
    </Section>
  );
}

function Cosigned({ by }: { readonly by: Witness }) {
  return (
    <span className="row">
      <Raw text={by.name} />
      {by.size === 0n ? (
        <span>has cosigned nothing yet</span>
      ) : (
        <span>
          cosigned {leaves(by.size)} <Time at={by.signedAt} />
        </span>
      )}
      {by.configured ? null : <Tag title="The server is no longer told to believe it">no longer believed</Tag>}
    </span>
  );
}

/** Keys are those that signed checkpoints, and how each came to follow the one before. */
export function Keys({ of }: { readonly of: readonly LedgerKey[] }) {
  if (of.length === 0) return null;
  return (
    <Section title="Keys">
      <Facts of={of.map((one): [string, ReactNode] => [`From position ${one.position.toLocaleString("en")}`, <Key key={one.key} of={one} />])} />
    </Section>
  );
}

function Key({ of }: { readonly of: LedgerKey }) {
  const succession = parseSuccession(of.succession);
  return (
    <div className="stack" style={{ gap: 4 }}>
      <code style={{ overflowWrap: "anywhere" }}>
        <Raw text={of.key} />
      </code>
      {of.rotation === "" ? null : <span className="dim">The key before signed that this one follows.</span>}
      {succession === undefined ? null : (
        <span className="row">
          <Tag warn>restored</Tag>
          <span>
            An older backup was restored: the ledger <Raw text={succession.previous} /> ended with {leaves(succession.held)} by its own word, and this one began with {leaves(succession.kept)} of them.
          </span>
        </span>
      )}
    </div>
  );
}

/** Lost lists what was acknowledged and nobody has any more. */
export function Lost({ of }: { readonly of: readonly LostRange[] }) {
  if (of.length === 0) return null;
  return (
    <Section title="Lost" aside="acknowledged before an older backup was restored, and held by nobody">
      <Facts
        of={of.map((one): [string, ReactNode] => [
          one.toNumber === 0n ? `From batch ${one.fromNumber.toLocaleString("en")} on` : `Batches ${one.fromNumber.toLocaleString("en")} to ${one.toNumber.toLocaleString("en")}`,
          <span key={`${one.streamId} ${one.epoch}`}>
            of <Link to="/hosts/$id" params={{ id: one.hostId }}>host {one.hostId.slice(0, 8)}</Link>, stream <code>{one.streamId.slice(0, 8)}</code>, epoch <span className="num">{one.epoch}</span>
          </span>,
        ])}
      />
    </Section>
  );
}
