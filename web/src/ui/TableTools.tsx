import { Button, Checkbox, Menu, Popover } from "@mantine/core";
import { useState } from "react";
import { dateOf } from "../lib/time";
import { csvText, jsonText, saveText } from "../lib/export";
import type { List } from "../lib/list";
import type { Column } from "./DataTable";
import { Icon } from "./Icon";

interface ChooserProps<Row> {
  readonly columns: readonly Column<Row>[];
  readonly shown: readonly string[];
  readonly onChange: (shown: string[]) => void;
}

/** ColumnChooser shows and hides columns; the choice is part of the address. */
export function ColumnChooser<Row>({ columns, shown, onChange }: ChooserProps<Row>) {
  return (
    <Popover position="bottom-end" withinPortal shadow="md" trapFocus>
      <Popover.Target>
        <Button variant="default" leftSection={<Icon name="columns" size={14} />}>
          Columns
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label="Columns to show">
        <div className="stack" style={{ gap: 6 }}>
          {columns.map((column) => (
            <Checkbox
              key={column.id}
              size="xs"
              label={column.header}
              checked={shown.includes(column.id)}
              disabled={shown.length === 1 && shown.includes(column.id)}
              onChange={(event) => {
                const on = event.currentTarget.checked;
                onChange(columns.map((c) => c.id).filter((id) => (id === column.id ? on : shown.includes(id))));
              }}
            />
          ))}
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}

interface ExportProps<Row> {
  readonly name: string;
  readonly columns: readonly Column<Row>[];
  readonly list: List<Row>;
  /** order puts the rows in the order shown. */
  readonly order: (rows: readonly Row[]) => readonly Row[];
}

/** ExportMenu saves what is shown: these columns, this filter, all of its rows. */
export function ExportMenu<Row>({ name, columns, list, order }: ExportProps<Row>) {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState(false);
  const save = async (kind: "csv" | "json"): Promise<void> => {
    setBusy(true);
    setFailed(false);
    try {
      const rows = order(await list.readAll());
      const now = new Date();
      const file = `assay-${name}-${now.toISOString().slice(0, 19).replaceAll(":", "")}.${kind}`;
      if (kind === "csv") saveText(file, "text/csv", csvText(columns, rows));
      else {
        const view = { address: window.location.href, exportedAt: now, evaluatedAt: dateOf(list.evaluated?.instant) };
        saveText(file, "application/json", jsonText(columns, rows, view));
      }
    } catch {
      setFailed(true);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      {failed ? (
        <span role="alert" style={{ color: "var(--fail)" }}>
          The export could not be read to its end. Try again.
        </span>
      ) : null}
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <Button variant="default" loading={busy} leftSection={<Icon name="download" size={14} />}>
            Export
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => void save("csv")}>CSV, as shown</Menu.Item>
          <Menu.Item onClick={() => void save("json")}>JSON, as shown</Menu.Item>
          <Menu.Item onClick={() => window.print()}>Print</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  );
}
