import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { AlertPolicy } from "../../gen/assay/console/v1/alert_pb";
import { alertApi } from "../../lib/api";
import { levelOrder, levelWords, parseLevel } from "../../lib/level";
import { listOf } from "../../lib/list";
import { DataTable, type Column } from "../../ui/DataTable";
import { LevelMark } from "../../ui/Level";
import { Failure, Loading } from "../../ui/Note";
import { Section } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { ReasonDialog } from "../../ui/ReasonDialog";
import { Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import css from "../suppression/suppression.module.css";
import { alertPolicyQuery } from "./queries";
import { spanOf, spanText } from "./span";
import { spanWords } from "./words";

type Clock = AlertPolicy["clocks"][number];

const columns: readonly Column<Clock>[] = [
  { id: "level", header: "Level", width: "minmax(7rem, max-content)", value: (one) => one.level, cell: (one) => <LevelMark level={one.level} /> },
  { id: "acknowledge", header: "Acknowledge within", width: "minmax(10rem, 1fr)", value: (one) => spanWords(one.acknowledgeWithin), cell: (one) => spanWords(one.acknowledgeWithin) ?? <span className="dim">no clock</span> },
  { id: "close", header: "Close within", width: "minmax(10rem, 1fr)", value: (one) => spanWords(one.closeWithin), cell: (one) => spanWords(one.closeWithin) ?? <span className="dim">no clock</span> },
];

/** Policy is how soon alerts must be seen to, and what opens one. */
export function Policy() {
  const query = useQuery(alertPolicyQuery);
  const admin = useIsAdmin();
  const [changing, setChanging] = useState(false);
  const of = query.data?.policy;
  if (of === undefined) return query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={5} what="alert policy" />;
  return (
    <Section
      title="Clocks of alerts"
      aside={
        admin ? (
          <Button size="compact-xs" variant="default" onClick={() => setChanging(true)}>
            Change the clocks
          </Button>
        ) : undefined
      }
      flush
    >
      <DataTable name="clocks" label="Clocks of alerts by level" plain columns={columns} list={listOf(of.clocks)} rowKey={(one) => one.level} empty={null} />
      <p style={{ padding: "10px 14px", maxWidth: "100ch" }}>
        Rules of level {of.alertFrom} and above open alerts. An event within {spanWords(of.reopenWithin) ?? "no time"} of an alert’s closing opens it again.{" "}
        {of.position === 0n ? (
          "These are the defaults; nobody has changed them."
        ) : (
          <>
            Changed <Time at={of.changedAt} ago /> by <Raw text={of.by} />: <Raw text={of.reason} sentence /> (
            <Link to="/ledger" search={{ position: of.position.toString() }}>
              leaf {of.position.toLocaleString("en")}
            </Link>
            ).
          </>
        )}
      </p>
      {changing ? <ChangePolicy of={of} onDone={() => setChanging(false)} /> : null}
    </Section>
  );
}

const parts = ["acknowledgeWithin", "closeWithin"] as const;
const partWords = { acknowledgeWithin: "acknowledge within", closeWithin: "close within" } as const;
const wrong = (text: string): string | undefined => (spanOf(text) === null ? "Write 15m, 8h, 7d or nothing." : undefined);

function ChangePolicy({ of, onDone }: { readonly of: AlertPolicy; readonly onDone: () => void }) {
  const [clocks, setClocks] = useState(() => of.clocks.map((one) => ({ level: one.level, acknowledgeWithin: spanText(one.acknowledgeWithin?.seconds), closeWithin: spanText(one.closeWithin?.seconds) })));
  const [reopen, setReopen] = useState(() => spanText(of.reopenWithin?.seconds));
  const [from, setFrom] = useState(of.alertFrom);
  const bad = wrong(reopen) !== undefined || clocks.some((one) => parts.some((part) => wrong(one[part]) !== undefined));
  const duration = (text: string) => {
    const seconds = spanOf(text);
    return seconds === undefined || seconds === null ? undefined : { seconds };
  };
  return (
    <ReasonDialog
      title="Change the clocks"
      button="Change"
      size="lg"
      disabled={bad}
      changed={[alertPolicyQuery.queryKey]}
      send={(reason) =>
        alertApi.changeAlertPolicy({
          policy: { clocks: clocks.map((one) => ({ level: one.level, acknowledgeWithin: duration(one.acknowledgeWithin), closeWithin: duration(one.closeWithin) })), reopenWithin: duration(reopen), alertFrom: from },
          reason,
        })
      }
      onDone={onDone}
    >
      <p>Times as in 15m, 8h or 7d; nothing for no clock. Alerts that are open keep the clocks they were opened with.</p>
      {clocks.map((one, i) => {
        const level = parseLevel(one.level);
        const words = level === undefined ? one.level : levelWords[level];
        return (
          <div key={one.level} className={css.fields} style={{ alignItems: "start" }}>
            {parts.map((part) => (
              <TextInput
                key={part}
                label={`${words}: ${partWords[part]}`}
                maxLength={30}
                value={one[part]}
                error={wrong(one[part])}
                onChange={(event) => {
                  const text = event.currentTarget.value;
                  setClocks((old) => old.map((other, k) => (k === i ? { ...other, [part]: text } : other)));
                }}
              />
            ))}
          </div>
        );
      })}
      <div className={css.fields} style={{ alignItems: "start" }}>
        <NativeSelect label="Alerts open from level" value={from} onChange={(event) => setFrom(event.currentTarget.value)} data={levelOrder.map((one) => ({ value: one, label: levelWords[one] }))} />
        <TextInput label="Open again within" maxLength={30} value={reopen} error={wrong(reopen)} onChange={(event) => setReopen(event.currentTarget.value)} />
      </div>
    </ReasonDialog>
  );
}
