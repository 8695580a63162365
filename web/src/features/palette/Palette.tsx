import { Modal, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useEffect, useId, useRef, useState, type KeyboardEvent } from "react";
import { hostApi, ruleApi } from "../../lib/api";
import { Icon } from "../../ui/Icon";
import { Raw } from "../../ui/Raw";
import { frameworksQuery } from "../control/queries";
import { matches, type Entry } from "./entries";
import css from "./palette.module.css";

/** Palette goes anywhere by a few letters: pages, hosts, rules, controls, checks. */
export function Palette({ onClose }: { readonly onClose: () => void }) {
  const router = useRouter();
  const id = useId();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const [name] = useDebouncedValue(text.trim(), 200);
  const known = useQuery(frameworksQuery).data;
  const hosts = useQuery({
    queryKey: ["host-names", name],
    queryFn: ({ signal }) => hostApi.listHosts({ name, page: { size: 12 } }, { signal }),
    enabled: name !== "",
  });
  const rules = useQuery({
    queryKey: ["rule-names", name],
    queryFn: ({ signal }) => ruleApi.listRules({ text: name, page: { size: 8 } }, { signal }),
    enabled: name.length > 1,
  });
  const searching = name !== text.trim() || hosts.isFetching || rules.isFetching;
  const entries = matches(text, known, { to: name, hosts: hosts.data?.hosts ?? [], rules: rules.data?.rules ?? [] });
  const current = Math.min(at, Math.max(0, entries.length - 1));

  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [current]);

  const go = (entry: Entry | undefined): void => {
    if (entry === undefined) return;
    onClose();
    const moment = new URLSearchParams(window.location.search).get("at");
    const address = moment === null ? entry.address : `${entry.address}${entry.address.includes("?") ? "&" : "?"}at=${moment}`;
    router.history.push(address);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown") setAt(Math.min(current + 1, entries.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(current - 1, 0));
    else if (event.key === "Enter") go(entries[current]);
    else return;
    event.preventDefault();
  };
  return (
    <Modal.Root opened onClose={onClose} size={560} yOffset="12vh" transitionProps={{ duration: 80 }}>
      <Modal.Overlay backgroundOpacity={0.45} />
      <Modal.Content>
        <Modal.Body p={0}>
          <Modal.Title className="sr">Find</Modal.Title>
      <TextInput
        className={css.field}
        size="md"
        data-autofocus
        aria-label="Find a host, a control or a page"
        placeholder="Host, rule, control, check or page"
        role="combobox"
        aria-expanded={entries.length > 0}
        aria-controls={id}
        aria-activedescendant={entries.length > 0 ? `${id}-${current}` : undefined}
        leftSection={<Icon name="search" />}
        value={text}
        maxLength={100}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul className={css.list} role="listbox" id={id} ref={list} aria-label="Found">
        {entries.map((entry, i) => (
          <li key={entry.address} id={`${id}-${i}`} role="option" aria-selected={i === current} className={css.entry} onMouseMove={() => setAt(i)} onClick={() => go(entry)}>
            <Icon name={entry.icon} size={14} />
            <span className={css.name}>
              {entry.kind === "Host" || entry.kind === "Rule" ? <Raw text={entry.name} sentence={entry.kind === "Rule"} /> : entry.name}
              {entry.note === "" ? null : <span className="dim"> {entry.note}</span>}
            </span>
            <span className="dim">{entry.kind}</span>
          </li>
        ))}
      </ul>
      <p className={css.keys} aria-live="polite">
        {entries.length === 0 ? (searching ? "Searching" : "Nothing fits") : "↑ ↓ choose, Enter goes there. On pages: j and k move through a table, Enter opens, / filters."}
      </p>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
