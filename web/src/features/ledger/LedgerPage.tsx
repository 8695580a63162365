import { Button, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState, type SyntheticEvent } from "react";
import type { GetLedgerResponse } from "../../gen/assay/console/v1/ledger_pb";
import { parseCheckpoint } from "../../lib/merkle";
import { CopyLabel } from "../../ui/Copy";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Facts, Page, Section } from "../../ui/Page";
import { Time } from "../../ui/Time";
import css from "../event/event.module.css";
import { Position } from "./Position";
import { ledgerQuery } from "./queries";
import { Verification } from "./Verification";
import { Keys, Lost, Vouching } from "./Vouching";

const route = getRouteApi("/app/ledger");

/** LedgerPage shows the evidence log and checks it. */
export function LedgerPage() {
  const query = useQuery(ledgerQuery);
  return (
    <Page name="Ledger" title="Ledger" lead="Every batch, verdict, finding and action is a leaf of one append-only tree. Signed checkpoints fix its content: a change afterwards shows.">
      {query.data !== undefined ? <Ledger of={query.data} /> : query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={10} what="ledger" />}
    </Page>
  );
}

function Ledger({ of }: { readonly of: GetLedgerResponse }) {
  const { position } = route.useSearch();
  const checkpoint = parseCheckpoint(of.checkpoint);
  return (
    <>
      {of.size === 0n ? (
        <Empty title="The ledger is empty">
          <p>
            Its first leaf is written with the first action or batch. Enrol an agent under <Link to="/agents">Agents</Link>.
          </p>
        </Empty>
      ) : null}
      <Section title="Tree">
        <Facts
          of={[
            ["Size", <span key="size" className="num">{of.size.toLocaleString("en")} leaves</span>],
            [
              "Newest checkpoint",
              of.checkpointSize === 0n ? (
                "none yet"
              ) : (
                <span key="checkpoint">
                  size <span className="num">{of.checkpointSize.toLocaleString("en")}</span>, signed <Time at={of.checkpointAt} />
                </span>
              ),
            ],
            ["Origin", checkpoint?.origin ?? "–"],
          ]}
        />
        {of.checkpoint === "" ? null : (
          <div className="stack" style={{ gap: 6, marginTop: 10 }}>
            <pre className={css.note} tabIndex={0} aria-label="Newest signed checkpoint">
              {of.checkpoint}
            </pre>
            <div className="no-print">
              <CopyLabel value={of.checkpoint} what="checkpoint" />
            </div>
          </div>
        )}
      </Section>
      {of.size === 0n ? null : <Vouching of={of} />}
      <Verification last={of.lastVerification} />
      <Keys of={of.keys} />
      <Lost of={of.lost} />
      <Section title="Look a position up">
        <Lookup key={position ?? ""} position={position} />
      </Section>
    </>
  );
}

function Lookup({ position }: { readonly position: string | undefined }) {
  const navigate = useNavigate();
  const [text, setText] = useState(position ?? "");
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    void navigate({ to: ".", search: (old) => ({ ...old, position: text.trim() === "" ? undefined : text.trim() }), resetScroll: false });
  };
  return (
    <div className="stack">
      <form onSubmit={onSubmit} className="row no-print" style={{ alignItems: "flex-end" }}>
        <TextInput label="Ledger position" inputMode="numeric" pattern="[0-9]*" maxLength={20} data-filter value={text} onChange={(event) => setText(event.currentTarget.value)} />
        <Button type="submit" variant="default">
          Look up
        </Button>
      </form>
      {position === undefined ? null : <Position of={BigInt(position)} />}
    </div>
  );
}
