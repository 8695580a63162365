import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { archiveOf } from "./archive";

const chosen = (path: string, text = "title: x\n") => ({ path, file: new Blob([text]) });

it("packs the YAML and leaves the rest out", async () => {
  const tar = gunzipSync(await archiveOf([chosen("own/a.yml"), chosen("own/readme.md"), chosen("own/B.YAML")])).toString("latin1");
  expect(tar).toContain("own/a.yml");
  expect(tar).toContain("own/B.YAML");
  expect(tar).not.toContain("readme");
});

it("sends an archive as it is", async () => {
  expect(await archiveOf([chosen("pack.tar.gz", "as is")])).toEqual(new TextEncoder().encode("as is"));
});

it("says what it cannot pack", async () => {
  await expect(archiveOf([chosen("photo.png")])).rejects.toThrow("None of the chosen files is YAML");
  await expect(archiveOf([chosen("pack.tgz"), chosen("a.yml")])).rejects.toThrow("choose it alone");
  await expect(archiveOf([{ path: "a.yml", file: { size: 65 * 1024 * 1024 } as Blob }])).rejects.toThrow("at most 67,108,864");
});
