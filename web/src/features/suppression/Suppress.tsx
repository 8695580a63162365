import { ActionIcon, Button, Checkbox, NativeSelect, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { suppressionApi } from "../../lib/api";
import { timeOf, utcFromInput, utcToInput } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { Dialog } from "../../ui/Dialog";
import { Icon } from "../../ui/Icon";
import { Failure } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import { changedAlerts } from "../alert/queries";
import { sessionQuery } from "../session/queries";
import { uniqueConditions } from "./scope";
import css from "./suppression.module.css";

interface Condition {
  readonly field: string;
  readonly value: string;
}

interface SuppressProps {
  readonly scope: { readonly pack?: string; readonly rule?: string; readonly host?: string; readonly hostName?: string };
  /** candidates are the values that the alert at hand matched on. */
  readonly candidates: readonly Condition[];
  readonly onDone: () => void;
}

const spans = [
  ["1", "1 day"],
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "365 days"],
  ["", "A time of its own"],
] as const;

/**
 * isHidden tells whether a text holds what a field for typing would obey and not
 * show: such a value is taken as it is, or not at all.
 */
const isHidden = (text: string): boolean => visibleText(text) !== text;

/** Suppress keeps known, accepted detections from alerting until a time. */
export function Suppress({ scope, candidates, onDone }: SuppressProps) {
  const client = useQueryClient();
  const me = useQuery(sessionQuery).data?.user ?? "";
  const [pack, setPack] = useState(scope.pack ?? "");
  const [rule, setRule] = useState(scope.rule ?? "");
  const [host, setHost] = useState(scope.host ?? "");
  const [tag, setTag] = useState("");
  const [conditions, setConditions] = useState<readonly Condition[]>([]);
  const [owner, setOwner] = useState(me);
  const [reason, setReason] = useState("");
  const [span, setSpan] = useState("30");
  const [until, setUntil] = useState(() => utcToInput(new Date(Date.now() + 30 * 86_400_000)));
  const [closeOpen, setCloseOpen] = useState(false);
  const create = useMutation({
    mutationFn: () => {
      const expires = span === "" ? utcFromInput(until) : new Date(Date.now() + Number(span) * 86_400_000);
      return suppressionApi.createSuppression({
        scope: { pack: pack.trim(), rule: rule.trim(), host: host.trim(), tag: tag.trim(), conditions: conditions.filter((one) => one.field.trim() !== "").map((one) => ({ field: one.field.trim(), value: one.value })) },
        owner: owner.trim(),
        reason: reason.trim(),
        expiresAt: expires === undefined ? undefined : timeOf(expires),
        closeOpen,
      });
    },
    onSuccess: () => {
      for (const queryKey of [["suppressions"], ...changedAlerts]) void client.invalidateQueries({ queryKey });
      onDone();
    },
  });
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    create.mutate();
  };
  const offered = uniqueConditions(candidates).filter((one) => !conditions.some((taken) => taken.field === one.field && taken.value === one.value));
  const wide = rule.trim() === "" && conditions.every((one) => one.field.trim() === "");
  return (
    <Dialog onClose={onDone} title="Suppress" size="lg" keep>
      <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }}>
        <p>What it covers opens no alert until it ends. It is counted, and stays listed among the detections. All that is filled in must hold.</p>
        <div className={css.fields}>
          <TextInput label="Pack" maxLength={100} value={pack} onChange={(event) => setPack(event.currentTarget.value)} />
          <TextInput label="Rule id" maxLength={200} value={rule} onChange={(event) => setRule(event.currentTarget.value)} />
          <TextInput label={scope.hostName === undefined ? "Host id" : `Host id, of ${visibleText(scope.hostName)}`} description="Empty: every host" maxLength={36} value={host} onChange={(event) => setHost(event.currentTarget.value)} />
          <TextInput label="Tag of the host" description="Empty: any" maxLength={100} value={tag} onChange={(event) => setTag(event.currentTarget.value)} />
        </div>
        <fieldset className={css.conditions}>
          <legend>Conditions on fields</legend>
          {conditions.map((one, i) => {
            const put = (next: Partial<Condition>): void => setConditions(conditions.map((old, k) => (k === i ? { ...old, ...next } : old)));
            return (
              <div key={i} className={css.condition}>
                {isHidden(one.field) || isHidden(one.value) ? (
                  <span style={{ gridColumn: "1 / 3" }}>
                    <Raw text={one.field} /> is <Raw text={one.value} />
                  </span>
                ) : (
                  <>
                    <TextInput aria-label={`Field ${i + 1}`} placeholder="Field" maxLength={200} value={one.field} onChange={(event) => put({ field: event.currentTarget.value })} />
                    <TextInput aria-label={`Value ${i + 1}`} placeholder="Value; * stands for anything" maxLength={2000} value={one.value} onChange={(event) => put({ value: event.currentTarget.value })} />
                  </>
                )}
                <ActionIcon variant="subtle" color="gray" aria-label={`Remove condition ${i + 1}`} onClick={() => setConditions(conditions.filter((_, k) => k !== i))}>
                  <Icon name="close" size={13} />
                </ActionIcon>
              </div>
            );
          })}
          <div className="row">
            {offered.slice(0, 8).map((one) => (
              <Button key={`${one.field} ${one.value}`} size="compact-xs" variant="default" leftSection={<Icon name="plus" size={11} />} className={css.offer} onClick={() => setConditions([...conditions, one])}>
                {visibleText(one.field)} = {visibleText(one.value)}
              </Button>
            ))}
            <Button size="compact-xs" variant="subtle" leftSection={<Icon name="plus" size={11} />} onClick={() => setConditions([...conditions, { field: "", value: "" }])}>
              Condition
            </Button>
          </div>
        </fieldset>
        <div className={css.fields}>
          <NativeSelect label="Ends in" value={span} onChange={(event) => setSpan(event.currentTarget.value)} data={spans.map(([value, label]) => ({ value, label }))} />
          {span === "" ? <TextInput type="datetime-local" label="Ends at (UTC)" required value={until} onChange={(event) => setUntil(event.currentTarget.value)} /> : null}
          <TextInput label="Owner" description="Who answers for it" required maxLength={64} value={owner} onChange={(event) => setOwner(event.currentTarget.value)} />
        </div>
        <Textarea label="Reason" description="Why this is known and accepted. Kept in the ledger, for good." required autosize minRows={2} maxLength={4000} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
        <Checkbox size="xs" label="Also close the open alerts that it covers, as benign" checked={closeOpen} onChange={(event) => setCloseOpen(event.currentTarget.checked)} />
        {create.isError ? <Failure error={create.error} /> : null}
        <div className="row" style={{ justifyContent: "flex-end" }}>
          {wide ? <span className="dim">Name a rule or a condition.</span> : null}
          <Button variant="default" onClick={onDone}>
            Cancel
          </Button>
          <Button type="submit" loading={create.isPending} disabled={wide || reason.trim() === "" || owner.trim() === ""}>
            Suppress
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
