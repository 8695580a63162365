import { describe, expect, it } from "vitest";
import { formatMoment, parseMoment, toAsOf } from "./asof";

describe("parseMoment", () => {
  it("reads the present, an instant and a tree size", () => {
    expect(parseMoment(undefined)).toEqual({ kind: "now" });
    expect(parseMoment("")).toEqual({ kind: "now" });
    expect(parseMoment("2026-11-20T10:00:00Z")).toEqual({ kind: "instant", at: new Date("2026-11-20T10:00:00Z") });
    expect(parseMoment("2026-11-20T10:00+02:00")).toEqual({ kind: "instant", at: new Date("2026-11-20T08:00:00Z") });
    expect(parseMoment("tree-12345678901234567")).toEqual({ kind: "tree", size: 12345678901234567n });
  });
  it.each(["yesterday", "2026-11-20", "2026-11-20T10:00:00", "2026-13-01T00:00:00Z", "tree-", "tree-0", "tree--1", "tree-1e3", "tree-99999999999999999999"])(
    "does not guess at %s",
    (text) => expect(parseMoment(text)).toBeUndefined(),
  );
});

describe("formatMoment", () => {
  it.each(["2026-11-20T10:00:00Z", "2026-11-20T10:00:00.250Z", "tree-42"])("keeps %s as it is", (text) => {
    const moment = parseMoment(text);
    expect(moment).toBeDefined();
    expect(moment && formatMoment(moment)).toBe(text);
  });
  it("has nothing to say of the present", () => expect(formatMoment({ kind: "now" })).toBeUndefined());
});

describe("toAsOf", () => {
  it("sets exactly one field", () => {
    expect(toAsOf({ kind: "now" })).toBeUndefined();
    expect(toAsOf({ kind: "tree", size: 7n })).toMatchObject({ treeSize: 7n });
    expect(toAsOf({ kind: "tree", size: 7n })?.instant).toBeUndefined();
    const instant = toAsOf({ kind: "instant", at: new Date(5000) });
    expect(instant?.instant?.seconds).toBe(5n);
    expect(instant?.treeSize).toBe(0n);
  });
});
