/**
 * Inclusion proofs of RFC 6962, checked in the reader's own browser: the server
 * that shows a proof is not asked whether it is right.
 */

/** hashBytes reads a SHA-256 in hex or base64; anything else is undefined. */
export function hashBytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) {
    return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  }
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  }
  return undefined;
}

async function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Uint8Array> {
  const input = new Uint8Array(1 + left.length + right.length);
  input[0] = 1;
  input.set(left, 1);
  input.set(right, 1 + left.length);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", input));
}

/**
 * rootFromProof climbs from a leaf to the root of a tree of `size` leaves.
 * Undefined when the proof has the wrong length for that place.
 */
export async function rootFromProof(
  leaf: Uint8Array,
  index: bigint,
  size: bigint,
  proof: readonly Uint8Array[],
): Promise<Uint8Array | undefined> {
  if (index >= size) return undefined;
  let node = index;
  let last = size - 1n;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0n) return undefined;
    if ((node & 1n) === 1n || node === last) {
      hash = await nodeHash(sibling, hash);
      while ((node & 1n) === 0n && node !== 0n) {
        node >>= 1n;
        last >>= 1n;
      }
    } else {
      hash = await nodeHash(hash, sibling);
    }
    node >>= 1n;
    last >>= 1n;
  }
  return last === 0n ? hash : undefined;
}

/** Checkpoint is the body of a signed note of the C2SP form. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly signers: readonly string[];
}

/** parseCheckpoint reads a note; signatures are named here, not verified. */
export function parseCheckpoint(note: string): Checkpoint | undefined {
  const [origin, size, root] = note.split("\n");
  if (origin === undefined || origin === "" || !/^(0|[1-9]\d{0,18})$/.test(size ?? "")) return undefined;
  const hash = hashBytes(root ?? "");
  if (hash === undefined) return undefined;
  const signers = [...note.matchAll(/^— (\S+) \S+$/gm)].map((match) => match[1] ?? "");
  return { origin, size: BigInt(size ?? "0"), root: hash, signers };
}

export type Inclusion = "included" | "differs" | "unreadable" | "unavailable";

/** checkInclusion compares the proof's root with the checkpoint's. */
export async function checkInclusion(
  leafHash: string,
  position: bigint,
  note: string,
  proof: readonly string[],
): Promise<Inclusion> {
  const checkpoint = parseCheckpoint(note);
  const leaf = hashBytes(leafHash);
  const path = proof.map(hashBytes);
  if (checkpoint === undefined || leaf === undefined || path.includes(undefined)) return "unreadable";
  // Browsers offer hashing only to pages that came over HTTPS or from the machine itself.
  if (!("subtle" in crypto)) return "unavailable";
  const root = await rootFromProof(leaf, position, checkpoint.size, path as Uint8Array[]);
  if (root === undefined) return "differs";
  return root.every((byte, i) => byte === checkpoint.root[i]) ? "included" : "differs";
}
