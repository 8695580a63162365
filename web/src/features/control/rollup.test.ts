import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { State } from "../../gen/assay/console/v1/common_pb";
import { VerdictSchema } from "../../gen/assay/console/v1/status_pb";
import { hostsInState, serverFilter } from "./rollup";

const verdict = (hostId: string, check: string, state: State) => create(VerdictSchema, { hostId, check, state });
const verdicts = [
  verdict("a", "x", State.FAIL),
  verdict("a", "y", State.PASS),
  verdict("b", "x", State.PASS),
  verdict("b", "y", State.UNKNOWN),
  verdict("c", "x", State.PASS),
  verdict("c", "y", State.PASS),
];
const named = (state: Parameters<typeof hostsInState>[1]) => hostsInState(verdicts, state).map((one) => one.hostId + one.check);

it("counts a host once, by the worst of its verdicts", () => {
  expect(named("fail")).toEqual(["ax"]);
  expect(named("unknown")).toEqual(["by"]);
  expect(named("pass")).toEqual(["cx", "cy"]);
  expect(named("error")).toEqual([]);
  expect(named(undefined)).toHaveLength(6);
});

it("asks the server for less only where that changes nothing", () => {
  const filter = { framework: "f", requirement: "r" };
  expect(serverFilter(filter, "fail")).toEqual({ ...filter, state: "fail" });
  expect(serverFilter(filter, "pass")).toEqual(filter);
  expect(serverFilter({ ...filter, check: "x" }, "pass")).toEqual({ ...filter, check: "x", state: "pass" });
  expect(serverFilter({ ...filter, check: "x" }, undefined)).toEqual({ ...filter, check: "x" });
});
