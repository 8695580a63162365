import { ActionIcon, Button, CopyButton } from "@mantine/core";
import { Icon } from "./Icon";
import css from "./raw.module.css";

/** CopyIcon copies a value; `what` names it for screen readers. */
export function CopyIcon({ value, what }: { readonly value: string; readonly what: string }) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <ActionIcon variant="subtle" size="sm" color="gray" onClick={copy} aria-label={copied ? `Copied ${what}` : `Copy ${what}`} className="no-print">
          <Icon name={copied ? "done" : "copy"} size={14} />
        </ActionIcon>
      )}
    </CopyButton>
  );
}

/** CopyLabel is the same as a button with a word. */
export function CopyLabel({ value, what }: { readonly value: string; readonly what: string }) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Button variant="default" onClick={copy} leftSection={<Icon name={copied ? "done" : "copy"} size={14} />}>
          {copied ? "Copied" : `Copy ${what}`}
        </Button>
      )}
    </CopyButton>
  );
}

/** Hash shows a digest in full where there is room, with its copy button. */
export function Hash({ value, what }: { readonly value: string; readonly what: string }) {
  if (value === "") return <span className="dim">none</span>;
  return (
    <span style={{ display: "flex", alignItems: "center", gap: 4 }}>
      <span className={css.raw}>{value}</span>
      <CopyIcon value={value} what={what} />
    </span>
  );
}
