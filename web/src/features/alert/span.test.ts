import { expect, it } from "vitest";
import { spanOf, spanText } from "./span";

it("reads what it writes", () => {
  for (const [seconds, text] of [[900n, "15m"], [3600n, "1h"], [259_200n, "3d"], [5400n, "1h 30m"]] as const) {
    expect(spanText(seconds)).toBe(text);
    expect(spanOf(text)).toBe(seconds);
  }
  expect(spanOf(" 1H30m ")).toBe(5400n);
});

it("tells no time from what is no time", () => {
  expect(spanText(undefined)).toBe("");
  expect(spanOf("  ")).toBeUndefined();
  for (const text of ["soon", "15", "1w", "-1h", "0m", "1.5h"]) expect(spanOf(text)).toBeNull();
});
