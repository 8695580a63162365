import { createHash } from "node:crypto";

// A real Merkle tree, so that the browser's own check of proofs has something true to find.

export const treeSize = 4217;
const origin = "assay.example/ledger";

const sha = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const split = (n: number): number => 2 ** Math.floor(Math.log2(n - 1));
const leaves = Array.from({ length: treeSize }, (_, i) => sha(Uint8Array.of(0), Buffer.from(`leaf ${i}`)));
const known = new Map<string, Buffer>();

function root(from: number, to: number): Buffer {
  if (to - from === 1) return leaves[from] ?? Buffer.alloc(32);
  const key = `${from} ${to}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const middle = from + split(to - from);
  const hash = sha(Uint8Array.of(1), root(from, middle), root(middle, to));
  known.set(key, hash);
  return hash;
}

function path(index: number, from: number, to: number): Buffer[] {
  if (to - from <= 1) return [];
  const middle = from + split(to - from);
  return index < middle ? [...path(index, from, middle), root(middle, to)] : [...path(index, middle, to), root(from, middle)];
}

export const leafHash = (index: number): string => (leaves[index] ?? Buffer.alloc(32)).toString("hex");
export const inclusion = (index: number): string[] => path(index, 0, treeSize).map((hash) => hash.toString("hex"));
export const checkpoint = `${origin}\n${treeSize}\n${root(0, treeSize).toString("base64")}\n\n— ${origin} Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n`;
