import { State, type StateCounts } from "../gen/assay/console/v1/common_pb";

/** StateName is a state as it stands in addresses and styles. */
export type StateName = "fail" | "error" | "unknown" | "manual" | "pass" | "not_applicable";

/** stateOrder is the order of display, the worst first. */
export const stateOrder: readonly StateName[] = ["fail", "error", "unknown", "manual", "pass", "not_applicable"];

export const stateWords: Readonly<Record<StateName, string>> = {
  fail: "Fail",
  error: "Error",
  unknown: "Unknown",
  manual: "Manual",
  pass: "Pass",
  not_applicable: "Not applicable",
};

const numbers: Readonly<Record<StateName, State>> = {
  fail: State.FAIL,
  error: State.ERROR,
  unknown: State.UNKNOWN,
  manual: State.MANUAL,
  pass: State.PASS,
  not_applicable: State.NOT_APPLICABLE,
};

/** stateName names a wire value; what this console does not know is unknown. */
export function stateName(state: State): StateName {
  return stateOrder.find((name) => numbers[name] === state) ?? "unknown";
}

/** stateNumber is stateName's inverse; undefined asks for every state. */
export function stateNumber(name: StateName | undefined): State {
  return name === undefined ? State.UNSPECIFIED : numbers[name];
}

/** parseState reads a state of an address. */
export function parseState(text: unknown): StateName | undefined {
  return stateOrder.find((name) => name === text);
}

/** Vector counts subjects by state. */
export type Vector = Readonly<Record<StateName, number>>;

export const emptyVector: Vector = { fail: 0, error: 0, unknown: 0, manual: 0, pass: 0, not_applicable: 0 };

/** vectorOf reads a message's counts; an absent message counts nothing. */
export function vectorOf(counts: StateCounts | undefined): Vector {
  if (counts === undefined) return emptyVector;
  return {
    fail: counts.fail,
    error: counts.error,
    unknown: counts.unknown,
    manual: counts.manual,
    pass: counts.pass,
    not_applicable: counts.notApplicable,
  };
}

/** vectorSum is how many subjects a vector counts. */
export function vectorSum(vector: Vector): number {
  return stateOrder.reduce((sum, name) => sum + vector[name], 0);
}

/** addVectors adds two vectors state by state. */
export function addVectors(a: Vector, b: Vector): Vector {
  return {
    fail: a.fail + b.fail,
    error: a.error + b.error,
    unknown: a.unknown + b.unknown,
    manual: a.manual + b.manual,
    pass: a.pass + b.pass,
    not_applicable: a.not_applicable + b.not_applicable,
  };
}

/** rollUp is the worst of some states; nothing in scope is not applicable. */
export function rollUp(states: Iterable<StateName>): StateName {
  const present = new Set(states);
  return stateOrder.find((name) => present.has(name)) ?? "not_applicable";
}

/** vectorWords says a vector in one line: "3 fail, 1 unknown, 12 pass of 16". */
export function vectorWords(vector: Vector): string {
  const parts = stateOrder
    .filter((name) => vector[name] > 0)
    .map((name) => `${vector[name]} ${stateWords[name].toLowerCase()}`);
  return parts.length === 0 ? "none in scope" : `${parts.join(", ")} of ${vectorSum(vector)}`;
}
