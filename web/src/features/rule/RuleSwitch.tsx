import { Switch } from "@mantine/core";
import { useState } from "react";
import type { Rule } from "../../gen/assay/console/v1/rule_pb";
import { ruleApi } from "../../lib/api";
import { visibleText } from "../../lib/visible";
import { Raw } from "../../ui/Raw";
import { ReasonDialog } from "../../ui/ReasonDialog";
import { Enabled } from "./RuleMarks";
import { useIsAdmin } from "../session/useSession";
import { changedRules } from "./queries";

/** RuleSwitch turns a rule on or off, with the reason; who may not sees how it stands. */
export function RuleSwitch({ of, labelled = false }: { readonly of: Rule; readonly labelled?: boolean }) {
  const admin = useIsAdmin();
  const [asking, setAsking] = useState(false);
  if (!admin) return <Enabled on={of.enabled} />;
  const to = !of.enabled;
  return (
    <>
      <Switch size="xs" checked={of.enabled} label={labelled ? (of.enabled ? "Enabled" : "Disabled") : undefined} aria-label={labelled ? undefined : `${of.enabled ? "Disable" : "Enable"} ${visibleText(of.title)}`} onChange={() => setAsking(true)} />
      {asking ? (
        <ReasonDialog
          title={to ? "Enable this rule" : "Disable this rule"}
          button={to ? "Enable" : "Disable"}
          changed={changedRules}
          send={(reason) => ruleApi.setRulesEnabled({ pack: of.pack, rules: [of.id], enabled: to, reason })}
          onDone={() => setAsking(false)}
        >
          <p>
            <Raw text={of.title} sentence /> {to ? "matches events from the change’s place in the ledger on." : "matches nothing from then on; alerts that it opened stay."}
          </p>
        </ReasonDialog>
      ) : null}
    </>
  );
}
