import { Button, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import type { Agent } from "../../gen/assay/console/v1/agent_pb";
import { agentApi } from "../../lib/api";
import { timeOf, utcFromInput } from "../../lib/time";
import { Dialog } from "../../ui/Dialog";
import { Failure } from "../../ui/Note";
import { Raw } from "../../ui/Raw";
import { agentsKey } from "./queries";

/** RevokeAgent ends an agent's certificate, with the reason and since when its key is in doubt. */
export function RevokeAgent({ agent, onDone }: { readonly agent: Agent; readonly onDone: () => void }) {
  const [reason, setReason] = useState("");
  const [since, setSince] = useState("");
  const client = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => {
      const date = utcFromInput(since);
      return agentApi.revokeAgent({ id: agent.id, reason: reason.trim(), compromisedSince: date === undefined ? undefined : timeOf(date) });
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: agentsKey });
      onDone();
    },
  });
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    revoke.mutate();
  };
  return (
    <Dialog onClose={onDone} title="Revoke this agent">
      <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }}>
        <p>
          <Raw text={agent.hostName} /> can send nothing more until it enrols anew. What it sent before stays.
        </p>
        <Textarea label="Reason" required autosize minRows={2} maxLength={2000} data-autofocus value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
        <TextInput type="datetime-local" label="Key in doubt since (UTC)" description="Optional. What the key signed from then on is marked as doubtful." value={since} onChange={(event) => setSince(event.currentTarget.value)} />
        {revoke.isError ? <Failure error={revoke.error} /> : null}
        <div className="row" style={{ justifyContent: "flex-end" }}>
          <Button variant="default" onClick={onDone}>
            Cancel
          </Button>
          <Button type="submit" color="red" loading={revoke.isPending} disabled={reason.trim() === ""}>
            Revoke
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
