import { Button, NativeSelect, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import type { Alert } from "../../gen/assay/console/v1/alert_pb";
import { alertApi } from "../../lib/api";
import { levelOrder, levelRank, levelWords } from "../../lib/level";
import { Dialog } from "../../ui/Dialog";
import { Failure } from "../../ui/Note";
import { sessionQuery } from "../session/queries";
import { changedAlerts } from "./queries";
import { closeReasons } from "./words";

/** AlertAct is what people do to alerts. */
export type AlertAct = "acknowledge" | "assign" | "close" | "reopen" | "escalate" | "note";

export const actWords: Readonly<Record<AlertAct, string>> = {
  acknowledge: "Acknowledge",
  assign: "Assign",
  close: "Close",
  reopen: "Open again",
  escalate: "Raise level",
  note: "Add note",
};

/** actsOn are the deeds that an alert's state allows, the likeliest first. */
export function actsOn(alert: Pick<Alert, "state" | "level">): AlertAct[] {
  if (alert.state === "closed") return ["reopen", "note"];
  const raise: AlertAct[] = alert.level === "critical" ? [] : ["escalate"];
  return alert.state === "open" ? ["acknowledge", "assign", "close", ...raise, "note"] : ["close", "assign", ...raise, "note"];
}

interface Fields {
  readonly note: string;
  readonly reason: string;
  readonly duplicateOf: string;
  readonly assignee: string;
  readonly level: string;
}

function send(act: AlertAct, ids: string[], fields: Fields): Promise<unknown> {
  const note = fields.note.trim();
  switch (act) {
    case "acknowledge":
      return alertApi.acknowledgeAlerts({ ids, note });
    case "assign":
      return alertApi.assignAlerts({ ids, assignee: fields.assignee.trim(), note });
    case "close":
      return alertApi.closeAlerts({ ids, reason: fields.reason, note, duplicateOf: fields.reason === "duplicate" ? fields.duplicateOf.trim() : "" });
    case "reopen":
      return alertApi.reopenAlerts({ ids, note });
    case "escalate":
      return alertApi.escalateAlerts({ ids, level: fields.level, note });
    case "note":
      return alertApi.addAlertNote({ id: ids[0] ?? "", note });
  }
}

interface AlertDialogProps {
  readonly act: AlertAct;
  readonly alerts: readonly Pick<Alert, "id" | "level">[];
  readonly onDone: (done: boolean) => void;
}

/** AlertDialog asks what a deed needs and does it to one alert or to many: to all of them or to none. */
export function AlertDialog({ act, alerts, onDone }: AlertDialogProps) {
  const client = useQueryClient();
  const me = useQuery(sessionQuery).data?.user ?? "";
  const highest = Math.max(...alerts.map((alert) => levelRank(alert.level)));
  const above = levelOrder.filter((level) => levelRank(level) > highest);
  const [fields, setFields] = useState<Fields>({ note: "", reason: "true_positive", duplicateOf: "", assignee: me, level: above.at(-1) ?? "critical" });
  const put = (next: Partial<Fields>): void => setFields((old) => ({ ...old, ...next }));
  const deed = useMutation({
    mutationFn: () => send(act, alerts.map((alert) => alert.id), fields),
    onSuccess: () => {
      for (const queryKey of changedAlerts) void client.invalidateQueries({ queryKey });
      onDone(true);
    },
  });
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    deed.mutate();
  };
  const many = alerts.length > 1;
  const noteNeeded = act === "note" || act === "reopen" || act === "escalate" || act === "close";
  return (
    <Dialog onClose={() => onDone(false)} title={`${actWords[act]}${many ? ` – ${alerts.length.toLocaleString("en")} alerts` : act === "note" ? "" : " this alert"}`}>
      <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }}>
        {act === "close" ? <NativeSelect label="Reason" data-autofocus value={fields.reason} onChange={(event) => put({ reason: event.currentTarget.value })} data={closeReasons.map(([value, label]) => ({ value, label }))} /> : null}
        {act === "close" && fields.reason === "duplicate" ? (
          <TextInput label="Id of the other alert" required value={fields.duplicateOf} onChange={(event) => put({ duplicateOf: event.currentTarget.value })} />
        ) : null}
        {act === "assign" ? <TextInput label="Assign to" description="A user’s name. Empty takes it from everybody." maxLength={64} data-autofocus value={fields.assignee} onChange={(event) => put({ assignee: event.currentTarget.value })} /> : null}
        {act === "escalate" ? (
          <NativeSelect label="New level" description="The clocks of the new level count from when the alert opened." data-autofocus value={fields.level} onChange={(event) => put({ level: event.currentTarget.value })} data={above.map((level) => ({ value: level, label: levelWords[level] }))} />
        ) : null}
        <Textarea
          label="Note"
          description="Kept with your name in the ledger, for good."
          required={noteNeeded}
          autosize
          minRows={2}
          maxLength={4000}
          data-autofocus={act === "acknowledge" || act === "note" || act === "reopen" ? true : undefined}
          value={fields.note}
          onChange={(event) => put({ note: event.currentTarget.value })}
        />
        {deed.isError ? <Failure error={deed.error} /> : null}
        <div className="row" style={{ justifyContent: "flex-end" }}>
          <Button variant="default" onClick={() => onDone(false)}>
            Cancel
          </Button>
          <Button type="submit" loading={deed.isPending} disabled={noteNeeded && fields.note.trim() === ""}>
            {actWords[act]}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
