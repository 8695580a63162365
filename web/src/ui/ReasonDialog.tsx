import { Button, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode, type SyntheticEvent } from "react";
import { Dialog } from "./Dialog";
import { Failure } from "./Note";

interface ReasonDialogProps {
  readonly title: string;
  readonly button: string;
  /** label asks for another text than a reason. */
  readonly label?: string;
  readonly size?: string;
  /** disabled keeps it from being sent while something else is amiss. */
  readonly disabled?: boolean;
  readonly children?: ReactNode;
  readonly send: (reason: string) => Promise<unknown>;
  /** changed are the queries to ask again afterwards. */
  readonly changed: readonly (readonly unknown[])[];
  readonly onDone: () => void;
}

/** ReasonDialog asks for the reason of a change that becomes a leaf of the ledger. */
export function ReasonDialog({ title, button, label = "Reason", size = "md", disabled = false, children, send, changed, onDone }: ReasonDialogProps) {
  const [reason, setReason] = useState("");
  const client = useQueryClient();
  const change = useMutation({
    mutationFn: () => send(reason.trim()),
    onSuccess: () => {
      for (const queryKey of changed) void client.invalidateQueries({ queryKey });
      onDone();
    },
  });
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <Dialog onClose={onDone} title={title} size={size}>
      <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }}>
        {children}
        <Textarea label={label} description="Kept with your name in the ledger, for good." required autosize minRows={2} maxLength={2000} data-autofocus value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
        {change.isError ? <Failure error={change.error} /> : null}
        <div className="row" style={{ justifyContent: "flex-end" }}>
          <Button variant="default" onClick={onDone}>
            Cancel
          </Button>
          <Button type="submit" loading={change.isPending} disabled={disabled || reason.trim() === ""}>
            {button}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
