import { Button, Checkbox, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import type { CreateTokenResponse } from "../../gen/assay/console/v1/agent_pb";
import { agentApi } from "../../lib/api";
import { saveText } from "../../lib/export";
import { CopyIcon, CopyLabel } from "../../ui/Copy";
import { Dialog } from "../../ui/Dialog";
import { Icon } from "../../ui/Icon";
import { Failure } from "../../ui/Note";
import css from "../event/event.module.css";
import { enrolCommand } from "./command";
import { tokensQuery } from "./queries";

/** CreateToken makes an enrolment token and shows it once. */
export function CreateToken({ onDone }: { readonly onDone: () => void }) {
  const [made, setMade] = useState<CreateTokenResponse>();
  return (
    <Dialog onClose={onDone} size="lg" title={made === undefined ? "New enrolment token" : "Enrol a host"} keep={made !== undefined}>
      {made === undefined ? <Form onMade={setMade} onCancel={onDone} /> : <Made of={made} onDone={onDone} />}
    </Dialog>
  );
}

function Form({ onMade, onCancel }: { readonly onMade: (made: CreateTokenResponse) => void; readonly onCancel: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [tags, setTags] = useState("");
  const [uses, setUses] = useState("1");
  const [hours, setHours] = useState("24");
  const [mayImport, setMayImport] = useState(false);
  const create = useMutation({
    mutationFn: () =>
      agentApi.createToken({
        name: name.trim(),
        rights: mayImport ? ["enrol", "import"] : ["enrol"],
        tags: tags.split(/[\s,]+/).filter((tag) => tag !== ""),
        uses: Number(uses),
        validHours: Number(hours),
      }),
    onSuccess: (answer) => {
      void client.invalidateQueries({ queryKey: tokensQuery.queryKey });
      onMade(answer);
    },
  });
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }}>
      <TextInput label="Name" description="What it is for, so that it is known later." required maxLength={200} data-autofocus value={name} onChange={(event) => setName(event.currentTarget.value)} />
      <TextInput label="Tags" description="Put on every host that enrols with it; separated by spaces." maxLength={500} value={tags} onChange={(event) => setTags(event.currentTarget.value)} />
      <div className="row" style={{ alignItems: "flex-end" }}>
        <TextInput type="number" label="Uses" min={1} max={100000} required value={uses} onChange={(event) => setUses(event.currentTarget.value)} />
        <TextInput type="number" label="Valid for hours" min={1} max={8760} required value={hours} onChange={(event) => setHours(event.currentTarget.value)} />
      </div>
      <Checkbox size="xs" label="May also import exported logs of other hosts" checked={mayImport} onChange={(event) => setMayImport(event.currentTarget.checked)} />
      {create.isError ? <Failure error={create.error} /> : null}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button variant="default" onClick={onCancel}>
          Cancel
        </Button>
        <Button type="submit" loading={create.isPending} disabled={name.trim() === ""}>
          Create
        </Button>
      </div>
    </form>
  );
}

function Made({ of, onDone }: { readonly of: CreateTokenResponse; readonly onDone: () => void }) {
  const command = enrolCommand(of);
  return (
    <div className="stack" style={{ gap: 14 }}>
      <p>
        The secret is shown this once; Assay keeps only its hash. Save it as a file beside the agent, because a secret typed on a command line is recorded by telemetry.
      </p>
      <div>
        <h3>1. Save the token</h3>
        <div className="row" style={{ flexWrap: "nowrap" }}>
          <pre className={css.note} style={{ flex: 1 }} tabIndex={0} aria-label="Token secret" data-secret>
            {of.secret}
          </pre>
          <CopyIcon value={of.secret} what="the token" />
        </div>
        <Button mt={6} variant="default" leftSection={<Icon name="download" size={14} />} onClick={() => saveText("assay-token.txt", "text/plain", of.secret)}>
          Save as assay-token.txt
        </Button>
      </div>
      <div>
        <h3>2. Run on the host, as administrator, beside that file</h3>
        <pre className={css.note} tabIndex={0} aria-label="Enrolment command" data-command>
          {command}
        </pre>
        <div style={{ marginTop: 6 }}>
          <CopyLabel value={command} what="command" />
        </div>
      </div>
      <div>
        <h3>3. Delete the file</h3>
        <p>The agent appears in the list once it has enrolled, and its host once the first batch is committed.</p>
      </div>
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button onClick={onDone}>Done</Button>
      </div>
    </div>
  );
}
