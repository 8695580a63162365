import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ReviewSchema } from "../../gen/assay/console/v1/alert_pb";
import { timeOf } from "../../lib/time";
import { periodsOf } from "./periods";

const review = (at: string) => create(ReviewSchema, { at: timeOf(new Date(at)), by: "kim" });

it("a review looks back to the one before it, and is late after 36 hours", () => {
  const periods = periodsOf([review("2026-11-27T20:00:01Z"), review("2026-11-26T08:00:00Z"), review("2026-11-24T20:00:00Z")]);
  expect(periods.map((one) => [one.from?.toISOString(), one.late])).toEqual([
    ["2026-11-26T08:00:00.000Z", true],
    ["2026-11-24T20:00:00.000Z", false],
    [undefined, false],
  ]);
});
