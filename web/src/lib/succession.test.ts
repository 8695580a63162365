import { expect, test } from "vitest";
import { parseSuccession } from "./succession";

const root = "A".repeat(43) + "=";
const text = (held: string, kept: string): string => `assay/succession/v1\nassay/x+1f2e3d4c+AQ\nassay/x/2+11223344+AQ\n17640000000000000\nheld ${held} ${root}\nkept ${kept} ${root}\n\n— assay/x AAAA\n`;

test("reads what a ledger lost", () => {
  expect(parseSuccession(text("613", "32"))).toEqual({ previous: "assay/x", held: 613n, kept: 32n });
});

test("takes no other note for one", () => {
  for (const note of ["", "assay/x\n4\nroot\n\n— x", text("many", "32"), text("613", "-1"), text("613", "32").replace("v1", "v2")]) expect(parseSuccession(note)).toBeUndefined();
});
