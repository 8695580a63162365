import { Button } from "@mantine/core";
import { useState } from "react";
import { CopyIcon } from "../../ui/Copy";
import { Dialog } from "../../ui/Dialog";
import { Raw } from "../../ui/Raw";
import event from "../event/event.module.css";
import { TargetForm, type Saved } from "./TargetForm";

/** CreateTarget adds a notification target; a webhook's secret is shown once. */
export function CreateTarget({ onDone }: { readonly onDone: () => void }) {
  const [made, setMade] = useState<Saved>();
  const onSaved = (saved: Saved): void => {
    if (saved.signingSecret === "") onDone();
    else setMade(saved);
  };
  return (
    <Dialog onClose={onDone} size="lg" title={made === undefined ? "New notification target" : "Signing secret"} keep>
      {made === undefined ? <TargetForm onSaved={onSaved} onCancel={onDone} /> : <Made of={made} onDone={onDone} />}
    </Dialog>
  );
}

function Made({ of, onDone }: { readonly of: Saved; readonly onDone: () => void }) {
  return (
    <div className="stack" style={{ gap: 12 }}>
      <p>
        <Raw text={of.name} /> is told of alerts from now on. Its receiver verifies each message with this secret, which is shown this once.
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
