import { Button, NativeSelect, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState, type SyntheticEvent } from "react";
import type { ImportRulesResponse } from "../../gen/assay/console/v1/rule_pb";
import { ruleApi } from "../../lib/api";
import { listOf } from "../../lib/list";
import { DataTable } from "../../ui/DataTable";
import { Dialog } from "../../ui/Dialog";
import { Icon } from "../../ui/Icon";
import { Empty, Failure } from "../../ui/Note";
import { Facts, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import css from "../suppression/suppression.module.css";
import { ArchiveFault, archiveOf, type Chosen } from "./archive";
import { changedRules } from "./queries";
import { problemColumns } from "./Refused";
import ruleCss from "./rule.module.css";

const enables = [
  ["none", "None of them"],
  ["critical", "Critical ones"],
  ["high", "High and above"],
  ["medium", "Medium and above"],
  ["low", "Low and above"],
  ["all", "All of them"],
] as const;

/** Asked is an import that the server was asked about: it is imported exactly so, or not. */
interface Asked {
  readonly pack: string;
  readonly version: string;
  readonly archive: Uint8Array<ArrayBuffer>;
  readonly enable: string;
  readonly reason: string;
}

/** ImportRules brings rules of files in: first the server says what would become of them. */
export function ImportRules({ onDone }: { readonly onDone: () => void }) {
  const client = useQueryClient();
  const [asked, setAsked] = useState<Asked>();
  const trial = useMutation({
    mutationFn: async ({ files, ...rest }: Omit<Asked, "archive"> & { readonly files: readonly Chosen[] }) => {
      const ask = { ...rest, archive: await archiveOf(files) };
      return { ask, answer: await ruleApi.importRules({ ...ask, dryRun: true }) };
    },
    onSuccess: ({ ask }) => setAsked(ask),
  });
  const take = useMutation({
    mutationFn: (ask: Asked) => ruleApi.importRules(ask),
    onSuccess: () => {
      for (const queryKey of [...changedRules, ["rule-problems"]]) void client.invalidateQueries({ queryKey });
    },
  });
  const answer = take.data ?? (asked === undefined ? undefined : trial.data?.answer);
  return (
    <Dialog onClose={onDone} size="xl" keep title={take.data !== undefined ? "Imported" : asked !== undefined ? "What would become of it" : "Import rules"}>
      {/* Hidden and not gone: who goes back finds what was filled in. */}
      <div hidden={asked !== undefined}>
        <Form failed={trial.error} pending={trial.isPending} onAsk={(ask) => trial.mutate(ask)} onCancel={onDone} />
      </div>
      {asked === undefined || answer === undefined ? null : (
        <div className="stack" style={{ gap: 12 }}>
          <Outcome of={answer} done={take.data !== undefined} />
          {take.isError ? <Failure error={take.error} /> : null}
          <div className="row" style={{ justifyContent: "flex-end" }}>
            {take.data !== undefined ? (
              <Button onClick={onDone}>Done</Button>
            ) : (
              <>
                <Button variant="default" onClick={() => setAsked(undefined)}>
                  Back
                </Button>
                <Button loading={take.isPending} disabled={answer.alreadyInForce || answer.pack?.rules === 0} onClick={() => take.mutate(asked)}>
                  Import {(answer.pack?.rules ?? 0).toLocaleString("en")} {answer.pack?.rules === 1 ? "rule" : "rules"}
                </Button>
              </>
            )}
          </div>
        </div>
      )}
    </Dialog>
  );
}

interface FormProps {
  readonly failed: Error | null;
  readonly pending: boolean;
  readonly onAsk: (ask: Omit<Asked, "archive"> & { readonly files: readonly Chosen[] }) => void;
  readonly onCancel: () => void;
}

function Form({ failed, pending, onAsk, onCancel }: FormProps) {
  const [files, setFiles] = useState<readonly Chosen[]>([]);
  const [pack, setPack] = useState("");
  const [version, setVersion] = useState("");
  const [enable, setEnable] = useState("none");
  const [reason, setReason] = useState("");
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    onAsk({ files, pack: pack.trim(), version: version.trim(), enable, reason: reason.trim() });
  };
  return (
    <form onSubmit={onSubmit} className="stack" style={{ gap: 12 }}>
      <p>Sigma rules in YAML. The pack is replaced as a whole by what is chosen; rules that it had before keep whether they are enabled. Nothing is imported before you have seen what the server makes of it.</p>
      <div className={css.fields}>
        <FileChoice label="Files" description=".yml, .yaml or one .tar.gz" onChoose={setFiles} />
        <FileChoice label="Or a folder" description="All YAML below it" folder onChoose={setFiles} />
      </div>
      <p className="dim" aria-live="polite">
        {files.length === 0 ? "No file is chosen." : files.length === 1 ? <>Chosen: <Raw text={files[0]?.path ?? ""} /></> : `${files.length.toLocaleString("en")} files are chosen.`}
      </p>
      <div className={css.fields}>
        <TextInput label="Pack" description="Its name; a new one makes a new pack" required maxLength={64} value={pack} onChange={(event) => setPack(event.currentTarget.value)} />
        <TextInput label="Version" description="Empty: made of the contents" maxLength={64} value={version} onChange={(event) => setVersion(event.currentTarget.value)} />
        <NativeSelect label="Enable" description="Of rules new in the pack" value={enable} onChange={(event) => setEnable(event.currentTarget.value)} data={enables.map(([value, label]) => ({ value, label }))} />
      </div>
      <Textarea label="Reason" description="Kept with your name in the ledger, for good." required autosize minRows={2} maxLength={2000} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
      {failed === null ? null : failed instanceof ArchiveFault ? (
        <p role="alert" style={{ color: "var(--fail)" }}>
          <Icon name="warn" size={12} /> <Raw text={failed.message} sentence />
        </p>
      ) : (
        <Failure error={failed} />
      )}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button variant="default" onClick={onCancel}>
          Cancel
        </Button>
        <Button type="submit" loading={pending} disabled={files.length === 0 || pack.trim() === "" || reason.trim() === ""}>
          Check
        </Button>
      </div>
    </form>
  );
}

interface FileChoiceProps {
  readonly label: string;
  readonly description: string;
  readonly folder?: boolean;
  readonly onChoose: (files: readonly Chosen[]) => void;
}

function FileChoice({ label, description, folder = false, onChoose }: FileChoiceProps) {
  const id = useId();
  return (
    <div style={{ minWidth: 0, fontSize: 13 }}>
      <label htmlFor={id} style={{ fontWeight: 600 }}>
        {label}
      </label>
      <div className="dim" id={`${id}-about`}>
        {description}
      </div>
      <input
        id={id}
        type="file"
        multiple
        aria-describedby={`${id}-about`}
        accept={folder ? undefined : ".yml,.yaml,.tgz,.gz"}
        className={ruleCss.file}
        // Not an attribute that React's types know.
        ref={(input) => {
          if (folder) input?.setAttribute("webkitdirectory", "");
        }}
        onChange={(event) => onChoose([...(event.currentTarget.files ?? [])].map((file) => ({ path: file.webkitRelativePath === "" ? file.name : file.webkitRelativePath, file })))}
      />
    </div>
  );
}

function Outcome({ of, done }: { readonly of: ImportRulesResponse; readonly done: boolean }) {
  const refused = of.pack?.problems ?? 0;
  const number = (n: number): string => n.toLocaleString("en");
  const count = (n: number, one: string): string => `${number(n)} ${one}${n === 1 ? "" : "s"}`;
  return (
    <>
      {of.alreadyInForce ? (
        <Empty title="The very same rules are in force already">Nothing is to be done.</Empty>
      ) : (
        <p role="status">
          {done ? <>They hold for events that the ledger holds from position {of.pack?.position.toLocaleString("en")} on. Run a rule over the past from its page.</> : <>Nothing was imported yet.</>}
        </p>
      )}
      <Facts
        of={[
          ["Pack", <span key="pack"><Raw text={of.pack?.name ?? ""} /> <Raw text={of.pack?.version ?? ""} /></span>],
          ["Read", `${count(of.files, "file")}: ${count(of.pack?.rules ?? 0, "rule")}, ${count(of.pack?.correlations ?? 0, "correlation")}, ${count(of.pack?.filters ?? 0, "filter")}`],
          ["Against before", `${number(of.added)} added, ${number(of.changed)} changed, ${number(of.unchanged)} unchanged, ${number(of.removed)} removed`],
          [done ? "Enabled" : "Would be enabled", `${number(of.turnedOn)} of the new ones`],
          ["Refused", refused === 0 ? "none" : <Tag key="refused" warn>{number(refused)} refused</Tag>],
        ]}
      />
      {of.problems.length === 0 ? null : (
        <>
          <h3>Refused, and why{refused > of.problems.length ? ` (the first ${number(of.problems.length)} of ${number(refused)})` : ""}</h3>
          <p className="dim">The others are taken all the same. What was refused stays listed under “Refused”.</p>
          <div style={{ maxHeight: "18rem", overflow: "auto" }}>
            <DataTable name="refused-on-import" label="Refused rules of this import" plain columns={problemColumns} list={listOf(of.problems)} rowKey={(one) => `${one.path} ${one.line} ${one.rule} ${one.reason}`} empty={null} />
          </div>
        </>
      )}
    </>
  );
}
