import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HostService } from "../../src/gen/assay/console/v1/host_pb";
import { at, checksOf, countStates, day, evaluated, hour, momentKey, page, pick, started, stateOf, type FakeHost } from "./fleet";
import { openFindings } from "./finding";
import { treeSize } from "./tree";
import { fleetOf } from "./variant";

function message(host: FakeHost, hosts: FakeHost[], framework: string, moment: string) {
  return {
    id: host.id,
    name: host.name,
    domain: host.index < 6 ? "corp.example" : "stores.corp.example",
    kind: host.kind,
    os: "windows",
    osVersion: host.index < 6 ? "Windows Server 2022 (20348.2700)" : "Windows 10 IoT Enterprise LTSC (19044.5011)",
    simulated: host.simulated,
    tags: host.index < 6 ? ["cde", "domain-controller"] : ["cde", "pos"],
    firstSeenAt: at(40 * day),
    lastSeenAt: at(host.silent ? 9 * hour : host.kind === "imported" ? 12 * day : 25_000),
    silent: host.silent,
    states: countStates(checksOf(framework).map((check) => stateOf(host, check, moment))),
    hasCoverage: host.kind !== "imported",
    coverageDay: host.silent ? 0.61 : 0.97 + pick(30, host.id) / 1000,
    openFindings: openFindings(hosts).filter((one) => one.host.id === host.id).length,
    agentVersion: host.kind === "imported" ? "" : "0.9.2",
    alsoKnownAs: host.index === 3 ? [{ id: hosts[9]?.id ?? "", name: "dc-ham-04.corp.example" }] : [],
  };
}

function streams(host: FakeHost) {
  const kinds = host.kind === "imported" ? ["import"] : ["control", "bulk"];
  return kinds.map((kind, i) => ({
    id: `${host.id.slice(0, 23)}-${kind}`,
    hostId: host.id,
    hostName: host.name,
    kind,
    epoch: 1 + (host.index % 3 === 1 ? 1 : 0),
    number: BigInt(1200 + pick(9000, host.id, kind)),
    hash: `${host.id.replaceAll("-", "")}${host.id.replaceAll("-", "")}`,
    events: BigInt(40_000 + pick(900_000, host.id, kind)),
    committedAt: at(host.silent ? 9 * hour : 20_000),
    position: BigInt(treeSize - 1 - i - pick(100, host.id)),
    forks: host.index === 4 && kind === "bulk" ? 1 : 0,
    ...(kind === "import" ? {} : { certificateExpiresAt: timestampFromDate(new Date(started.getTime() + 5 * day)) }),
    revoked: false,
  }));
}

const lanes = [
  ["winevent", "Security", "security.log", "A"],
  ["winevent", "System", "system.log", "A"],
  ["winevent", "Microsoft-Windows-Sysmon/Operational", "process.start", "B"],
  ["winevent", "Microsoft-Windows-Windows Defender/Operational", "defender.log", "B"],
  ["winevent", "Microsoft-Windows-DNS-Client/Operational", "dns.answer", "C"],
  ["osquery", "posture", "posture.disk", "B"],
] as const;

function ranges(host: FakeHost, lane: number, from: number, to: number) {
  const out = [];
  let time = from - pick(12 * hour, host.id, lane);
  for (let i = 0; time < to && i < 400; i++) {
    const dice = pick(20, host.id, lane, i);
    const length = dice < 12 ? 4 * hour + pick(30 * hour, host.id, lane, i, "l") : 12 * 60_000 + pick(5 * hour, host.id, lane, i, "s");
    const [state, mode, reason] =
      dice < 12 ? ["covered", "live", ""] : dice < 15 ? ["covered", "backfill", "read again after the agent was away"] : dice < 18 ? ["explained_off", "", "shutdown and start agree"] : ["unexplained", "", "record ids skip 211 records"];
    out.push({
      from: timestampFromDate(new Date(Math.max(time, from))),
      to: timestampFromDate(new Date(Math.min(time + length, to))),
      state,
      mode,
      reason,
      evidence: { position: BigInt(pick(treeSize, host.id, lane, i)), ordinal: 0 },
    });
    time += length;
  }
  const last = out.at(-1);
  if (last !== undefined) Object.assign(last, { state: "pending", mode: "", reason: "telemetry has not come this far" });
  return out.filter((range) => timestampDate(range.from) < timestampDate(range.to));
}

export const hostService: ServiceImpl<typeof HostService> = {
  listHosts(request, context) {
    const { hosts } = fleetOf(context);
    const found = hosts.filter((host) => host.name.toLowerCase().includes(request.name.toLowerCase()) && (request.kind === "" || host.kind === request.kind));
    const cut = page(found, request.page);
    return {
      hosts: cut.rows.map((host) => message(host, hosts, request.framework, momentKey(request.asOf))),
      nextPageToken: cut.next,
      total: found.length,
      evaluated: evaluated(request.asOf),
    };
  },
  getHost(request, context) {
    const { hosts } = fleetOf(context);
    const host = hosts.find((one) => one.id === request.id);
    if (host === undefined) throw new ConnectError(`no host ${request.id}`, Code.NotFound);
    return { evaluated: evaluated(request.asOf), host: message(host, hosts, "", momentKey(request.asOf)), streams: streams(host) };
  },
  getCoverage(request, context) {
    const host = fleetOf(context).hosts.find((one) => one.id === request.host);
    const to = request.to === undefined ? started.getTime() : timestampDate(request.to).getTime();
    const from = request.from === undefined ? to - 7 * day : timestampDate(request.from).getTime();
    return {
      watermark: at(20_000),
      lanes:
        host === undefined || host.kind === "imported"
          ? []
          : lanes.map(([source, channel, capability, grade], i) => ({
              hostId: host.id,
              hostName: host.name,
              source,
              channel,
              capability,
              grade,
              ranges: ranges(host, i, from, Math.min(to, started.getTime())),
              covered: 0.9 + pick(100, host.id, i) / 1000,
            })),
    };
  },
  listStreams(request, context) {
    const all = fleetOf(context).hosts.filter((host) => request.host === "" || host.id === request.host).flatMap(streams);
    const cut = page(all, request.page);
    return { streams: cut.rows, nextPageToken: cut.next };
  },
};
