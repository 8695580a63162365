import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampDate, timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { SuppressionService } from "../../src/gen/assay/console/v1/suppression_pb";
import { at, day, page, started } from "./fleet";
import { rules } from "./rule";
import { fleetOf, mustBeAdmin, userOf } from "./variant";

interface FakeSuppression {
  id: string;
  scope: { pack: string; rule: string; host: string; tag: string; conditions: { field: string; value: string }[] };
  owner: string;
  reason: string;
  createdBy: string;
  createdAt: Timestamp;
  expiresAt: Timestamp;
  endedAt?: Timestamp;
  endedBy: string;
  endedReason: string;
  count: bigint;
  position: bigint;
}

const ahead = (milliseconds: number): Timestamp => timestampFromDate(new Date(started.getTime() + milliseconds));
const base = { endedBy: "", endedReason: "", createdBy: "admin", owner: "kim" };
const all: FakeSuppression[] = [
  { ...base, id: "s-1", scope: { pack: "windows", rule: rules[0]?.id ?? "", host: "", tag: "pos", conditions: [{ field: "ParentImage", value: "*\\deploy\u202ecexe.exe" }] }, reason: "Software deployment on tills, change 4711", createdAt: at(3 * day), expiresAt: ahead(27 * day), count: 611n, position: 2710n },
  { ...base, id: "s-2", scope: { pack: "", rule: "", host: "", tag: "", conditions: [{ field: "User", value: "CORP\\svc-scan" }] }, reason: "Vulnerability scanner", createdAt: at(20 * day), expiresAt: ahead(70 * day), count: 201n, position: 1500n },
  { ...base, id: "s-3", scope: { pack: "windows", rule: rules[2]?.id ?? "", host: "", tag: "", conditions: [] }, reason: "Until the rule is fixed", createdAt: at(50 * day), expiresAt: at(20 * day), count: 9n, position: 700n },
  { ...base, id: "s-4", scope: { pack: "corp", rule: rules[4]?.id ?? "", host: "", tag: "", conditions: [] }, reason: "Test of the backup", createdAt: at(8 * day), expiresAt: ahead(8 * day), endedAt: at(day), endedBy: "admin", endedReason: "The test is over", count: 2n, position: 2300n },
];

function message(of: FakeSuppression, hosts: { id: string; name: string }[]) {
  return {
    ...of,
    state: of.endedAt === undefined && timestampDate(of.expiresAt) > new Date() ? "active" : "ended",
    ...(of.count === 0n ? {} : { lastAt: at(4_000_000) }),
    ruleTitle: rules.find((one) => one.id === of.scope.rule)?.title ?? "",
    hostName: hosts.find((one) => one.id === of.scope.host)?.name ?? "",
  };
}

export const suppressionService: ServiceImpl<typeof SuppressionService> = {
  listSuppressions(request, context) {
    const { hosts, empty } = fleetOf(context);
    const rows = empty
      ? []
      : all
          .map((one) => message(one, hosts))
          .filter((one) => (request.state === "" || one.state === request.state) && (request.pack === "" || one.scope.pack === request.pack) && (request.rule === "" || one.scope.rule === request.rule) && (request.host === "" || one.scope.host === request.host));
    const cut = page(rows, request.page);
    return { suppressions: cut.rows, nextPageToken: cut.next, total: rows.length };
  },
  getSuppression(request, context) {
    const found = all.find((one) => one.id === request.id);
    if (found === undefined) throw new ConnectError(`no suppression ${request.id}`, Code.NotFound);
    return { suppression: message(found, fleetOf(context).hosts) };
  },
  createSuppression(request, context) {
    mustBeAdmin(context);
    const scope = request.scope;
    if (scope === undefined || (scope.rule === "" && scope.conditions.length === 0)) throw new ConnectError("name a rule or a condition", Code.InvalidArgument);
    if (request.expiresAt === undefined || timestampDate(request.expiresAt) < new Date()) throw new ConnectError("the end is not in the future", Code.InvalidArgument);
    const by = userOf(context.requestHeader);
    const { pack, rule, host, tag, conditions } = scope;
    const made: FakeSuppression = { ...base, id: `s-${all.length + 1}`, scope: { pack, rule, host, tag, conditions: conditions.map(({ field, value }) => ({ field, value })) }, owner: request.owner, reason: request.reason, createdBy: by, createdAt: at(0), expiresAt: request.expiresAt, count: 0n, position: 3001n };
    all.unshift(made);
    return { suppression: message(made, fleetOf(context).hosts), closed: 0 };
  },
  endSuppression(request, context) {
    mustBeAdmin(context);
    const found = all.find((one) => one.id === request.id);
    if (found === undefined) throw new ConnectError(`no suppression ${request.id}`, Code.NotFound);
    if (request.reason === "") throw new ConnectError("a reason is needed", Code.InvalidArgument);
    Object.assign(found, { endedAt: at(0), endedBy: userOf(context.requestHeader), endedReason: request.reason });
    return { suppression: message(found, fleetOf(context).hosts) };
  },
};
