import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { FindingService } from "../../src/gen/assay/console/v1/finding_pb";
import { at, day, hour, page, pick, type FakeHost } from "./fleet";
import { frameworks } from "./frameworks";
import { fleetOf, mustBeAdmin, userOf } from "./variant";

interface FakeFinding {
  host: FakeHost;
  index: number;
  id: string;
  age: number;
  check: string;
  closed: boolean;
}

const kinds = [
  ["log.cleared", "The Security log was cleared"],
  ["av.realtime", "Real-time protection was switched off"],
  ["malware.resolved", "A detection was not dealt with within an hour"],
  ["time.changed", "The clock was set by hand"],
] as const;

const causes = new Map<string, { cause: string; by: string }>();

function all(hosts: FakeHost[]): FakeFinding[] {
  return hosts
    .filter((host) => host.index % 7 === 3 || host.index === 12)
    .map((host, index) => ({
      host,
      index,
      id: `f-${String(index + 1).padStart(5, "0")}`,
      age: [20 * 60_000, 5 * hour, 3 * day, 12 * day, 45 * day][index % 5] ?? hour,
      check: kinds[index % 4]?.[0] ?? "",
      closed: index % 6 === 5,
    }));
}

export const openFindings = (hosts: FakeHost[]): FakeFinding[] => all(hosts).filter((one) => !one.closed && !causes.has(one.id));

function message(of: FakeFinding) {
  const cause = causes.get(of.id);
  const closed = of.closed || cause !== undefined;
  const position = BigInt(100 + pick(3000, of.id));
  return {
    id: of.id,
    hostId: of.host.id,
    hostName: of.host.name,
    check: of.check,
    title: `${kinds[of.index % 4]?.[1] ?? ""} by CORP\\j${of.index === 1 ? "\u202e" : ""}doe`,
    status: closed ? "closed" : "open",
    openedAt: at(of.age),
    ...(closed ? { closedAt: at(of.age / 3) } : {}),
    closedBy: cause?.by ?? (of.closed ? "admin" : ""),
    cause: cause?.cause ?? (of.closed ? "Planned maintenance, change 4711" : ""),
    grade: "B",
    evidence: [
      { position, ordinal: 2 },
      { position: position + 1n, ordinal: 0 },
    ],
    fields: [
      { name: "EventID", value: "1102" },
      { name: "SubjectUserSid", value: "S-1-5-21-1004336348-1177238915-682003330-512" },
      { name: "SubjectUserName", value: "j\u202edoe" },
      { name: "Channel", value: "Security" },
    ],
    position: position + 2n,
    requirements: frameworks.flatMap((framework) => framework.requirements.filter((one) => one.checks.includes(of.check)).map((one) => `${framework.id}/${one.id}`)),
  };
}

function find(hosts: FakeHost[], id: string): FakeFinding {
  const found = all(hosts).find((one) => one.id === id);
  if (found === undefined) throw new ConnectError(`no finding ${id}`, Code.NotFound);
  return found;
}

export const findingService: ServiceImpl<typeof FindingService> = {
  listFindings(request, context) {
    const rows = all(fleetOf(context).hosts)
      .map(message)
      .filter((one) => (request.status === "" || one.status === request.status) && (request.host === "" || one.hostId === request.host) && (request.check === "" || one.check === request.check));
    const cut = page(rows, request.page);
    return { findings: cut.rows, nextPageToken: cut.next, total: rows.length };
  },
  getFinding: (request, context) => ({ finding: message(find(fleetOf(context).hosts, request.id)) }),
  closeFinding(request, context) {
    mustBeAdmin(context);
    const found = find(fleetOf(context).hosts, request.id);
    if (request.cause.trim() === "") throw new ConnectError("a cause is needed", Code.InvalidArgument);
    causes.set(found.id, { cause: request.cause, by: userOf(context.requestHeader) });
    return { finding: message(found) };
  },
};
