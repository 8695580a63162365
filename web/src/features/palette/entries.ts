import type { Host } from "../../gen/assay/console/v1/host_pb";
import type { Rule } from "../../gen/assay/console/v1/rule_pb";
import type { ListFrameworksResponse } from "../../gen/assay/console/v1/status_pb";
import type { IconName } from "../../ui/Icon";
import { pages } from "../shell/Nav";

/** Entry is one place that the palette leads to. */
export interface Entry {
  readonly kind: string;
  readonly name: string;
  readonly note: string;
  readonly icon: IconName;
  readonly address: string;
}

const most = 30;

type FoundHost = Pick<Host, "id" | "name" | "domain">;
type FoundRule = Pick<Rule, "pack" | "id" | "title" | "level">;

/** Found is what the server answered, and to which text: the one asked last is older than what is typed. */
export interface Found {
  readonly to: string;
  readonly hosts: readonly FoundHost[];
  readonly rules: readonly FoundRule[];
}

/** matches lists the places that hold every word of the text: pages, then hosts, rules, controls and checks. */
export function matches(text: string, known: ListFrameworksResponse | undefined, answer: Found): Entry[] {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const fits = (entry: Entry): boolean => words.every((word) => `${entry.name} ${entry.note} ${entry.kind}`.toLowerCase().includes(word));
  const places = pages.map((page): Entry => ({ kind: "Page", name: page.name, note: "", icon: page.icon, address: page.to }));
  const hosts = answer.hosts.map((host): Entry => ({ kind: "Host", name: host.name, note: host.domain, icon: "hosts", address: `/hosts/${encodeURIComponent(host.id)}` }));
  const rules = answer.rules.map((rule): Entry => ({ kind: "Rule", name: rule.title, note: rule.level, icon: "rules", address: `/rules/${encodeURIComponent(rule.pack)}/${encodeURIComponent(rule.id)}` }));
  const controls = (known?.frameworks ?? []).flatMap((framework) => [
    { kind: "Framework", name: framework.title, note: framework.version, icon: "controls", address: `/controls/${encodeURIComponent(framework.id)}` } satisfies Entry,
    ...framework.requirements.map(
      (one): Entry => ({ kind: framework.title, name: one.id, note: one.title, icon: "controls", address: `/controls/${encodeURIComponent(framework.id)}/${encodeURIComponent(one.id)}` }),
    ),
  ]);
  const checks = (known?.checks ?? []).map((check): Entry => ({ kind: "Check", name: check.id, note: check.title, icon: "pass", address: `/hosts?check=${encodeURIComponent(check.id)}` }));
  if (words.length === 0) return [...places, ...controls.filter((entry) => entry.kind === "Framework")].slice(0, most);
  // The server finds by more than is shown, so its answer to this text stands as it
  // is. Of one to an older text only that is left which shows why it fits this one.
  const found = answer.to === text.trim() ? [...hosts, ...rules] : [...hosts, ...rules].filter(fits);
  return [...places.filter(fits), ...found, ...controls.filter(fits), ...checks.filter(fits)].slice(0, most);
}
