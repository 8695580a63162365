import { expect, it } from "vitest";
import { matches, type Found } from "./entries";

const names = (text: string, found: Partial<Found>): string[] => matches(text, undefined, { to: text, hosts: [], rules: [], ...found }).map((entry) => entry.name);
const host = (name: string) => ({ id: name, name, domain: "" });

it("takes the server's word for what fits", () => {
  expect(names("by its tag", { rules: [{ pack: "windows", id: "a", title: "Shadow copies removed", level: "high" }] })).toEqual(["Shadow copies removed"]);
});

it("keeps of an answer to an older text only what fits the new one", () => {
  // Enter goes to the first: it may not be the host that somebody began to type before.
  const old = { to: "web", hosts: [host("web-01"), host("web-02")] };
  expect(names("web-02", old)).toEqual(["web-02"]);
  expect(names("sql", old)).toEqual([]);
  expect(names("ledger", old)).toEqual(["Ledger"]);
});
