import { Button, Progress } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { Verification as Report, VerifyResponse } from "../../gen/assay/console/v1/ledger_pb";
import { ledgerApi } from "../../lib/api";
import { durationWords } from "../../lib/duration";
import { dateOf } from "../../lib/time";
import { Icon } from "../../ui/Icon";
import { Failure } from "../../ui/Note";
import { Facts, Section } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import { ledgerQuery } from "./queries";

type Run = { readonly kind: "idle" } | { readonly kind: "running"; readonly at: VerifyResponse | undefined } | { readonly kind: "failed"; readonly error: unknown } | { readonly kind: "done"; readonly report: Report };

/** Verification shows the last run and, for admins, starts one and follows it. */
export function Verification({ last }: { readonly last: Report | undefined }) {
  const admin = useIsAdmin();
  const client = useQueryClient();
  const [run, setRun] = useState<Run>({ kind: "idle" });
  const control = useRef<AbortController>(undefined);
  useEffect(() => () => control.current?.abort(), []);

  const start = async (): Promise<void> => {
    const abort = new AbortController();
    control.current = abort;
    setRun({ kind: "running", at: undefined });
    try {
      let report: Report | undefined;
      for await (const progress of ledgerApi.verify({}, { signal: abort.signal })) {
        report = progress.report;
        setRun({ kind: "running", at: progress });
      }
      if (report === undefined) throw new Error("the run ended without a report");
      setRun({ kind: "done", report });
      void client.invalidateQueries({ queryKey: ledgerQuery.queryKey });
    } catch (error) {
      if (abort.signal.aborted) return;
      setRun({ kind: "failed", error });
      // Should the session have ended, this question leads to the sign-in page.
      void client.invalidateQueries({ queryKey: ledgerQuery.queryKey });
    }
  };
  const shown = run.kind === "done" ? run.report : last;
  return (
    <Section
      title="Verification"
      aside={
        admin ? (
          <Button className="no-print" variant="default" loading={run.kind === "running"} onClick={() => void start()}>
            Verify now
          </Button>
        ) : (
          "administrators can run one"
        )
      }
    >
      <div className="stack" style={{ gap: 10 }}>
        {run.kind === "running" ? <Running at={run.at} /> : null}
        {run.kind === "failed" ? <Failure error={run.error} again={() => void start()} /> : null}
        {shown === undefined ? <p>The ledger has not been verified yet. A verification walks every batch, chain, leaf and checkpoint and names what does not fit.</p> : <Outcome of={shown} />}
      </div>
    </Section>
  );
}

function Running({ at }: { readonly at: VerifyResponse | undefined }) {
  const share = at === undefined || at.size === 0n ? 0 : Number((at.checked * 1000n) / at.size) / 10;
  return (
    <div role="status">
      <Progress value={share} aria-label="Verification progress" />
      <span className="num">{at === undefined ? "Starting" : `${at.checked.toLocaleString("en")} of ${at.size.toLocaleString("en")} leaves checked`}</span>
    </div>
  );
}

function Outcome({ of }: { readonly of: Report }) {
  const from = dateOf(of.startedAt);
  const to = dateOf(of.finishedAt);
  return (
    <>
      <p className="row" style={{ flexWrap: "nowrap", color: of.good ? "var(--pass)" : "var(--fail)", fontWeight: 600, gap: 6 }}>
        <Icon name={of.good ? "done" : "fail"} />
        {of.good ? "Good: nothing was found changed, missing or out of place" : `${of.problems.length} ${of.problems.length === 1 ? "problem" : "problems"} found`}
      </p>
      <Facts
        of={[
          ["Finished", <Time key="finished" at={of.finishedAt} />],
          ["Took", from === undefined || to === undefined ? "–" : durationWords(to.getTime() - from.getTime())],
          ["Tree size", of.size.toLocaleString("en")],
          ["Batches checked", of.batches === 0n ? "not kept" : of.batches.toLocaleString("en")],
          ["Events checked", of.events === 0n ? "not kept" : of.events.toLocaleString("en")],
        ]}
      />
      {of.problems.length === 0 ? null : (
        <ol aria-label="Problems">
          {of.problems.map((problem, i) => (
            <li key={`${problem} ${i}`}>
              <Raw text={problem} sentence />
            </li>
          ))}
        </ol>
      )}
    </>
  );
}
