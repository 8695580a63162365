/**
 * Addresses hold plain words: `?state=fail&host=…`. A name that stands twice is
 * a list. No other encoding is used, so that links can be read and written by hand.
 */
export type RawSearch = Record<string, string | string[]>;

export function parseSearch(text: string): RawSearch {
  const out: RawSearch = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const before = out[name];
    out[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  return out;
}

export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof one === "string" && one !== "") params.append(name, one);
    }
  }
  const text = params.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%2F", "/");
  return text === "" ? "" : `?${text}`;
}

/** word is a single, non-empty value of an address, at most 300 characters. */
export function word(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= 300 ? value : undefined;
}

/** wordList is every value of a name, at most 20. */
export function wordList(value: unknown): string[] | undefined {
  const list = (Array.isArray(value) ? value : [value]).map(word).filter((one) => one !== undefined);
  return list.length === 0 ? undefined : list.slice(0, 20);
}

/** oneOf is a value of a closed list. */
export function oneOf<T extends string>(value: unknown, list: readonly T[]): T | undefined {
  return list.find((one) => one === value);
}

/** localPath keeps a return address inside this console. */
export function localPath(value: unknown): string | undefined {
  const path = word(value);
  // "//host" and "/\host" would leave the origin.
  return path !== undefined && /^\/(?![/\\])/.test(path) && !/[\s\\]/.test(path) ? path : undefined;
}
