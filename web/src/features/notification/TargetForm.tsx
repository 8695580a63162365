import { Button, Checkbox, NativeSelect, PasswordInput, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import type { NotificationTarget } from "../../gen/assay/console/v1/notification_pb";
import { notificationApi } from "../../lib/api";
import { levelOrder, levelWords } from "../../lib/level";
import { Failure } from "../../ui/Note";
import css from "../suppression/suppression.module.css";
import { kindWords } from "./Deliveries";
import { changedDeliveries } from "./queries";

type Kind = "webhook" | "email" | "syslog";
const kinds = ["alert.open", "alert.reopen", "alert.escalate", "alert.overdue"] as const;

/** Fields are what a person fills in of a target. */
interface Fields {
  readonly kind: Kind;
  readonly name: string;
  readonly address: string;
  readonly format: string;
  readonly authorization: string;
  readonly security: string;
  readonly from: string;
  readonly to: string;
  readonly username: string;
  readonly password: string;
  readonly ca: string;
  readonly levels: readonly string[];
  readonly kinds: readonly string[];
  readonly reason: string;
}

const blank: Fields = { kind: "webhook", name: "", address: "", format: "json", authorization: "", security: "starttls", from: "", to: "", username: "", password: "", ca: "", levels: ["high", "critical"], kinds: [], reason: "" };

/** fieldsOf are those of a target that there is: its secrets, and a webhook's address, are not shown again. */
function fieldsOf(of: NotificationTarget): Fields {
  return {
    ...blank,
    kind: of.kind as Kind,
    name: of.name,
    address: of.kind === "webhook" ? "" : of.address,
    format: of.format === "" ? blank.format : of.format,
    security: of.security === "" ? blank.security : of.security,
    from: of.from,
    to: of.to.join(" "),
    username: of.username,
    ca: of.ca,
    levels: of.levels,
    kinds: of.kinds,
  };
}

function targetOf(of: Fields) {
  return {
    kind: of.kind,
    name: of.name.trim(),
    address: of.address.trim(),
    format: of.kind === "webhook" ? of.format : "",
    ca: of.ca.trim(),
    levels: [...of.levels],
    kinds: [...of.kinds],
    ...(of.kind === "email" ? { security: of.security, from: of.from.trim(), to: of.to.split(/[\s,;]+/).filter((one) => one !== ""), username: of.username.trim() } : {}),
  };
}

/** create makes a target; its answer holds a webhook's secret. */
async function create(of: Fields): Promise<Saved> {
  const answer = await notificationApi.createNotificationTarget({ target: targetOf(of), password: of.kind === "email" ? of.password : "", authorization: of.kind === "webhook" ? of.authorization : "" });
  return { name: answer.target?.name ?? "", signingSecret: answer.signingSecret };
}

/** change sends what was filled in; secrets that were not stay. */
async function change(id: string, of: Fields): Promise<Saved> {
  const answer = await notificationApi.changeNotificationTarget({
    target: { id, ...targetOf(of) },
    reason: of.reason.trim(),
    ...(of.password === "" ? {} : { password: of.password }),
    ...(of.authorization === "" ? {} : { authorization: of.authorization }),
  });
  return { name: answer.target?.name ?? "", signingSecret: "" };
}

/** Saved is what became of a form. */
export interface Saved {
  readonly name: string;
  readonly signingSecret: string;
}

interface TargetFormProps {
  /** target is the one to change; without it a new one is made. */
  readonly target?: NotificationTarget;
  readonly onSaved: (saved: Saved) => void;
  readonly onCancel: () => void;
}

/** TargetForm fills in a notification target, new or changed. */
export function TargetForm({ target, onSaved, onCancel }: TargetFormProps) {
  const client = useQueryClient();
  const [of, setOf] = useState(() => (target === undefined ? blank : fieldsOf(target)));
  const put = (next: Partial<Fields>): void => setOf((old) => ({ ...old, ...next }));
  const save = useMutation({
    mutationFn: () => (target === undefined ? create(of) : change(target.id, of)),
    onSuccess: (saved) => {
      for (const queryKey of changedDeliveries) void client.invalidateQueries({ queryKey });
      onSaved(saved);
    },
  });
  const onSubmit = (submitted: SyntheticEvent): void => {
    submitted.preventDefault();
    save.mutate();
  };
  const missing = of.name.trim() === "" || (target === undefined ? of.address.trim() === "" : of.reason.trim() === "" || (of.kind !== "webhook" && of.address.trim() === ""));
  return (
    <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }} autoComplete="off">
      <div className={css.fields}>
        {target !== undefined ? null : (
          <NativeSelect
            label="Kind"
            data-autofocus
            value={of.kind}
            onChange={(changed) => put({ kind: changed.currentTarget.value as Kind })}
            data={[
              { value: "webhook", label: "Webhook" },
              { value: "email", label: "Mail" },
              { value: "syslog", label: "Syslog over TLS" },
            ]}
          />
        )}
        <TextInput label="Name" required maxLength={64} value={of.name} onChange={(changed) => put({ name: changed.currentTarget.value })} />
      </div>
      {of.kind === "webhook" ? <Webhook of={of} put={put} was={target} /> : of.kind === "email" ? <Mail of={of} put={put} was={target} /> : <TextInput label="Syslog server" description="Host and port, such as logs.corp.example:6514" required maxLength={300} value={of.address} onChange={(changed) => put({ address: changed.currentTarget.value })} />}
      <Textarea label="CA of its certificate" description="PEM. Empty: what the server’s own system trusts." autosize minRows={1} maxRows={6} maxLength={16384} value={of.ca} onChange={(changed) => put({ ca: changed.currentTarget.value })} />
      <div className={css.fields} style={{ alignItems: "start" }}>
        <Several label="Levels" none="none chosen: every level" value={of.levels} choices={levelOrder.map((one) => [one, levelWords[one]])} onChange={(levels) => put({ levels })} />
        <Several label="Told of" none="none chosen: everything" value={of.kinds} choices={kinds.map((one) => [one, kindWords(one)])} onChange={(chosen) => put({ kinds: chosen })} />
      </div>
      {target === undefined ? null : <Textarea label="Reason" description="Kept with your name in the ledger, for good." required autosize minRows={2} maxLength={2000} value={of.reason} onChange={(changed) => put({ reason: changed.currentTarget.value })} />}
      {save.isError ? <Failure error={save.error} /> : null}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button variant="default" onClick={onCancel}>
          Cancel
        </Button>
        <Button type="submit" loading={save.isPending} disabled={missing}>
          {target === undefined ? "Add" : "Change"}
        </Button>
      </div>
    </form>
  );
}

interface PartProps {
  readonly was: NotificationTarget | undefined;
  readonly of: Fields;
  readonly put: (next: Partial<Fields>) => void;
}

function Webhook({ of, put, was }: PartProps) {
  return (
    <>
      <TextInput label="Address" description={was === undefined ? "Begins with https. Its path is kept as a secret and never shown again." : `Empty: as before, ${was.address}`} required={was === undefined} type="url" maxLength={2048} value={of.address} onChange={(changed) => put({ address: changed.currentTarget.value })} />
      <div className={css.fields}>
        <NativeSelect
          label="Body"
          value={of.format}
          onChange={(changed) => put({ format: changed.currentTarget.value })}
          data={[
            { value: "json", label: "Plain JSON" },
            { value: "ocsf", label: "OCSF Detection Finding" },
          ]}
        />
        <PasswordInput size="xs" label="Authorization header" description={was === undefined ? "Optional" : "Empty: as before"} maxLength={2048} value={of.authorization} onChange={(changed) => put({ authorization: changed.currentTarget.value })} />
      </div>
    </>
  );
}

function Mail({ of, put, was }: PartProps) {
  return (
    <>
      <div className={css.fields}>
        <TextInput label="Mail server" description="Host and port, such as mail.corp.example:587" required maxLength={300} value={of.address} onChange={(changed) => put({ address: changed.currentTarget.value })} />
        <NativeSelect
          label="Secured by"
          value={of.security}
          onChange={(changed) => put({ security: changed.currentTarget.value })}
          data={[
            { value: "starttls", label: "STARTTLS, mostly port 587" },
            { value: "tls", label: "TLS from the start, port 465" },
          ]}
        />
      </div>
      <div className={css.fields}>
        <TextInput label="From" required type="email" maxLength={254} value={of.from} onChange={(changed) => put({ from: changed.currentTarget.value })} />
        <TextInput label="To" description="Up to 20, separated by spaces" required maxLength={5000} value={of.to} onChange={(changed) => put({ to: changed.currentTarget.value })} />
      </div>
      <div className={css.fields}>
        <TextInput label="User name" description="Empty: without signing in" maxLength={300} value={of.username} onChange={(changed) => put({ username: changed.currentTarget.value })} />
        <PasswordInput size="xs" label="Password" description={was === undefined ? undefined : "Empty: as before"} maxLength={2048} value={of.password} onChange={(changed) => put({ password: changed.currentTarget.value })} />
      </div>
    </>
  );
}

interface SeveralProps {
  readonly label: string;
  readonly none: string;
  readonly value: readonly string[];
  readonly choices: readonly (readonly [value: string, label: string])[];
  readonly onChange: (value: readonly string[]) => void;
}

function Several({ label, none, value, choices, onChange }: SeveralProps) {
  return (
    <fieldset className={css.conditions} style={{ gap: 10 }}>
      <legend>{label}</legend>
      {choices.map(([choice, name]) => (
        <Checkbox key={choice} size="xs" label={name} checked={value.includes(choice)} onChange={(changed) => onChange(changed.currentTarget.checked ? [...value, choice] : value.filter((one) => one !== choice))} />
      ))}
      {value.length === 0 ? <span className="dim">{none}</span> : null}
    </fieldset>
  );
}
