import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { AlertClockSchema } from "../../gen/assay/console/v1/alert_pb";
import { actionWords, clockWords, reasonWords } from "./words";

const now = new Date("2026-11-27T12:00:00Z");
const clock = (state: string, due?: string, met?: string) =>
  create(AlertClockSchema, { state, ...(due === undefined ? {} : { due: timestampFromDate(new Date(due)) }), ...(met === undefined ? {} : { met: timestampFromDate(new Date(met)) }) });

it("says where a clock stands", () => {
  expect(clockWords(undefined, now)).toBe("no clock");
  expect(clockWords(clock("none"), now)).toBe("no clock");
  expect(clockWords(clock("running", "2026-11-27T14:00:00Z"), now)).toBe("due in 2 hours");
  // The server said "running" a moment ago; the clock ran out since.
  expect(clockWords(clock("running", "2026-11-27T11:00:00Z"), now)).toBe("overdue by 1 hour");
  expect(clockWords(clock("overdue", "2026-11-24T12:00:00Z"), now)).toBe("overdue by 3 days");
  expect(clockWords(clock("met", "2026-11-24T12:00:00Z", "2026-11-24T11:00:00Z"), now)).toBe("in time");
  expect(clockWords(clock("late", "2026-11-24T12:00:00Z", "2026-11-24T12:30:00Z"), now)).toBe("late by 30 minutes");
});

it("says what was done", () => {
  expect(actionWords("close", "false_positive")).toBe("Closed: false positive");
  expect(actionWords("assign", "")).toBe("Taken from everybody");
  expect(actionWords("assign", "kim")).toBe("Assigned to kim");
  expect(actionWords("overdue", "acknowledge")).toBe("Overdue to be acknowledged");
  expect(actionWords("new kind", "x")).toBe("new kind");
  expect(reasonWords("benign")).toBe("Benign");
  expect(reasonWords("other")).toBe("other");
});
