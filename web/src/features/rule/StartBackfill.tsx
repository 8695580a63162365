import { TextInput } from "@mantine/core";
import { useState } from "react";
import type { Rule } from "../../gen/assay/console/v1/rule_pb";
import { ruleApi } from "../../lib/api";
import { timeOf, utcFromInput, utcToInput } from "../../lib/time";
import { Raw } from "../../ui/Raw";
import { ReasonDialog } from "../../ui/ReasonDialog";
import { backfillsKey } from "./queries";

/** StartBackfill runs a rule over what was received since a time. */
export function StartBackfill({ rule, onDone }: { readonly rule: Rule; readonly onDone: () => void }) {
  const [since, setSince] = useState(() => utcToInput(new Date(Date.now() - 7 * 86_400_000)));
  return (
    <ReasonDialog
      title="Run over the past"
      button="Run"
      changed={[backfillsKey, ["rule"], ["alerts"]]}
      send={(reason) => ruleApi.backfillRules({ pack: rule.pack, rules: [rule.id], since: timeOf(utcFromInput(since) ?? new Date()), reason })}
      onDone={onDone}
    >
      <p>
        <Raw text={rule.title} sentence /> is matched against what was received before it came into force, in the background. Its progress is under Rules, “Over the past”.
      </p>
      <TextInput type="datetime-local" label="Received since (UTC)" required value={since} onChange={(event) => setSince(event.currentTarget.value)} />
    </ReasonDialog>
  );
}
