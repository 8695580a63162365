import { expect, it } from "vitest";
import { progress } from "./progress";

it("is between nothing and all", () => {
  expect(progress({ from: 100n, to: 300n, position: 150n, state: "running" })).toBe(0.25);
  expect(progress({ from: 100n, to: 300n, position: 0n, state: "running" })).toBe(0);
  expect(progress({ from: 100n, to: 300n, position: 400n, state: "running" })).toBe(1);
  expect(progress({ from: 100n, to: 100n, position: 100n, state: "running" })).toBe(0);
  expect(progress({ from: 100n, to: 100n, position: 100n, state: "done" })).toBe(1);
});
