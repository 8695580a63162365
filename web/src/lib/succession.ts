/** Succession is what a note by which one ledger follows another says; its signatures are not checked here. */
export interface Succession {
  /** previous is the name of the ledger that ended. */
  readonly previous: string;
  readonly held: bigint;
  readonly kept: bigint;
}

const lines = /^assay\/succession\/v1\n([^\n+]+)\+[^\n]*\n[^\n]+\n\d+\nheld (\d{1,19}) [^\n]+\nkept (\d{1,19}) [^\n]+\n\n/;

/** parseSuccession reads the text of a note; undefined where it is another. */
export function parseSuccession(note: string): Succession | undefined {
  const found = lines.exec(note);
  const [, previous, held, kept] = found ?? [];
  return previous === undefined || held === undefined || kept === undefined ? undefined : { previous, held: BigInt(held), kept: BigInt(kept) };
}
