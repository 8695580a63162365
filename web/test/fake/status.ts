import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { State } from "../../src/gen/assay/console/v1/common_pb";
import type { StatusService } from "../../src/gen/assay/console/v1/status_pb";
import { at, checksOf, countStates, day, evaluated, hour, momentKey, page, pick, roll, stateOf, type FakeHost } from "./fleet";
import { checks, frameworks } from "./frameworks";
import { openFindings } from "./finding";
import { treeSize } from "./tree";
import { fleetOf } from "./variant";

const reasons: Partial<Record<State, [reason: string, detail: string][]>> = {
  [State.FAIL]: [["violated", "Event 1102 of channel Security: the log was cleared by CORP\\jdoe"]],
  [State.UNKNOWN]: [
    ["no_data", "Nothing arrived from the channel in the window"],
    ["coverage", "91.3 % of expected time covered, 99 % are asked for"],
    ["param_missing", "The parameter paths is not set"],
    ["stale", "The newest report is 3 hours old"],
  ],
  [State.ERROR]: [["error", "The selector compares a text with a number"]],
  [State.PASS]: [["", "No violation seen; sources were alive and able to see it"]],
  [State.NOT_APPLICABLE]: [["imported", "Not applicable to a host known from exported logs"]],
};

function verdict(host: FakeHost, check: string, moment: string) {
  const state = stateOf(host, check, moment);
  const choice = reasons[state] ?? [["", ""]];
  const [reason, detail] = choice[pick(choice.length, host.id, check)] ?? ["", ""];
  const seen = state === State.FAIL || state === State.PASS;
  const total = seen ? 1 + pick(30, host.id, check, "n") : 0;
  return {
    hostId: host.id,
    hostName: host.name,
    check,
    state,
    reason,
    detail,
    grade: state === State.NOT_APPLICABLE || !seen ? "" : (["A", "B", "C"][pick(3, host.id)] ?? "A"),
    hasCoverage: state !== State.NOT_APPLICABLE,
    coverage: state === State.PASS ? 0.995 + pick(5, host.id, check) / 1000 : pick(1000, host.id, check) / 1000,
    windowFrom: at(day),
    windowTo: at(0),
    evidence: Array.from({ length: Math.min(20, total) }, (_, i) => ({ position: BigInt(pick(treeSize - 40, host.id, check) + i), ordinal: i % 5 })),
    evidenceTotal: total,
    since: at(pick(40 * 24, host.id, check) * hour),
    openFindings: state === State.FAIL ? 1 : 0,
  };
}

const summary = (hosts: FakeHost[], moment: string) => (id: string) => ({
  id,
  title: checks.find((check) => check.id === id)?.title ?? id,
  hosts: countStates(hosts.map((host) => stateOf(host, id, moment))),
});

function requirementStatus(hosts: FakeHost[], moment: string, of: (typeof frameworks)[number]["requirements"][number]) {
  const states = of.checks.length === 0 ? [] : hosts.map((host) => roll(of.checks.map((check) => stateOf(host, check, moment))));
  return {
    id: of.id,
    state: of.checks.length === 0 ? State.MANUAL : roll(states),
    hosts: countStates(states),
    checks: of.checks.map(summary(hosts, moment)),
    grade: of.checks.length === 0 ? "" : "C",
  };
}

function transitions(hosts: FakeHost[]) {
  return hosts.slice(0, 24).map((host, i) => ({
    hostId: host.id,
    hostName: host.name,
    check: checks[i % checks.length]?.id ?? "",
    from: [State.PASS, State.UNKNOWN, State.FAIL][i % 3] ?? State.PASS,
    to: [State.UNKNOWN, State.PASS, State.PASS, State.FAIL][i % 4] ?? State.PASS,
    reason: ["coverage", "", "resolved", "violated"][i % 4] ?? "",
    validAt: at(i * 47 * 60_000),
    recordedAt: at(i * 46 * 60_000),
    position: BigInt(treeSize - i * 3 - 1),
  }));
}

export const statusService: ServiceImpl<typeof StatusService> = {
  getOverview(request, context) {
    const { hosts, empty } = fleetOf(context);
    const moment = momentKey(request.asOf);
    const open = openFindings(hosts);
    const ages = [0, 0, 0, 0, 0];
    for (const finding of open) {
      const bounds = [hour, day, 7 * day, 30 * day, Infinity];
      const i = bounds.findIndex((bound) => finding.age < bound);
      ages[i] = (ages[i] ?? 0) + 1;
    }
    return {
      evaluated: evaluated(request.asOf),
      frameworks: frameworks.map((framework) => ({
        ...framework,
        requirements: countStates(framework.requirements.map((one) => (empty && one.checks.length > 0 ? State.NOT_APPLICABLE : requirementStatus(hosts, moment, one).state))),
      })),
      checks: checks.map((check) => summary(hosts, moment)(check.id)),
      hosts: hosts.length,
      silentHosts: hosts.filter((host) => host.silent).length,
      hostsImported: hosts.filter((host) => host.kind === "imported").length,
      hostsSimulated: hosts.filter((host) => host.simulated).length,
      openFindings: open.length,
      findingAges: ages,
      eventsLastDay: empty ? 0n : 1_482_339n,
      ledgerSize: empty ? 3n : BigInt(treeSize),
      ledgerGood: !empty,
      ...(empty ? {} : { ledgerVerifiedAt: at(5 * hour) }),
      transitions: empty ? [] : transitions(hosts),
    };
  },
  listFrameworks: () => ({ frameworks, checks }),
  getFrameworkStatus(request, context) {
    const framework = frameworks.find((one) => one.id === request.framework);
    if (framework === undefined) throw new ConnectError(`no framework ${request.framework}`, Code.NotFound);
    const hosts = fleetOf(context).hosts.filter((host) => request.host === "" || host.id === request.host);
    return {
      evaluated: evaluated(request.asOf),
      framework,
      requirements: framework.requirements.map((one) => requirementStatus(hosts, momentKey(request.asOf), one)),
    };
  },
  listVerdicts(request, context) {
    const { hosts } = fleetOf(context);
    const moment = momentKey(request.asOf);
    const requirement = frameworks.find((one) => one.id === request.framework)?.requirements.find((one) => one.id === request.requirement);
    const ids = (requirement?.checks ?? checksOf(request.framework)).filter((id) => request.check === "" || id === request.check);
    const all = hosts
      .filter((host) => request.host === "" || host.id === request.host)
      .flatMap((host) => ids.map((id) => ({ host, id })))
      .filter(({ host, id }) => request.state === State.UNSPECIFIED || stateOf(host, id, moment) === request.state);
    const { rows, next } = page(all, request.page);
    return { evaluated: evaluated(request.asOf), verdicts: rows.map(({ host, id }) => verdict(host, id, moment)), nextPageToken: next, total: all.length };
  },
  listTransitions(request, context) {
    const all = transitions(fleetOf(context).hosts).filter((one) => (request.host === "" || one.hostId === request.host) && (request.check === "" || one.check === request.check));
    const { rows, next } = page(all, request.page);
    return { transitions: rows, nextPageToken: next };
  },
};
