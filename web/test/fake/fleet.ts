import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { EvaluatedSchema, State, StateCountsSchema, type AsOf, type Evaluated, type StateCounts } from "../../src/gen/assay/console/v1/common_pb";
import { checks, frameworks } from "./frameworks";
import { treeSize } from "./tree";

/** pick is a number below `below` that depends on nothing but its words. */
export function pick(below: number, ...words: (string | number)[]): number {
  return createHash("sha256").update(words.join("\u0000")).digest().readUInt32BE(0) % below;
}

export const started = new Date();
export const ago = (milliseconds: number): Date => new Date(started.getTime() - milliseconds);
export const at = (milliseconds: number) => timestampFromDate(ago(milliseconds));
export const hour = 3_600_000;
export const day = 24 * hour;

export interface FakeHost {
  index: number;
  id: string;
  name: string;
  kind: string;
  simulated: boolean;
  silent: boolean;
}

const hostile = ["POS-\u202Eexe.200-SOP", "=HYPERLINK(1)", "a\u200bdmin-pc"];

/** makeHosts: a few servers, tills, made-up ones, imports and names that mean ill. */
export function makeHosts(count: number): FakeHost[] {
  return Array.from({ length: count }, (_, index) => {
    const imported = index % 17 === 9;
    const simulated = index >= 40 && !imported;
    const site = ["fra", "muc", "ber", "ham"][index % 4] ?? "fra";
    const plain = index < 6 ? `DC-${site.toUpperCase()}-${String(index + 1).padStart(2, "0")}` : imported ? `export-${String(index).padStart(4, "0")}` : `POS-${site.toUpperCase()}-${String(index).padStart(4, "0")}`;
    const name = hostile[index - 12] ?? plain;
    const digest = createHash("sha256").update(`host ${index}`).digest("hex");
    return {
      index,
      id: `${digest.slice(0, 8)}-${digest.slice(8, 12)}-4${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`,
      name,
      kind: imported ? "imported" : "enrolled",
      simulated,
      silent: !imported && index % 23 === 5,
    };
  });
}

/** stateOf decides one check on one host; a moment in the past decides a little differently. */
export function stateOf(host: FakeHost, check: string, moment: string): State {
  const dice = pick(1000, host.id, check, pick(5, host.id, check) === 0 ? moment : "");
  if (["log.cleared", "av.current", "malware.resolved", "time.changed"].includes(check) && dice < 16) return State.FAIL;
  if (["log.chain", "log.fields"].includes(check)) return host.kind === "imported" ? State.NOT_APPLICABLE : State.PASS;
  if (host.silent) return State.UNKNOWN;
  if (host.kind === "imported") return ["agent.alive", "log.forward_lag", "log.chain"].includes(check) ? State.NOT_APPLICABLE : State.UNKNOWN;
  if (check === "fim.live") return State.UNKNOWN;
  if (check === "media.known_device") return dice < 500 ? State.UNKNOWN : State.NOT_APPLICABLE;
  if (dice < 16) return State.ERROR;
  if (dice < 90) return State.UNKNOWN;
  return State.PASS;
}

const worst = [State.FAIL, State.ERROR, State.UNKNOWN, State.MANUAL, State.PASS];
export function roll(states: State[]): State {
  return worst.find((state) => states.includes(state)) ?? State.NOT_APPLICABLE;
}

export function countStates(states: Iterable<State>): StateCounts {
  const counts = create(StateCountsSchema);
  for (const state of states) {
    if (state === State.PASS) counts.pass++;
    else if (state === State.FAIL) counts.fail++;
    else if (state === State.UNKNOWN) counts.unknown++;
    else if (state === State.ERROR) counts.error++;
    else if (state === State.MANUAL) counts.manual++;
    else counts.notApplicable++;
  }
  return counts;
}

export function momentKey(asOf: AsOf | undefined): string {
  if (asOf === undefined) return "now";
  return asOf.treeSize > 0n ? `tree ${asOf.treeSize}` : `at ${asOf.instant?.seconds ?? ""}`;
}

export function evaluated(asOf: AsOf | undefined): Evaluated {
  const size = asOf !== undefined && asOf.treeSize > 0n ? asOf.treeSize : BigInt(treeSize);
  const instant = asOf?.instant ?? at(asOf === undefined ? 20_000 : 3 * day);
  return create(EvaluatedSchema, { instant, watermark: instant, treeSize: size });
}

/** checksOf names a framework's checks; without one, all. */
export function checksOf(framework: string): string[] {
  const found = frameworks.find((one) => one.id === framework);
  return found === undefined ? checks.map((check) => check.id) : [...new Set(found.requirements.flatMap((one) => one.checks))];
}

/** page cuts one page out of a list; tokens are offsets. */
export function page<T>(rows: T[], ask: { size: number; token: string } | undefined): { rows: T[]; next: string } {
  const size = Math.min(500, ask?.size === 0 || ask === undefined ? 100 : ask.size);
  const from = Number(ask?.token === "" ? 0 : (ask?.token ?? 0));
  const to = from + size;
  return { rows: rows.slice(from, to), next: to < rows.length ? String(to) : "" };
}
