import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

// Rules of the house that a reader of the source would otherwise have to watch.

const root = join(import.meta.dirname, "..");
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(tsx?|css)$/.test(name) && !name.startsWith("gen") && !name.startsWith("test") && !name.includes(".test."))
  .map((name) => ({ name, text: readFileSync(join(root, name), "utf8") }));

it("never says that anybody is compliant", () => {
  expect(files.filter((file) => /complian/i.test(file.text)).map((file) => file.name)).toEqual([]);
});

it("takes nothing from outside", () => {
  expect(files.filter((file) => /https?:\/\//.test(file.text)).map((file) => file.name)).toEqual([]);
});

it("keeps files short", () => {
  expect(files.length).toBeGreaterThan(50);
  expect(files.filter((file) => file.text.split("\n").length > 450).map((file) => file.name)).toEqual([]);
});

it("sends the moment with every question that takes one", () => {
  // Each request message with as_of is asked in exactly one place, with asOf in it.
  for (const call of ["getOverview", "getFrameworkStatus", "listVerdicts", "listFindings", "listAlerts", "countAlerts", "getAlert"]) {
    const uses = files.flatMap((file) => [...file.text.matchAll(new RegExp(`Api\\.${call}\\(([\\s\\S]*?)signal`, "g"))].map((match) => match[1] ?? ""));
    expect(uses).toHaveLength(1);
    expect(uses[0]).toContain("asOf");
  }
});
