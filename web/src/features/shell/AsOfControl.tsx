import { Button, Popover, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useState, type SyntheticEvent } from "react";
import { formatMoment, NOW, type Moment } from "../../lib/asof";
import { useMoment } from "../../lib/moment";
import { utcFromInput, utcText, utcToInput } from "../../lib/time";
import { Icon } from "../../ui/Icon";
import css from "./shell.module.css";

/** momentWords names a moment in a few words. */
export function momentWords(moment: Moment): string {
  switch (moment.kind) {
    case "now":
      return "Now";
    case "instant":
      return `${utcText(moment.at, false)} UTC`;
    case "tree":
      return `Ledger size ${moment.size.toLocaleString("en")}`;
  }
}

/** AsOfControl chooses the moment that every page speaks of. */
export function AsOfControl() {
  const moment = useMoment();
  const [opened, setOpened] = useState(false);
  return (
    <Popover opened={opened} onChange={setOpened} position="bottom-end" shadow="md" trapFocus width={300}>
      <Popover.Target>
        <button type="button" className={`${css.tool} ${moment.kind === "now" ? "" : css.past}`} onClick={() => setOpened(!opened)} aria-label={`As of: ${momentWords(moment)}`}>
          <Icon name="clock" size={14} />
          <span className={css.wide}>As of</span> <span className={moment.kind === "now" ? "" : css.wide}>{momentWords(moment)}</span>
        </button>
      </Popover.Target>
      <Popover.Dropdown aria-label="As of">
        <Chooser moment={moment} onDone={() => setOpened(false)} />
      </Popover.Dropdown>
    </Popover>
  );
}

function Chooser({ moment, onDone }: { readonly moment: Moment; readonly onDone: () => void }) {
  const navigate = useNavigate();
  const [instant, setInstant] = useState(moment.kind === "instant" ? utcToInput(moment.at) : "");
  const [size, setSize] = useState(moment.kind === "tree" ? moment.size.toString() : "");
  const [problem, setProblem] = useState<string>();

  const go = (to: Moment): void => {
    onDone();
    void navigate({ to: ".", search: (old) => ({ ...old, at: formatMoment(to) }) });
  };
  const onInstant = (event: SyntheticEvent): void => {
    event.preventDefault();
    const at = utcFromInput(instant);
    if (at === undefined) setProblem("Give a date and a time.");
    else go({ kind: "instant", at });
  };
  const onSize = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (/^[1-9]\d{0,18}$/.test(size)) go({ kind: "tree", size: BigInt(size) });
    else setProblem("A ledger size is a whole number above zero.");
  };
  return (
    <div className="stack" style={{ gap: 12 }}>
      <Button variant={moment.kind === "now" ? "filled" : "default"} onClick={() => go(NOW)}>
        Now
      </Button>
      <form onSubmit={onInstant} className="stack" style={{ gap: 6 }}>
        <TextInput type="datetime-local" label="Date and time (UTC)" description="The facts as they stood then, with all that is known of them today." value={instant} onChange={(event) => setInstant(event.currentTarget.value)} />
        <Button type="submit" variant="default">
          Show that time
        </Button>
      </form>
      <form onSubmit={onSize} className="stack" style={{ gap: 6 }}>
        <TextInput inputMode="numeric" label="Ledger size" description="As known then: what came in later is left out." value={size} onChange={(event) => setSize(event.currentTarget.value.trim())} />
        <Button type="submit" variant="default">
          Show that size
        </Button>
      </form>
      {problem === undefined ? null : (
        <p role="alert" style={{ color: "var(--fail)" }}>
          {problem}
        </p>
      )}
    </div>
  );
}
