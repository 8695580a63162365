import { parseMoment } from "../lib/asof";
import { levelChoices, levelOrder } from "../lib/level";
import { oneOf, word, wordList, type RawSearch } from "../lib/search";
import { parseState } from "../lib/state";

// What each page reads from its address. What is not understood is dropped.

/** read makes a page's search: what is undefined stays out, so that every part is optional. */
function read<T extends object>(parse: (raw: RawSearch) => T): (raw: RawSearch) => Partial<T> {
  return (raw) => Object.fromEntries(Object.entries(parse(raw)).filter(([, value]) => value !== undefined)) as Partial<T>;
}

export const rootSearch = read((raw: RawSearch) => ({
  at: parseMoment(word(raw.at)) === undefined ? undefined : word(raw.at),
  event: /^\d{1,20}\.\d{1,10}$/.test(word(raw.event) ?? "") ? word(raw.event) : undefined,
  cols: word(raw.cols),
  sort: word(raw.sort),
}));

export const signInSearch = read((raw: RawSearch) => ({ to: word(raw.to) }));

export const controlsSearch = read((raw: RawSearch) => ({
  state: parseState(raw.state),
  chapter: word(raw.chapter),
  q: word(raw.q),
}));

export const requirementSearch = read((raw: RawSearch) => ({
  state: parseState(raw.state),
  check: word(raw.check),
  q: word(raw.q),
}));

export const hostShows = ["silent", "simulated", "findings", "fail", "unknown"] as const;

export const hostsSearch = read((raw: RawSearch) => ({
  name: word(raw.name),
  kind: oneOf(raw.kind, ["enrolled", "imported"] as const),
  framework: word(raw.framework),
  show: oneOf(raw.show, hostShows),
  check: word(raw.check),
  state: parseState(raw.state),
}));

export const hostTabs = ["controls", "coverage", "findings", "streams", "changes"] as const;
export type HostTab = (typeof hostTabs)[number];

export const hostSearch = read((raw: RawSearch) => ({
  tab: oneOf(raw.tab, hostTabs),
  state: parseState(raw.state),
  check: word(raw.check),
  framework: word(raw.framework),
  from: word(raw.from),
  to: word(raw.to),
  view: oneOf(raw.view, ["table"] as const),
}));

export const findingAges = ["1h", "1d", "7d", "30d", "older"] as const;
export type FindingAge = (typeof findingAges)[number];

export const findingsSearch = read((raw: RawSearch) => ({
  status: oneOf(raw.status, ["open", "closed", "all"] as const),
  host: word(raw.host),
  check: word(raw.check),
  age: oneOf(raw.age, findingAges),
}));

export const alertShows = ["open", "acknowledged", "closed", "all"] as const;
export const alertOrders = ["newest", "oldest", "level", "due"] as const;

export const alertsSearch = read((raw: RawSearch) => ({
  // Without it: what is not closed.
  state: oneOf(raw.state, alertShows),
  level: oneOf(raw.level, levelChoices),
  q: word(raw.q),
  host: word(raw.host),
  pack: word(raw.pack),
  rule: word(raw.rule),
  assignee: word(raw.assignee),
  overdue: oneOf(raw.overdue, ["yes"] as const),
  order: oneOf(raw.order, alertOrders),
}));

export const ruleTabs = ["rules", "packs", "refused", "backfills"] as const;
export type RuleTab = (typeof ruleTabs)[number];
export const hitSpans = ["1", "7", "30", "90"] as const;

export const rulesSearch = read((raw: RawSearch) => ({
  tab: oneOf(raw.tab, ruleTabs),
  q: word(raw.q),
  pack: word(raw.pack),
  version: word(raw.version),
  level: oneOf(raw.level, levelOrder),
  enabled: oneOf(raw.enabled, ["yes", "no"] as const),
  hit: oneOf(raw.hit, ["yes"] as const),
  // Days that hits are counted over; without it 7.
  days: oneOf(raw.days, hitSpans),
}));

export const ruleSearch = read((raw: RawSearch) => ({
  days: oneOf(raw.days, hitSpans),
  suppressed: oneOf(raw.suppressed, ["yes", "no"] as const),
}));

export const suppressionsSearch = read((raw: RawSearch) => ({
  // Without it: active ones.
  state: oneOf(raw.state, ["ended", "all"] as const),
  pack: word(raw.pack),
  rule: word(raw.rule),
  host: word(raw.host),
}));

export const notificationsSearch = read((raw: RawSearch) => ({
  target: word(raw.target),
  state: oneOf(raw.state, ["pending", "delivered", "failed", "cancelled"] as const),
}));

export const eventsSearch = read((raw: RawSearch) => ({
  table: word(raw.table),
  host: word(raw.host),
  from: word(raw.from),
  to: word(raw.to),
  where: wordList(raw.where),
}));

export const agentsSearch = read((raw: RawSearch) => ({ show: oneOf(raw.show, ["revoked"] as const) }));

export const ledgerSearch = read((raw: RawSearch) => ({
  position: /^\d{1,20}$/.test(word(raw.position) ?? "") ? word(raw.position) : undefined,
}));
