import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { create } from "@bufbuild/protobuf";
import { AlertPolicySchema, type AlertPolicy, type AlertService } from "../../src/gen/assay/console/v1/alert_pb";
import { at, day, hour, page, pick, started, type FakeHost } from "./fleet";
import { openFindings } from "./finding";
import { isEnabled, rules, sourceOf, type FakeRule } from "./rule";
import { treeSize } from "./tree";
import { fleetOf, mustBeAdmin, userOf } from "./variant";

interface Action {
  kind: string;
  by: string;
  at: ReturnType<typeof at>;
  note: string;
  detail: string;
  position: bigint;
}

interface FakeAlert {
  index: number;
  id: string;
  rule: FakeRule;
  host: FakeHost;
  level: string;
  state: string;
  reason: string;
  duplicateOf: string;
  assignee: string;
  age: number;
  reopened: number;
  closedAt: Date | undefined;
  acknowledgedAt: Date | undefined;
  by: string;
  actions: Action[];
  finding: string;
}

const limits: Record<string, readonly [acknowledge: number, close: number] | undefined> = { critical: [hour / 4, day], high: [hour, 3 * day], medium: [8 * hour, 7 * day], low: [day, 30 * day] };
const alerts = new Map<string, FakeAlert[]>();
let leaf = BigInt(treeSize);
let policy: AlertPolicy | undefined;
const reviews = [20, 44, 92, 116].map((hours, i) => ({ at: at(hours * hour), by: i % 2 === 0 ? "kim" : "admin", note: i === 1 ? "Went through alerts and the firewall\u202e’s log; two tills followed up" : "Alerts and logs of all sites: nothing new", open: 340 + i, overdue: 200 + i, position: BigInt(2700 - 100 * i) }));

function make(hosts: FakeHost[]): FakeAlert[] {
  return [...ofFindings(hosts), ...ofRules(hosts)];
}

/** ofFindings are alerts of controls that failed: one stands for its finding, one outlived it. */
function ofFindings(hosts: FakeHost[]): FakeAlert[] {
  return openFindings(hosts)
    .filter((one) => one.check === "av.realtime")
    .slice(0, 2)
    .map((one, index) => ({
      index: 1000 + index,
      id: `5a1e7000-0000-8000-8000-00000000f00${index + 1}`,
      rule: { index: 1, id: one.check, title: "Real-time protection was switched off", level: "high", pack: "checks" },
      host: one.host,
      level: "high",
      state: "open",
      reason: "",
      duplicateOf: "",
      assignee: "",
      age: 50 * 60_000,
      reopened: 0,
      closedAt: undefined,
      acknowledgedAt: undefined,
      by: "",
      actions: [{ kind: "open", by: "", at: at(50 * 60_000), note: "", detail: "", position: BigInt(2400 + index) }],
      finding: index === 0 ? one.id : "",
    }));
}

function ofRules(hosts: FakeHost[]): FakeAlert[] {
  return Array.from({ length: hosts.length === 0 ? 0 : 430 }, (_, index) => {
    const rule = rules.filter(isEnabled)[pick(60, "rule", index)] ?? rules[0];
    const host = hosts[index === 0 ? 12 : pick(hosts.length, "host", index)] ?? hosts[0];
    if (rule === undefined || host === undefined) throw new Error("no rule or host");
    const state = index % 5 === 4 ? "closed" : index % 3 === 1 ? "acknowledged" : "open";
    const age = [4 * 60_000, 40 * 60_000, 7 * hour, 2 * day, 9 * day][index % 5] ?? hour;
    const openedAt = at(age);
    return {
      index,
      id: `5a1e7000-0000-8000-8000-${String(index + 1).padStart(12, "0")}`,
      rule,
      host,
      level: index === 7 ? "critical" : rule.level,
      state,
      reason: state === "closed" ? (["true_positive", "benign", "false_positive"][index % 3] ?? "") : "",
      duplicateOf: "",
      assignee: state === "open" ? "" : index % 2 === 0 ? "admin" : "kim",
      age,
      reopened: index % 11 === 2 ? 1 : 0,
      closedAt: state === "closed" ? new Date(started.getTime() - age / 3) : undefined,
      acknowledgedAt: state === "open" ? undefined : new Date(started.getTime() - age / 2),
      by: state === "closed" ? "kim" : "",
      finding: "",
      actions: [
        { kind: "open", by: "", at: openedAt, note: "", detail: "", position: BigInt(1000 + index) },
        ...(state === "open" ? [] : [{ kind: "acknowledge", by: "kim", at: at(age / 2), note: "Looking at it with the till’s\u202e owner", detail: "", position: BigInt(1400 + index) }]),
        ...(state === "closed" ? [{ kind: "close", by: "kim", at: at(age / 3), note: "Deployment of the new till software, change 4711", detail: "benign", position: BigInt(1800 + index) }] : []),
      ],
    };
  });
}

/** alertsOf are this session's alerts; what one does to them stays. */
export function alertsOf(context: HandlerContext): FakeAlert[] {
  const { hosts, empty } = fleetOf(context);
  const key = empty ? "empty" : "full";
  const found = alerts.get(key) ?? make(hosts);
  alerts.set(key, found);
  return found;
}

function clock(of: FakeAlert, which: 0 | 1) {
  const limit = limits[of.level]?.[which];
  if (limit === undefined) return { state: "none" };
  const due = new Date(started.getTime() - of.age + limit);
  const met = which === 0 ? (of.acknowledgedAt ?? of.closedAt) : of.closedAt;
  const state = met === undefined ? (due < new Date() ? "overdue" : "running") : met > due ? "late" : "met";
  return { due: timestampFromDate(due), state, ...(met === undefined ? {} : { met: timestampFromDate(met) }) };
}

const isOverdue = (of: FakeAlert): boolean => of.state !== "closed" && (clock(of, 0).state === "overdue" || clock(of, 1).state === "overdue");

function detection(of: FakeAlert, back: number) {
  return {
    pack: of.rule.pack,
    version: "r2026-11-15",
    rule: of.rule.id,
    title: of.rule.title,
    level: of.rule.level,
    hostId: of.host.id,
    hostName: of.host.name,
    event: { position: BigInt(200 + pick(2600, of.id) + back), ordinal: back % 4 },
    observedAt: at(of.age / 4 + back * 60_000),
    receivedAt: at(of.age / 4 + back * 60_000 - 1500),
    grade: "B",
    source: "winevent",
    channel: "Microsoft-Windows-Sysmon/Operational",
    eventId: 1,
    matched: [
      { selection: "selection_image", field: "Image", value: "C:\\Users\\Public\\inv\u202efdp.exe" },
      { selection: "selection_arguments", field: "CommandLine", value: "cmd.exe /c start inv\u202efdp.exe -enc SQBFAFgA\u0007" },
    ],
    alert: of.id,
    suppression: back % 6 === 5 ? "s-1" : "",
  };
}

const countOf = (of: FakeAlert): number => 1 + pick(40, "count", of.id);

function message(of: FakeAlert) {
  return {
    id: of.id,
    pack: of.rule.pack,
    rule: of.rule.id,
    title: of.rule.title,
    level: of.level,
    ruleLevel: of.rule.level,
    hostId: of.host.id,
    hostName: of.host.name,
    state: of.state,
    reason: of.reason,
    assignee: of.assignee,
    count: BigInt(countOf(of)),
    firstSeen: at(of.age + 60_000),
    lastSeen: at(of.age / 4),
    openedAt: at(of.age),
    ...(of.acknowledgedAt === undefined ? {} : { acknowledgedAt: timestampFromDate(of.acknowledgedAt), acknowledgedBy: "kim" }),
    ...(of.closedAt === undefined ? {} : { closedAt: timestampFromDate(of.closedAt), closedBy: of.by }),
    reopened: of.reopened,
    acknowledge: clock(of, 0),
    close: clock(of, 1),
    key: of.rule.pack !== "checks" && of.rule.index % 2 === 0 ? [{ name: "User", value: "CORP\\j\u202edoe" }] : [],
    finding: of.finding,
    ...(of.rule.pack === "checks" ? {} : { latest: detection(of, 0) }),
    duplicateOf: of.duplicateOf,
    tags: of.rule.pack === "checks" ? [] : ["attack.execution", "attack.t1059.001"],
    position: of.actions[0]?.position ?? 0n,
  };
}

function find(context: HandlerContext, id: string): FakeAlert {
  const found = alertsOf(context).find((one) => one.id === id);
  if (found === undefined) throw new ConnectError(`no alert ${id}`, Code.NotFound);
  return found;
}

function change(context: HandlerContext, ids: string[], kind: string, note: string, detail: string, apply: (of: FakeAlert) => void) {
  mustBeAdmin(context);
  const all = ids.map((id) => find(context, id));
  for (const one of all) {
    apply(one);
    one.actions.push({ kind, by: userOf(context.requestHeader), at: timestampFromDate(new Date()), note, detail, position: leaf++ });
  }
  return { alerts: all.map(message) };
}

const levels = ["informational", "low", "medium", "high", "critical"];
const seconds = (milliseconds: number) => ({ seconds: BigInt(milliseconds / 1000) });

export const alertService: ServiceImpl<typeof AlertService> = {
  listAlerts(request, context) {
    const text = request.text.toLowerCase();
    const rows = alertsOf(context).filter(
      (one) =>
        (request.states.length === 0 || request.states.includes(one.state)) &&
        (request.levels.length === 0 || request.levels.includes(one.level)) &&
        (request.host === "" || one.host.id === request.host) &&
        (request.pack === "" || one.rule.pack === request.pack) &&
        (request.rule === "" || one.rule.id === request.rule) &&
        (request.assignee === "" || one.assignee === (request.assignee === "-" ? "" : request.assignee)) &&
        (!request.overdue || isOverdue(one)) &&
        (text === "" || `${one.rule.title} ${one.host.name} ${one.rule.id}`.toLowerCase().includes(text)),
    );
    const order: Record<string, (a: FakeAlert, b: FakeAlert) => number> = {
      oldest: (a, b) => b.age - a.age,
      level: (a, b) => levels.indexOf(b.level) - levels.indexOf(a.level),
    };
    rows.sort(order[request.order] ?? ((a, b) => a.age - b.age));
    const cut = page(rows, request.page);
    return { alerts: cut.rows.map(message), nextPageToken: cut.next, total: rows.length };
  },
  countAlerts(_, context) {
    const all = alertsOf(context);
    const live = all.filter((one) => one.state !== "closed");
    return {
      open: all.filter((one) => one.state === "open").length,
      acknowledged: all.filter((one) => one.state === "acknowledged").length,
      closed: all.length - live.length,
      overdueAcknowledge: live.filter((one) => clock(one, 0).state === "overdue").length,
      overdueClose: live.filter((one) => clock(one, 1).state === "overdue").length,
      levels: [...levels].reverse().map((level) => ({ level, count: live.filter((one) => one.level === level).length, overdue: live.filter((one) => one.level === level && isOverdue(one)).length })),
      suppressed: all.length === 0 ? 0n : 812n,
    };
  },
  getAlert(request, context) {
    const found = find(context, request.id);
    return {
      alert: message(found),
      actions: found.actions,
      ...(found.rule.pack === "checks"
        ? {}
        : { ruleSource: sourceOf(found.rule), ruleDescription: "Looks for a program that is started in a way that people rarely do.", ruleReferences: [`docs/rules/${found.rule.index}`], ruleFalsePositives: ["Software deployment"] }),
      related: alertsOf(context)
        .filter((one) => one.host.id === found.host.id && one.id !== found.id && one.state !== "closed")
        .slice(0, 20)
        .map(message),
    };
  },
  listDetections(request, context) {
    const of = alertsOf(context).filter((one) => (request.alert === "" || one.id === request.alert) && (request.rule === "" || one.rule.id === request.rule));
    const rows = of.flatMap((one) => Array.from({ length: countOf(one) }, (_, i) => detection(one, i))).filter((one) => request.suppressed === "" || (one.suppression !== "") === (request.suppressed === "yes"));
    const cut = page(rows, request.page);
    return { detections: cut.rows, nextPageToken: cut.next, total: rows.length };
  },
  acknowledgeAlerts(request, context) {
    return change(context, request.ids, "acknowledge", request.note, "", (one) => {
      if (one.state !== "open") throw new ConnectError(`alert ${one.id} is ${one.state}, only an open one is acknowledged`, Code.FailedPrecondition);
      one.state = "acknowledged";
      one.acknowledgedAt = new Date();
      if (one.assignee === "") one.assignee = userOf(context.requestHeader);
    });
  },
  closeAlerts(request, context) {
    if (request.reason === "duplicate" && request.duplicateOf === "") throw new ConnectError("name the other alert", Code.InvalidArgument);
    return change(context, request.ids, "close", request.note, request.reason, (one) => {
      one.state = "closed";
      one.reason = request.reason;
      one.duplicateOf = request.duplicateOf;
      one.closedAt = new Date();
      one.by = userOf(context.requestHeader);
    });
  },
  reopenAlerts(request, context) {
    return change(context, request.ids, "reopen", request.note, "", (one) => {
      one.state = "open";
      one.reason = "";
      one.closedAt = one.acknowledgedAt = undefined;
      one.reopened++;
    });
  },
  assignAlerts(request, context) {
    if (/[<>]/.test(request.assignee)) throw new ConnectError(`there is no user ${request.assignee}`, Code.InvalidArgument);
    return change(context, request.ids, "assign", request.note, request.assignee, (one) => {
      one.assignee = request.assignee;
    });
  },
  escalateAlerts(request, context) {
    return change(context, request.ids, "escalate", request.note, request.level, (one) => {
      one.level = request.level;
    });
  },
  addAlertNote(request, context) {
    return { alert: change(context, [request.id], "note", request.note, "", () => undefined).alerts[0] };
  },
  recordReview(request, context) {
    mustBeAdmin(context);
    if (request.note.trim() === "") throw new ConnectError("say what was looked at and what came of it", Code.InvalidArgument);
    const review = { at: timestampFromDate(new Date()), by: userOf(context.requestHeader), note: request.note, open: 343, overdue: 210, position: leaf++ };
    reviews.unshift(review);
    return { review };
  },
  listReviews(request, context) {
    const rows = fleetOf(context).empty ? [] : reviews;
    const cut = page(rows, request.page);
    return { reviews: cut.rows, nextPageToken: cut.next, total: rows.length };
  },
  getAlertPolicy(_, context) {
    fleetOf(context);
    return {
      policy: policy ?? {
        clocks: [...levels].reverse().map((level) => {
          const limit = limits[level];
          return limit === undefined ? { level } : { level, acknowledgeWithin: seconds(limit[0]), closeWithin: seconds(limit[1]) };
        }),
        reopenWithin: seconds(7 * day),
        alertFrom: "medium",
      },
    };
  },
  changeAlertPolicy(request, context) {
    mustBeAdmin(context);
    if (request.reason === "") throw new ConnectError("say why the policy changes", Code.InvalidArgument);
    policy = { ...(request.policy ?? create(AlertPolicySchema)), by: userOf(context.requestHeader), reason: request.reason, changedAt: timestampFromDate(new Date()), position: leaf++ };
    return { policy };
  },
};

/** openedLately is an alert that the log of deliveries tells of. */
export const openedLately = (context: HandlerContext) => alertsOf(context).slice(0, 60).map((one) => ({ id: one.id, level: one.level, openedAt: timestampDate(at(one.age)) }));
