import { Button, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { findingApi } from "../../lib/api";
import { Dialog } from "../../ui/Dialog";
import { Failure } from "../../ui/Note";
import { findingQuery } from "./queries";

/** CloseFinding asks for the cause; it becomes a leaf of the ledger and cannot be taken back. */
export function CloseFinding({ id, onDone }: { readonly id: string; readonly onDone: () => void }) {
  const [cause, setCause] = useState("");
  const client = useQueryClient();
  const close = useMutation({
    mutationFn: () => findingApi.closeFinding({ id, cause: cause.trim() }),
    onSuccess: (answer) => {
      client.setQueryData(findingQuery(id).queryKey, (old) => (old === undefined ? old : { ...old, finding: answer.finding ?? old.finding }));
      void client.invalidateQueries({ queryKey: ["findings"] });
      void client.invalidateQueries({ queryKey: ["overview"] });
      onDone();
    },
  });
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    close.mutate();
  };
  return (
    <Dialog onClose={onDone} title="Close with cause">
      <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }}>
        <Textarea label="Cause" description="Why this happened and why it may be closed. It is recorded with your name in the ledger, for good." required autosize minRows={3} maxLength={2000} data-autofocus value={cause} onChange={(event) => setCause(event.currentTarget.value)} />
        {close.isError ? <Failure error={close.error} /> : null}
        <div className="row" style={{ justifyContent: "flex-end" }}>
          <Button variant="default" onClick={onDone}>
            Cancel
          </Button>
          <Button type="submit" disabled={cause.trim() === ""} loading={close.isPending}>
            Close the finding
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
