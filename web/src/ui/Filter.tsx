import { NativeSelect, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useState } from "react";
import { parseState, stateOrder, stateWords, type StateName } from "../lib/state";
import { Icon } from "./Icon";

interface TextFilterProps {
  readonly label: string;
  readonly value: string | undefined;
  readonly onChange: (value: string | undefined) => void;
}

/** TextFilter is the field that / goes to; it waits until typing pauses. */
export function TextFilter({ label, value, onChange }: TextFilterProps) {
  const [text, setText] = useState(value ?? "");
  const [seen, setSeen] = useState(value);
  // The address may change from elsewhere: the back button, a link.
  if (seen !== value) {
    setSeen(value);
    setText(value ?? "");
  }
  const send = useDebouncedCallback((next: string) => {
    const to = next.trim() === "" ? undefined : next.trim();
    setSeen(to);
    onChange(to);
  }, 250);
  return (
    <TextInput
      label={label}
      value={text}
      data-filter
      maxLength={200}
      leftSection={<Icon name="search" size={13} />}
      aria-keyshortcuts="/"
      onChange={(event) => {
        setText(event.currentTarget.value);
        send(event.currentTarget.value);
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.blur();
      }}
    />
  );
}

/** StateFilter chooses one state or all. */
export function StateFilter({ value, onChange }: { readonly value: StateName | undefined; readonly onChange: (value: StateName | undefined) => void }) {
  return (
    <NativeSelect
      label="State"
      value={value ?? ""}
      onChange={(event) => onChange(parseState(event.currentTarget.value))}
      data={[{ value: "", label: "Any" }, ...stateOrder.map((state) => ({ value: state, label: stateWords[state] }))]}
    />
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly any: string;
  readonly value: string | undefined;
  readonly choices: readonly (readonly [value: string, label: string])[];
  readonly onChange: (value: string | undefined) => void;
}

/** Choice chooses one of a list or any. */
export function Choice({ label, any, value, choices, onChange }: ChoiceProps) {
  return (
    <NativeSelect
      label={label}
      value={value ?? ""}
      onChange={(event) => onChange(event.currentTarget.value === "" ? undefined : event.currentTarget.value)}
      data={[{ value: "", label: any }, ...choices.map(([choice, name]) => ({ value: choice, label: name }))]}
    />
  );
}
