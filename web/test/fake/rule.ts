import { gunzipSync } from "node:zlib";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { RuleService } from "../../src/gen/assay/console/v1/rule_pb";
import { at, day, hour, page, pick } from "./fleet";
import { fleetOf, mustBeAdmin, userOf } from "./variant";

const titles = [
  ["Encoded PowerShell command line", "high"],
  ["Credentials dumped from LSASS", "critical"],
  ["Service installed from a user folder", "high"],
  ["Scheduled task with a hidden window", "medium"],
  ["Volume shadow copies deleted", "critical"],
  ["Office program starts a shell", "high"],
  ["Registry run key points to a temporary folder", "medium"],
  ["Remote session from outside the change window", "low"],
  ["Program renamed to look like inv\u202efdp.exe", "medium"],
  ["Many failed logons, then one that succeeds", "high"],
  ["Tool seen for the first time", "informational"],
] as const;

export interface FakeRule {
  readonly index: number;
  readonly id: string;
  readonly title: string;
  readonly level: string;
  readonly pack: string;
}

export const rules: readonly FakeRule[] = Array.from({ length: 240 }, (_, index) => {
  const [title, level] = titles[index % titles.length] ?? titles[0];
  return { index, id: `7d3f9a1e-52c${index % 10}-4b1c-9d${String(10 + (index % 80)).padStart(2, "0")}-0000000${String(index).padStart(5, "0")}`, title: index < titles.length ? title : `${title}, variant ${Math.floor(index / titles.length)}`, level, pack: index % 5 === 4 ? "corp" : "windows" };
});

const state = new Map<string, { enabled: boolean; by: string; reason: string }>();
export const isEnabled = (of: FakeRule): boolean => state.get(of.id)?.enabled ?? of.index % 4 !== 3;

export function sourceOf(of: FakeRule): string {
  return `title: ${of.title}
id: ${of.id}
status: ${of.index % 3 === 0 ? "stable" : "test"}
description: Looks for a program that is started in a way that people rarely do.
references:
    - docs/rules/${of.index}
author: The rule’s author
logsource:
    product: windows
    category: process_creation
detection:
    selection_image:
        Image|endswith:
            - '\\powershell.exe'
            - '\\cmd.exe'
    selection_arguments:
        CommandLine|contains: ' -enc '
    filter_known:
        ParentImage: 'C:\\Program Files\\POS\\till.exe'
    condition: all of selection_* and not filter_known
falsepositives:
    - Software deployment
level: ${of.level}
`;
}

const hitsOf = (of: FakeRule): number => (isEnabled(of) && pick(3, of.id) === 0 ? 1 + pick(of.level === "critical" ? 4 : 400, "hits", of.id) : 0);

export function findRule(pack: string, id: string): FakeRule {
  const found = rules.find((one) => one.id === id && one.pack === pack);
  if (found === undefined) throw new ConnectError(`no rule ${id} in ${pack}`, Code.NotFound);
  return found;
}

function message(of: FakeRule) {
  const hits = hitsOf(of);
  const changed = state.get(of.id);
  return {
    pack: of.pack,
    version: of.pack === "corp" ? "2026.11" : "r2026-11-15",
    id: of.id,
    title: of.title,
    level: of.level,
    status: of.index % 3 === 0 ? "stable" : "test",
    tags: ["attack.execution", `attack.t1${String(of.index % 600).padStart(3, "0")}`],
    logsource: "category=process_creation product=windows",
    kind: of.title.startsWith("Many failed") ? "correlation" : "rule",
    enabled: isEnabled(of),
    changedBy: changed?.by ?? "",
    changedReason: changed?.reason ?? "",
    hits: BigInt(hits),
    suppressed: BigInt(Math.floor(hits / 5)),
    ...(hits === 0 ? {} : { lastHitAt: at(pick(6 * 24, of.id) * hour) }),
    openAlerts: hits === 0 ? 0 : 1 + pick(4, "open", of.id),
    path: `rules/windows/process_creation/proc_${of.index}.yml`,
    line: 1,
    digest: of.id.replaceAll("-", "").padEnd(64, "0"),
    alertBy: of.index % 2 === 0 ? ["User"] : [],
  };
}

const levels = ["informational", "low", "medium", "high", "critical"];

const packs = [
  { name: "corp", version: "2026.11", inForce: true, builtin: false, digest: "c".repeat(64), rules: 48, correlations: 2, filters: 1, enabled: 36, problems: 3, importedBy: "admin", importedAt: at(6 * day), position: 2210n },
  { name: "windows", version: "r2026-11-15", inForce: true, builtin: true, digest: "a".repeat(64), rules: 192, correlations: 6, filters: 2, enabled: 144, problems: 0, importedBy: "", importedAt: at(12 * day), position: 811n },
  { name: "windows", version: "r2026-10-01", inForce: false, builtin: true, digest: "b".repeat(64), rules: 188, correlations: 6, filters: 2, enabled: 0, problems: 1, importedBy: "", importedAt: at(57 * day), position: 12n },
];
const used = new Map<string, string>();
const inForce = (pack: (typeof packs)[number]): boolean => (used.has(pack.name) ? used.get(pack.name) === pack.version : pack.inForce);

const problems = [
  { path: "rules/corp/till.yml", line: 14, rule: "Till program replaced", reason: "detection: condition names the search identifier “selecton”, which is not defined" },
  { path: "rules/corp/vpn\u202elmy.yml", line: 1, rule: "", reason: "not YAML: line 3, column 9: a tab may not indent" },
  { path: "rules/corp/dns.yml", line: 22, rule: "Long DNS names", reason: "the modifier “windash2” is not known" },
];

const backfills: { id: string; pack: string; rules: string[]; state: string; from: bigint; to: bigint; position: bigint; detections: bigint; since: ReturnType<typeof at>; by: string; reason: string; error: string; startedAt: ReturnType<typeof at> }[] = [
  { id: "b-2", pack: "corp", rules: [], state: "running", from: 400n, to: 3000n, position: 1510n, detections: 12n, since: at(14 * day), by: "admin", reason: "New pack", error: "", startedAt: at(90_000) },
  { id: "b-1", pack: "windows", rules: [rules[1]?.id ?? ""], state: "done", from: 0n, to: 2900n, position: 2900n, detections: 3n, since: at(40 * day), by: "admin", reason: "Incident 88", error: "", startedAt: at(3 * day) },
  { id: "b-0", pack: "windows", rules: [rules[4]?.id ?? ""], state: "failed", from: 0n, to: 2000n, position: 700n, detections: 0n, since: at(80 * day), by: "admin", reason: "Incident 71", error: "segment 0 is in the archive, which cannot be reached", startedAt: at(20 * day) },
];

const set = { digest: "d".repeat(64), since: 2210n, changedAt: at(6 * day), rules: 180, correlations: 8, projected: 2990n, behind: 0n };

export const ruleService: ServiceImpl<typeof RuleService> = {
  listRules(request, context) {
    const text = request.text.toLowerCase();
    const rows = fleetOf(context).empty
      ? []
      : rules
          .map(message)
          .filter(
            (one) =>
              (request.pack === "" || one.pack === request.pack) &&
              (request.enabled === "" || one.enabled === (request.enabled === "yes")) &&
              (request.level === "" || levels.indexOf(one.level) >= levels.indexOf(request.level)) &&
              (text === "" || `${one.title} ${one.id} ${one.tags.join(" ")}`.toLowerCase().includes(text)) &&
              (!request.onlyHit || one.hits > 0n),
          )
          .sort((a, b) => levels.indexOf(b.level) - levels.indexOf(a.level) || a.title.localeCompare(b.title));
    const cut = page(rows, request.page);
    return { rules: cut.rows, nextPageToken: cut.next, total: rows.length, enabled: rows.filter((one) => one.enabled).length };
  },
  getRule(request, context) {
    fleetOf(context);
    const rule = findRule(request.pack, request.id);
    const hits = hitsOf(rule);
    const changed = state.get(rule.id);
    return {
      rule: message(rule),
      description: "Looks for a program that is started in a way that people rarely do.",
      author: "The rule’s author",
      license: "DRL-1.1",
      references: [`docs/rules/${rule.index}`],
      falsePositives: ["Software deployment"],
      source: sourceOf(rule),
      changes: [
        ...(changed === undefined ? [] : [{ enabled: changed.enabled, by: changed.by, at: at(0), reason: changed.reason, position: 2995n }]),
        { enabled: rule.index % 4 !== 3, by: "", at: at(12 * day), reason: "As the pack was imported", position: 811n },
      ],
      days: Array.from({ length: 30 }, (_, i) => {
        const n = hits === 0 || pick(3, rule.id, i) !== 0 ? 0 : 1 + pick(Math.max(2, Math.ceil(hits / 6)), "day", rule.id, i);
        return { day: new Date(Date.now() - (29 - i) * day).toISOString().slice(0, 10), hits: BigInt(n), suppressed: BigInt(Math.floor(n / 5)) };
      }),
      related: [],
    };
  },
  listRulePacks(_, context) {
    if (fleetOf(context).empty) return { packs: [] };
    return { packs: packs.map((one) => ({ ...one, inForce: inForce(one) })), set };
  },
  listRuleProblems(request, context) {
    fleetOf(context);
    const rows = request.pack === "corp" ? problems : request.version === "r2026-10-01" ? problems.slice(2) : [];
    const cut = page(rows, request.page);
    return { problems: cut.rows, nextPageToken: cut.next, total: rows.length };
  },
  importRules(request, context) {
    mustBeAdmin(context);
    if (!/^[a-z0-9-]+$/.test(request.pack)) throw new ConnectError(`${request.pack} is no name for a pack: use a-z, 0-9 and -`, Code.InvalidArgument);
    const tar = gunzipSync(request.archive).toString();
    const files = [...tar.matchAll(/([\w./-]+\.ya?ml)\0/g)].map((one) => one[1] ?? "");
    const refused = files.filter((one) => one.includes("bad")).map((path) => ({ path, line: 3, rule: "Own rule\u202e", reason: "detection: has no condition" }));
    const pack = { name: request.pack, version: "sha-4711", inForce: true, builtin: false, digest: "e".repeat(64), rules: files.length - refused.length, correlations: 0, filters: 0, enabled: 0, problems: refused.length, importedBy: userOf(context.requestHeader), importedAt: at(0), position: 2998n };
    if (!request.dryRun) packs.push(pack);
    return { pack, problems: refused, files: files.length, added: pack.rules, turnedOn: request.enable === "none" ? 0 : pack.rules };
  },
  setRulesEnabled(request, context) {
    mustBeAdmin(context);
    if (request.reason === "") throw new ConnectError("a reason is needed", Code.InvalidArgument);
    for (const id of request.rules) state.set(findRule(request.pack, id).id, { enabled: request.enabled, by: userOf(context.requestHeader), reason: request.reason });
    return { changed: request.rules.length, set };
  },
  useRulePack(request, context) {
    mustBeAdmin(context);
    if (request.reason === "") throw new ConnectError("a reason is needed", Code.InvalidArgument);
    used.set(request.pack, request.version);
    return {};
  },
  backfillRules(request, context) {
    mustBeAdmin(context);
    const made = { id: `b-${backfills.length}`, pack: request.pack, rules: request.rules, state: "running", from: 100n, to: 3000n, position: 100n, detections: 0n, since: at(7 * day), by: userOf(context.requestHeader), reason: request.reason, error: "", startedAt: at(0) };
    backfills.unshift(made);
    return { backfill: { ...made, version: "r2026-11-15" } };
  },
  listBackfills(request, context) {
    const rows = fleetOf(context).empty ? [] : backfills;
    const cut = page(rows, request.page);
    return { backfills: cut.rows, nextPageToken: cut.next, total: rows.length };
  },
  cancelBackfill(request, context) {
    mustBeAdmin(context);
    const found = backfills.find((one) => one.id === request.id);
    if (found === undefined) throw new ConnectError(`no backfill ${request.id}`, Code.NotFound);
    found.state = "cancelled";
    return { backfill: found };
  },
};
