import { expect, it } from "vitest";
import { csvCell, csvText, jsonText, type Exported } from "./export";

it.each(["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "\u0001=cmd", "＝1", "|calc", "\u200b=1", "\n@x"])(
  "keeps a spreadsheet from running %j",
  (text) => expect(csvCell(text)).toBe(`"'${text}"`),
);

it("leaves numbers and plain text alone", () => {
  expect(csvCell(-1)).toBe("-1");
  expect(csvCell(12n)).toBe("12");
  expect(csvCell(undefined)).toBe("");
  expect(csvCell("a-b=c")).toBe('"a-b=c"');
  expect(csvCell('say "hi", then\nleave')).toBe('"say ""hi"", then\nleave"');
});

interface Row {
  name: string;
  count: bigint;
}
const columns: Exported<Row>[] = [
  { header: "Name", value: (row) => row.name },
  { header: "=Count", value: (row) => row.count },
];

it("writes headings and rows", () => {
  expect(csvText(columns, [{ name: "pos-1", count: 3n }])).toBe('"Name","\'=Count"\r\n"pos-1",3\r\n');
});

it("writes JSON with its view", () => {
  const text = jsonText(columns, [{ name: "=x", count: 3n }], {
    address: "https://assay.example/hosts?name=x",
    exportedAt: new Date(0),
    evaluatedAt: undefined,
  });
  expect(JSON.parse(text)).toEqual({
    view: "https://assay.example/hosts?name=x",
    exported_at: "1970-01-01T00:00:00.000Z",
    evaluated_at: null,
    rows: [{ Name: "=x", "=Count": "3" }],
  });
});
