/** Exported is one column of an export: its heading and how a row's value is read. */
export interface Exported<Row> {
  readonly header: string;
  readonly value: (row: Row) => Value;
}

export type Value = string | number | bigint | boolean | undefined;

// A spreadsheet takes a cell that begins so as a formula. Full-width forms count
// as well, and so does what hides behind spaces, quotes or control characters.
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const formula = /^[\s\u0000-\u001f'"\u200b\ufeff]*[=+\-@\t\r\n|＝＋－＠]/;

/**
 * csvCell quotes a value. Text that a spreadsheet would run gets an apostrophe
 * in front; numbers stay numbers.
 */
export function csvCell(value: Value): string {
  if (value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const safe = formula.test(value) ? `'${value}` : value;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** csvText is RFC 4180: a heading, CRLF, every text quoted. */
export function csvText<Row>(columns: readonly Exported<Row>[], rows: readonly Row[]): string {
  const lines = [columns.map((column) => csvCell(column.header)).join(",")];
  for (const row of rows) lines.push(columns.map((column) => csvCell(column.value(row))).join(","));
  return lines.join("\r\n") + "\r\n";
}

/** View says where an export comes from, so that it can be asked for again. */
export interface View {
  readonly address: string;
  readonly exportedAt: Date;
  readonly evaluatedAt: Date | undefined;
}

/** jsonText holds the same rows under the same headings, with the view. */
export function jsonText<Row>(columns: readonly Exported<Row>[], rows: readonly Row[], view: View): string {
  const table = rows.map((row) =>
    Object.fromEntries(
      columns.map((column) => {
        const value = column.value(row);
        return [column.header, typeof value === "bigint" ? value.toString() : (value ?? null)];
      }),
    ),
  );
  return (
    JSON.stringify(
      {
        view: view.address,
        exported_at: view.exportedAt.toISOString(),
        evaluated_at: view.evaluatedAt?.toISOString() ?? null,
        rows: table,
      },
      null,
      2,
    ) + "\n"
  );
}

/** saveText hands a text to the browser as a download. */
export function saveText(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(url);
}
