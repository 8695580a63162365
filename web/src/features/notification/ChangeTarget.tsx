import type { NotificationTarget } from "../../gen/assay/console/v1/notification_pb";
import { Dialog } from "../../ui/Dialog";
import { TargetForm } from "./TargetForm";

/** ChangeTarget changes what a notification target is or is told of. */
export function ChangeTarget({ target, onDone }: { readonly target: NotificationTarget; readonly onDone: () => void }) {
  return (
    <Dialog onClose={onDone} size="lg" title="Change this target" keep>
      <div className="stack" style={{ gap: 12 }}>
        <p>What waits to be told goes to where the target leads now. Where that is another host, another CA or another user, its password or Authorization header must be given anew.</p>
        <TargetForm target={target} onSaved={onDone} onCancel={onDone} />
      </div>
    </Dialog>
  );
}
