import { ActionIcon, Autocomplete, Button, NativeSelect, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useDebouncedValue } from "@mantine/hooks";
import { useState, type SyntheticEvent } from "react";
import type { Table } from "../../gen/assay/console/v1/event_pb";
import { hostApi } from "../../lib/api";
import { dateFromSearch, utcFromInput, utcToInput } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { Icon } from "../../ui/Icon";
import { formatCondition, ops, type Condition } from "./conditions";
import css from "./event.module.css";
import type { EventFilter } from "./queries";

interface QueryFormProps {
  readonly tables: readonly Table[];
  readonly table: Table;
  readonly filter: EventFilter;
}

/** QueryForm builds a question over one table; asking it changes the address. */
export function QueryForm({ tables, table, filter }: QueryFormProps) {
  const navigate = useNavigate();
  const [host, setHost] = useState(filter.host ?? "");
  const [from, setFrom] = useState(inputOf(filter.from));
  const [to, setTo] = useState(inputOf(filter.to));
  const [conditions, setConditions] = useState<readonly Condition[]>(filter.conditions);

  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    void navigate({
      to: "/events",
      search: {
        table: table.name,
        host: host.trim() === "" ? undefined : host.trim(),
        from: utcFromInput(from)?.toISOString(),
        to: utcFromInput(to)?.toISOString(),
        where: conditions.filter((one) => one.value !== "" || one.op === "=" || one.op === "!=").map(formatCondition),
      },
    });
  };
  const change = (i: number, next: Partial<Condition>): void => setConditions(conditions.map((one, at) => (at === i ? { ...one, ...next } : one)));
  return (
    <form onSubmit={onSubmit} className={`${css.form} no-print`} aria-label="Question">
      <div className={css.fields}>
        <NativeSelect
          label="Table"
          value={table.name}
          onChange={(event) => void navigate({ to: "/events", search: { table: event.currentTarget.value, host: filter.host, from: filter.from, to: filter.to } })}
          data={tables.map((one) => ({ value: one.name, label: `${one.name} (${one.events.toLocaleString("en")})` }))}
        />
        <HostField value={host} onChange={setHost} />
        <TextInput type="datetime-local" label="From (UTC)" value={from} onChange={(event) => setFrom(event.currentTarget.value)} />
        <TextInput type="datetime-local" label="To (UTC)" value={to} onChange={(event) => setTo(event.currentTarget.value)} />
      </div>
      <p className="dim">{table.description}</p>
      {conditions.map((condition, i) => (
        <div key={i} className={css.condition} role="group" aria-label={`Condition ${i + 1}`}>
          <NativeSelect aria-label="Column" value={condition.column} onChange={(event) => change(i, { column: event.currentTarget.value })} data={table.columns.map((column) => column.name)} />
          <NativeSelect aria-label="Comparison" value={condition.op} onChange={(event) => change(i, { op: event.currentTarget.value })} data={ops.map(([value, label]) => ({ value, label }))} />
          <TextInput aria-label="Value" value={condition.value} maxLength={200} onChange={(event) => change(i, { value: event.currentTarget.value })} />
          <ActionIcon variant="default" aria-label={`Remove condition ${i + 1}`} onClick={() => setConditions(conditions.filter((_, at) => at !== i))}>
            <Icon name="close" size={13} />
          </ActionIcon>
        </div>
      ))}
      <div className="row">
        <Button variant="default" leftSection={<Icon name="plus" size={13} />} disabled={conditions.length >= 10} onClick={() => setConditions([...conditions, { column: table.columns[0]?.name ?? "", op: "contains", value: "" }])}>
          Condition
        </Button>
        <Button type="submit">Ask</Button>
      </div>
    </form>
  );
}

function inputOf(text: string | undefined): string {
  const date = dateFromSearch(text);
  return date === undefined ? "" : utcToInput(date);
}

/** HostField takes a host's id, and finds it by a part of the name. */
function HostField({ value, onChange }: { readonly value: string; readonly onChange: (value: string) => void }) {
  const [typed] = useDebouncedValue(value, 250);
  const isId = /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(value);
  const found = useQuery({
    queryKey: ["host-names", typed],
    queryFn: ({ signal }) => hostApi.listHosts({ name: typed, page: { size: 12 } }, { signal }),
    enabled: typed !== "" && !isId,
  }).data?.hosts;
  const hosts = found ?? [];
  return (
    <Autocomplete
      size="xs"
      label="Host"
      placeholder="name or id"
      data-filter
      value={value}
      maxLength={200}
      onChange={onChange}
      data={hosts.map((host) => ({ value: host.id, label: `${visibleText(host.name)} (${host.id.slice(0, 8)})` }))}
      filter={({ options }) => options}
      onOptionSubmit={(chosen) => onChange(hosts.find((host) => `${visibleText(host.name)} (${host.id.slice(0, 8)})` === chosen)?.id ?? chosen)}
    />
  );
}
