import { expect, it } from "vitest";
import { dateFromSearch, utcFromInput, utcText, utcToInput } from "./time";

it("says times in UTC", () => {
  const date = new Date("2026-11-23T04:05:06.789Z");
  expect(utcText(date)).toBe("2026-11-23 04:05:06");
  expect(utcText(date, false)).toBe("2026-11-23 04:05");
});

it("reads fields as UTC and gives them back", () => {
  expect(utcFromInput("2026-11-23T04:05")?.toISOString()).toBe("2026-11-23T04:05:00.000Z");
  expect(utcToInput(new Date("2026-11-23T04:05:59Z"))).toBe("2026-11-23T04:05");
  expect(utcFromInput("2026-11-23")).toBeUndefined();
  expect(utcFromInput("2026-99-23T04:05")).toBeUndefined();
});

it("takes no nonsense from an address", () => {
  expect(dateFromSearch("soon")).toBeUndefined();
  expect(dateFromSearch(undefined)).toBeUndefined();
});
