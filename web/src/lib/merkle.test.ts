import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { checkInclusion, hashBytes, parseCheckpoint } from "./merkle";

const sha = (...parts: Uint8Array[]) => new Uint8Array(createHash("sha256").update(Buffer.concat(parts)).digest());
const leafOf = (i: number) => sha(Uint8Array.of(0), Buffer.from(`leaf ${i}`));
const split = (n: number) => 2 ** Math.floor(Math.log2(n - 1));

// The definitions of RFC 6962, section 2.1, written down directly.
function root(leaves: Uint8Array[]): Uint8Array {
  if (leaves.length === 1) return leaves[0] ?? new Uint8Array();
  const k = split(leaves.length);
  return sha(Uint8Array.of(1), root(leaves.slice(0, k)), root(leaves.slice(k)));
}
function path(m: number, leaves: Uint8Array[]): Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...path(m, leaves.slice(0, k)), root(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), root(leaves.slice(0, k))];
}
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const note = (size: number, hash: Uint8Array) => `assay.example/log\n${size}\n${base64(hash)}\n\n— assay.example/log AAAA\n`;

it("accepts the proof of every leaf of trees up to 40, and no other place", async () => {
  for (let size = 1; size <= 40; size++) {
    const leaves = Array.from({ length: size }, (_, i) => leafOf(i));
    const signed = note(size, root(leaves));
    for (let i = 0; i < size; i++) {
      const proof = path(i, leaves).map(hex);
      expect(await checkInclusion(hex(leafOf(i)), BigInt(i), signed, proof)).toBe("included");
      const other = await checkInclusion(hex(leafOf(i)), BigInt(i + 1), signed, proof);
      expect(other).toBe("differs");
    }
  }
});

it("refuses a changed leaf, a short proof and a long one", async () => {
  const leaves = Array.from({ length: 7 }, (_, i) => leafOf(i));
  const signed = note(7, root(leaves));
  const proof = path(3, leaves).map(base64);
  expect(await checkInclusion(base64(leafOf(3)), 3n, signed, proof)).toBe("included");
  expect(await checkInclusion(base64(leafOf(4)), 3n, signed, proof)).toBe("differs");
  expect(await checkInclusion(base64(leafOf(3)), 3n, signed, proof.slice(1))).toBe("differs");
  expect(await checkInclusion(base64(leafOf(3)), 3n, signed, [...proof, proof[0] ?? ""])).toBe("differs");
  expect(await checkInclusion("nonsense", 3n, signed, proof)).toBe("unreadable");
  expect(await checkInclusion(base64(leafOf(3)), 3n, "", proof)).toBe("unreadable");
});

it("reads hashes and notes, and nothing else", () => {
  expect(hashBytes("ab".repeat(32))?.length).toBe(32);
  expect(hashBytes("ab".repeat(31))).toBeUndefined();
  expect(parseCheckpoint(note(5, leafOf(1)))).toMatchObject({ origin: "assay.example/log", size: 5n, signers: ["assay.example/log"] });
  expect(parseCheckpoint("log\n-1\nAAAA\n")).toBeUndefined();
});
