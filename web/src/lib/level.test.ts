import { expect, it } from "vitest";
import { levelChoiceWords, levelRank, levelsOf, parseLevel } from "./level";

it("reads levels and what lies above them", () => {
  expect(levelsOf("high")).toEqual(["high"]);
  expect(levelsOf("high+")).toEqual(["critical", "high"]);
  expect(levelsOf("medium+")).toEqual(["critical", "high", "medium"]);
  expect(levelsOf(undefined)).toEqual([]);
  expect(parseLevel("loud")).toBeUndefined();
  expect(parseLevel("")).toBeUndefined();
});

it("says and orders them", () => {
  expect(levelChoiceWords("medium+")).toBe("Medium and above");
  expect(["low", "critical", "", "informational"].sort((a, b) => levelRank(b) - levelRank(a))).toEqual(["critical", "low", "informational", ""]);
});
