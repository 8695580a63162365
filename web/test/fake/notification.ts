import { randomBytes, randomUUID } from "node:crypto";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { NotificationService } from "../../src/gen/assay/console/v1/notification_pb";
import { openedLately } from "./alert";
import { at, day, page, pick, started } from "./fleet";
import { fleetOf, mustBeAdmin, userOf } from "./variant";

const blank = { format: "", security: "", from: "", to: [] as string[], username: "", ca: "", levels: [] as string[], kinds: [] as string[] };
const targets = [
  { ...blank, id: "n-1", name: "siem", kind: "webhook", address: "https://siem.corp.example/…", format: "ocsf", levels: ["high", "critical"], enabled: true, by: "admin", changed: "" },
  { ...blank, id: "n-2", name: "SOC on duty", kind: "email", address: "mail.corp.example:587", security: "starttls", from: "assay@corp.example", to: ["soc@corp.example"], username: "assay", enabled: true, by: "admin", changed: "" },
  { ...blank, id: "n-3", name: "old collector", kind: "syslog", address: "logs.corp.example:6514", enabled: false, by: "admin", changed: "Replaced by siem" },
];
type FakeTarget = (typeof targets)[number];

interface Attempt {
  at: ReturnType<typeof at>;
  milliseconds: number;
  ok: boolean;
  detail: string;
}
const retried = new Set<string>();
const tests: { id: string; target: string; ok: boolean }[] = [];

function deliveriesOf(context: HandlerContext) {
  if (fleetOf(context).empty) return [];
  const made = openedLately(context).flatMap((alert, i) =>
    targets
      .filter((one) => one.enabled && one.id.length === 3 && (one.levels.length === 0 || one.levels.includes(alert.level)))
      .map((target) => {
        const id = `d-${i}-${target.id}`;
        const state = retried.has(id) ? "pending" : target.id === "n-2" && i % 9 === 3 ? "failed" : target.id === "n-2" && i % 9 === 4 ? "pending" : "delivered";
        const failed: Attempt = { at: timestampFromDate(alert.openedAt), milliseconds: 15_003, ok: false, detail: "no answer in time (an attempt has 15s): dial tcp 192.0.2.25:587: i/o timeout" };
        const good: Attempt = { at: timestampFromDate(alert.openedAt), milliseconds: 40 + pick(300, id), ok: true, detail: target.kind === "email" ? "taken by the mail server; recipients: 1" : "202 Accepted" };
        const attempts: Attempt[] = state === "failed" ? Array.from({ length: 16 }, () => failed) : state === "pending" ? [failed, failed] : i % 7 === 0 ? [failed, good] : [good];
        return {
          id,
          targetId: target.id,
          targetName: target.name,
          kind: i % 6 === 5 ? "alert.overdue" : "alert.open",
          alert: alert.id,
          level: alert.level,
          state,
          occurredAt: timestampFromDate(alert.openedAt),
          createdAt: timestampFromDate(alert.openedAt),
          attempts,
          maxAttempts: 16,
          ...(state === "pending" ? { nextAttemptAt: timestampFromDate(new Date(started.getTime() + 80_000)) } : {}),
        };
      }),
  );
  const testing = tests.map((one) => ({
    id: one.id,
    targetId: one.target,
    targetName: targets.find((target) => target.id === one.target)?.name ?? "",
    kind: "test",
    alert: "",
    level: "informational",
    state: one.ok ? "delivered" : "failed",
    occurredAt: at(0),
    createdAt: at(0),
    attempts: [{ at: at(0), milliseconds: 31, ok: one.ok, detail: one.ok ? "200 OK" : "the receiver answered 403 Forbidden: who are \u202eyou?" }],
    maxAttempts: 1,
  }));
  return [...testing, ...made];
}

function message(of: FakeTarget, context: HandlerContext) {
  const own = deliveriesOf(context).filter((one) => one.targetId === of.id);
  const count = (state: string): bigint => BigInt(own.filter((one) => one.state === state).length);
  const last = own[0]?.attempts.at(-1);
  return {
    ...of,
    createdBy: of.by,
    createdAt: at(30 * day),
    changedBy: of.by,
    changedAt: at(4 * day),
    changedReason: of.changed,
    pending: count("pending"),
    delivered: count("delivered"),
    failed: count("failed"),
    ...(count("delivered") > 0n ? { lastDeliveredAt: at(240_000) } : {}),
    lastError: last === undefined || last.ok ? "" : last.detail,
    position: 40n,
  };
}

function find(id: string): FakeTarget {
  const found = targets.find((one) => one.id === id);
  if (found === undefined) throw new ConnectError(`there is no notification target ${id}`, Code.NotFound);
  return found;
}

export const notificationService: ServiceImpl<typeof NotificationService> = {
  listNotificationTargets: (_, context) => ({ targets: fleetOf(context).empty ? [] : targets.map((one) => message(one, context)) }),
  createNotificationTarget(request, context) {
    mustBeAdmin(context);
    const of = request.target;
    if (of === undefined || of.name === "") throw new ConnectError("a target needs a name", Code.InvalidArgument);
    if (of.kind === "webhook" && !of.address.startsWith("https://")) throw new ConnectError("a webhook’s address is https://HOST/PATH, without a user or a fragment", Code.InvalidArgument);
    const address = of.kind === "webhook" ? `${new URL(of.address).origin}/…` : of.address;
    const made = { ...blank, id: `n-new-${targets.length}`, name: of.name, kind: of.kind, address, format: of.format, security: of.security, from: of.from, to: of.to, username: of.username, levels: of.levels, kinds: of.kinds, enabled: true, by: userOf(context.requestHeader), changed: "" };
    targets.push(made);
    return { target: message(made, context), signingSecret: of.kind === "webhook" ? `whsec_${randomBytes(32).toString("base64")}` : "" };
  },
  changeNotificationTarget(request, context) {
    mustBeAdmin(context);
    const of = request.target;
    const found = find(of?.id ?? "");
    if (of === undefined || request.reason === "") throw new ConnectError("say why the target is changed", Code.InvalidArgument);
    const address = found.kind !== "webhook" ? of.address : of.address === "" ? found.address : `${new URL(of.address).origin}/…`;
    if (address !== found.address && request.authorization === undefined && request.password === undefined) {
      throw new ConnectError("the Authorization header was given for another host, CA or user: give it anew, or an empty one to send none", Code.InvalidArgument);
    }
    Object.assign(found, { name: of.name, address, format: of.format, security: of.security, from: of.from, to: of.to, username: of.username, levels: of.levels, kinds: of.kinds, changed: request.reason });
    return { target: message(found, context) };
  },
  setNotificationTargetEnabled(request, context) {
    mustBeAdmin(context);
    const found = find(request.id);
    found.enabled = request.enabled;
    found.changed = request.reason;
    return { target: message(found, context) };
  },
  testNotificationTarget(request, context) {
    mustBeAdmin(context);
    const test = { id: randomUUID(), target: find(request.id).id, ok: request.id !== "n-3" };
    tests.unshift(test);
    return { delivery: deliveriesOf(context).find((one) => one.id === test.id) };
  },
  listDeliveries(request, context) {
    const rows = deliveriesOf(context).filter((one) => (request.target === "" || one.targetId === request.target) && (request.state === "" || one.state === request.state) && (request.alert === "" || one.alert === request.alert));
    const cut = page(rows, request.page);
    return { deliveries: cut.rows, nextPageToken: cut.next, total: rows.length };
  },
  retryDelivery(request, context) {
    mustBeAdmin(context);
    retried.add(request.id);
    return { delivery: deliveriesOf(context).find((one) => one.id === request.id) };
  },
};
