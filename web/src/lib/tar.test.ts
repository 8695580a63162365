import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { gzipped, tarOf } from "./tar";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-tar-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (path: string, text: string) => ({ path, data: new TextEncoder().encode(text) });

it("makes an archive that tar reads, long and foreign names too", async () => {
  const files = [file(`rules/${"deep/".repeat(40)}long.yml`, "c"), file("b.yml", "x".repeat(1024)), file("empty.yml", ""), file("über/ä.yml", "d"), file("a.yml", "title: a\n")];
  writeFileSync(join(folder, "one.tgz"), await gzipped(tarOf(files)));
  const names = execFileSync("tar", ["-tzf", join(folder, "one.tgz"), "--quoting-style=literal"], { encoding: "utf8" });
  expect(names.trimEnd().split("\n")).toEqual(files.map((one) => one.path).sort());
  execFileSync("tar", ["-xzf", join(folder, "one.tgz"), "-C", folder]);
  for (const one of files) expect(readFileSync(join(folder, one.path))).toEqual(Buffer.from(one.data));
});

it("makes the same archive of the same files in any order", async () => {
  const [a, b] = [file("a.yml", "1"), file("b.yml", "2")];
  expect(await tarOf([b, a]).arrayBuffer()).toEqual(await tarOf([a, b]).arrayBuffer());
});
