import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";

// What the bundler wrote: how much a browser must fetch, and that the policy can hold.

const dist = join(import.meta.dirname, "../../dist");
const budget = 350 * 1024;

interface Chunk {
  file: string;
  isEntry?: boolean;
  imports?: string[];
}
const manifest = JSON.parse(readFileSync(join(dist, "manifest.json"), "utf8")) as Record<string, Chunk>;

/** closure is a chunk with all that it needs before it runs. */
function closure(names: readonly string[], seen = new Set<string>()): Set<string> {
  for (const name of names) {
    if (seen.has(name)) continue;
    seen.add(name);
    closure(manifest[name]?.imports ?? [], seen);
  }
  return seen;
}
const weigh = (names: readonly string[]): number =>
  [...new Set([...closure(names)].map((name) => manifest[name]?.file ?? ""))].reduce((sum, file) => sum + gzipSync(readFileSync(join(dist, file))).length, 0);

const entry = Object.keys(manifest).filter((name) => manifest[name]?.isEntry === true);
const pages = Object.keys(manifest).filter((name) => /src\/features\/.*Page\.tsx$/.test(name));

it("loads any page first within 350 KiB of compressed script", () => {
  expect(entry).toHaveLength(1);
  expect(pages.length).toBeGreaterThanOrEqual(9);
  const weights = pages.map((page) => [page, weigh([...entry, page])] as const);
  console.log(`entry ${Math.round(weigh(entry) / 1024)} KiB; ${weights.map(([page, bytes]) => `${page.split("/").at(-1) ?? ""} ${Math.round(bytes / 1024)}`).join(", ")}`);
  expect(weights.filter(([, bytes]) => bytes > budget)).toEqual([]);
});

it("loads each page's code only when it is asked for", () => {
  const first = closure(entry);
  expect(pages.filter((page) => first.has(page))).toEqual([]);
});

it("holds no inline script, no eval and nothing from outside", () => {
  const page = readFileSync(join(dist, "index.html"), "utf8");
  expect([...page.matchAll(/<script(?![^>]*\bsrc="\/)[^>]*>/g)]).toEqual([]);
  expect(page).not.toMatch(/<style|style="|https?:\/\//);
  for (const name of readdirSync(join(dist, "assets"))) {
    const text = readFileSync(join(dist, "assets", name), "utf8");
    if (name.endsWith(".js")) expect(text, name).not.toMatch(/\beval\(|new Function\(/);
    if (name.endsWith(".css")) expect(text, name).not.toMatch(/url\(["']?(https?:)?\/\//);
  }
});
