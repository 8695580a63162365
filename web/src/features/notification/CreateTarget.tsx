import { Button, Checkbox, NativeSelect, PasswordInput, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import type { CreateNotificationTargetResponse } from "../../gen/assay/console/v1/notification_pb";
import { notificationApi } from "../../lib/api";
import { levelOrder, levelWords } from "../../lib/level";
import { CopyIcon } from "../../ui/Copy";
import { Dialog } from "../../ui/Dialog";
import { Failure } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import event from "../event/event.module.css";
import css from "../suppression/suppression.module.css";
import { kindWords } from "./Deliveries";
import { changedDeliveries } from "./queries";

type Kind = "webhook" | "email" | "syslog";
const kinds = ["alert.open", "alert.reopen", "alert.escalate", "alert.overdue"] as const;

/** CreateTarget adds a notification target; a webhook's secret is shown once. */
export function CreateTarget({ onDone }: { readonly onDone: () => void }) {
  const [made, setMade] = useState<CreateNotificationTargetResponse>();
  const onMade = (answer: CreateNotificationTargetResponse): void => {
    if (answer.signingSecret === "") onDone();
    else setMade(answer);
  };
  return (
    <Dialog onClose={onDone} size="lg" title={made === undefined ? "New notification target" : "Signing secret"} keep>
      {made === undefined ? <Form onMade={onMade} onCancel={onDone} /> : <Made of={made} onDone={onDone} />}
    </Dialog>
  );
}

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
}

const blank: Fields = { kind: "webhook", name: "", address: "", format: "json", authorization: "", security: "starttls", from: "", to: "", username: "", password: "", ca: "", levels: ["high", "critical"], kinds: [] };

function send(of: Fields): Promise<CreateNotificationTargetResponse> {
  const mail = of.kind === "email";
  return notificationApi.createNotificationTarget({
    target: {
      kind: of.kind,
      name: of.name.trim(),
      address: of.address.trim(),
      format: of.kind === "webhook" ? of.format : "",
      ca: of.ca.trim(),
      levels: [...of.levels],
      kinds: [...of.kinds],
      ...(mail ? { security: of.security, from: of.from.trim(), to: of.to.split(/[\s,;]+/).filter((one) => one !== ""), username: of.username.trim() } : {}),
    },
    password: mail ? of.password : "",
    authorization: of.kind === "webhook" ? of.authorization : "",
  });
}

function Form({ onMade, onCancel }: { readonly onMade: (made: CreateNotificationTargetResponse) => void; readonly onCancel: () => void }) {
  const client = useQueryClient();
  const [of, setOf] = useState(blank);
  const put = (next: Partial<Fields>): void => setOf((old) => ({ ...old, ...next }));
  const create = useMutation({
    mutationFn: () => send(of),
    onSuccess: (answer) => {
      for (const queryKey of changedDeliveries) void client.invalidateQueries({ queryKey });
      onMade(answer);
    },
  });
  const onSubmit = (submitted: SyntheticEvent): void => {
    submitted.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }} autoComplete="off">
      <div className={css.fields}>
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
        <TextInput label="Name" required maxLength={64} value={of.name} onChange={(changed) => put({ name: changed.currentTarget.value })} />
      </div>
      {of.kind === "webhook" ? <Webhook of={of} put={put} /> : of.kind === "email" ? <Mail of={of} put={put} /> : <TextInput label="Syslog server" description="Host and port, such as logs.corp.example:6514" required maxLength={300} value={of.address} onChange={(changed) => put({ address: changed.currentTarget.value })} />}
      <Textarea label="CA of its certificate" description="PEM. Empty: what the server’s own system trusts." autosize minRows={1} maxRows={6} maxLength={16384} value={of.ca} onChange={(changed) => put({ ca: changed.currentTarget.value })} />
      <div className={css.fields} style={{ alignItems: "start" }}>
        <Several label="Levels" none="none chosen: every level" value={of.levels} choices={levelOrder.map((one) => [one, levelWords[one]])} onChange={(levels) => put({ levels })} />
        <Several label="Told of" none="none chosen: everything" value={of.kinds} choices={kinds.map((one) => [one, kindWords(one)])} onChange={(chosen) => put({ kinds: chosen })} />
      </div>
      {create.isError ? <Failure error={create.error} /> : null}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button variant="default" onClick={onCancel}>
          Cancel
        </Button>
        <Button type="submit" loading={create.isPending} disabled={of.name.trim() === "" || of.address.trim() === ""}>
          Add
        </Button>
      </div>
    </form>
  );
}

interface PartProps {
  readonly of: Fields;
  readonly put: (next: Partial<Fields>) => void;
}

function Webhook({ of, put }: PartProps) {
  return (
    <>
      <TextInput label="Address" description="Begins with https. Its path is kept as a secret and never shown again." required type="url" maxLength={2048} value={of.address} onChange={(changed) => put({ address: changed.currentTarget.value })} />
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
        <PasswordInput size="xs" label="Authorization header" description="Optional" maxLength={2048} value={of.authorization} onChange={(changed) => put({ authorization: changed.currentTarget.value })} />
      </div>
    </>
  );
}

function Mail({ of, put }: PartProps) {
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
        <PasswordInput size="xs" label="Password" maxLength={2048} value={of.password} onChange={(changed) => put({ password: changed.currentTarget.value })} />
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

function Made({ of, onDone }: { readonly of: CreateNotificationTargetResponse; readonly onDone: () => void }) {
  return (
    <div className="stack" style={{ gap: 12 }}>
      <p>
        <Raw text={of.target?.name ?? ""} /> is told of alerts from now on. Its receiver verifies each message with this secret, which is shown this once.
      </p>
      <div className="row" style={{ flexWrap: "nowrap" }}>
        <pre className={event.note} style={{ flex: 1 }} tabIndex={0} aria-label="Signing secret" data-secret>
          {of.signingSecret}
        </pre>
        <CopyIcon value={of.signingSecret} what="the signing secret" />
      </div>
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button onClick={onDone}>Done</Button>
      </div>
    </div>
  );
}
