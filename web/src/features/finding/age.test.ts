import { expect, it } from "vitest";
import { findingAges } from "../../routes/searches";
import { hasAge } from "./age";

it("puts every finding into exactly one age", () => {
  const at = new Date("2026-11-23T00:00:00Z");
  for (const span of [-5000, 0, 3_599_999, 3_600_000, 86_399_999, 86_400_000, 7 * 86_400_000, 30 * 86_400_000 - 1, 30 * 86_400_000, 1e12]) {
    const opened = new Date(at.getTime() - span);
    expect(findingAges.filter((age) => hasAge(opened, at, age))).toHaveLength(1);
  }
  expect(hasAge(new Date(at.getTime() - 3_600_000), at, "1d")).toBe(true);
});
