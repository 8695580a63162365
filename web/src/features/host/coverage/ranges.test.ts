import { expect, it } from "vitest";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CoverageLaneSchema } from "../../../gen/assay/console/v1/host_pb";
import { kindOf, pan, stretches, ticks, zoom } from "./ranges";

const hour = 3_600_000;

it("never takes a strange state for cover", () => {
  expect(kindOf({ state: "covered", mode: "live" })).toBe("live");
  expect(kindOf({ state: "covered", mode: "backfill" })).toBe("recovered");
  expect(kindOf({ state: "covered", mode: "import" })).toBe("recovered");
  expect(kindOf({ state: "explained_off", mode: "" })).toBe("explained");
  expect(kindOf({ state: "pending", mode: "" })).toBe("pending");
  expect(kindOf({ state: "new thing", mode: "live" })).toBe("unexplained");
});

it("cuts ranges to the window and orders them", () => {
  const range = (from: number, to: number) => ({ from: timestampFromMs(from), to: timestampFromMs(to), state: "covered", mode: "live" });
  const lane = create(CoverageLaneSchema, { ranges: [range(8 * hour, 20 * hour), range(0, 2 * hour), range(1 * hour, 6 * hour), range(30 * hour, 40 * hour), range(7 * hour, 7 * hour)] });
  const out = stretches(lane, { from: 2 * hour, to: 10 * hour });
  expect(out.map((one) => [one.from / hour, one.to / hour])).toEqual([
    [2, 6],
    [8, 10],
  ]);
});

it("zooms around a point and keeps within bounds", () => {
  expect(zoom({ from: 0, to: 100 * hour }, 0.5, 0)).toEqual({ from: 0, to: 50 * hour });
  expect(zoom({ from: 0, to: 100 * hour }, 0.5, 1)).toEqual({ from: 50 * hour, to: 100 * hour });
  const tiny = zoom({ from: 0, to: 60_000 }, 0.001);
  expect(tiny.to - tiny.from).toBe(60_000);
  expect(pan({ from: 0, to: 100 }, -0.5)).toEqual({ from: -50, to: 50 });
});

it("puts ticks on round times", () => {
  const out = ticks({ from: 10 * 60_000, to: 24 * hour }, 8);
  expect(out.length).toBeLessThanOrEqual(8);
  for (const at of out) expect(at % hour).toBe(0);
});
