import { expect, it } from "vitest";
import { State } from "../gen/assay/console/v1/common_pb";
import { addVectors, emptyVector, parseState, rollUp, stateName, stateNumber, stateOrder, vectorSum, vectorWords } from "./state";

const vector = { fail: 3, error: 0, unknown: 2, manual: 1, pass: 10, not_applicable: 4 };

it("counts every state once", () => {
  expect(vectorSum(vector)).toBe(20);
  expect(vectorSum(emptyVector)).toBe(0);
  expect(vectorSum(addVectors(vector, vector))).toBe(40);
});

it("says a vector worst first, and its denominator", () => {
  expect(vectorWords(vector)).toBe("3 fail, 2 unknown, 1 manual, 10 pass, 4 not applicable of 20");
  expect(vectorWords(emptyVector)).toBe("none in scope");
});

it("rolls up fail > error > unknown > manual > pass", () => {
  expect(rollUp(["pass", "unknown", "fail"])).toBe("fail");
  expect(rollUp(["pass", "manual", "unknown"])).toBe("unknown");
  expect(rollUp(["unknown", "error"])).toBe("error");
  expect(rollUp(["not_applicable", "pass"])).toBe("pass");
  expect(rollUp([])).toBe("not_applicable");
});

it("names wire values and never takes a strange one for a pass", () => {
  for (const name of stateOrder) expect(stateName(stateNumber(name))).toBe(name);
  expect(stateName(State.UNSPECIFIED)).toBe("unknown");
  // A later server may send a state that this console does not know.
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- that is what is tested
  expect(stateName(99 as State)).toBe("unknown");
  expect(stateNumber(undefined)).toBe(State.UNSPECIFIED);
  expect(parseState("pass")).toBe("pass");
  expect(parseState("passed")).toBeUndefined();
});
