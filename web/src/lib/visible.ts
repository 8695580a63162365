/**
 * Text that somebody else chose may hold control characters, bidirectional
 * overrides and invisible characters that make it read as something else. Here
 * such characters are found and named; showing them is ui/Raw's work.
 */

const names: Readonly<Record<number, string>> = {
  0x00: "null",
  0x07: "bell",
  0x08: "backspace",
  0x09: "tab",
  0x0a: "line feed",
  0x0d: "carriage return",
  0x1b: "escape",
  0x7f: "delete",
  0x85: "next line",
  0xa0: "no-break space",
  0xad: "soft hyphen",
  0x061c: "Arabic letter mark",
  0x115f: "Hangul filler",
  0x1160: "Hangul filler",
  0x180e: "Mongolian vowel separator",
  0x200b: "zero width space",
  0x200c: "zero width non-joiner",
  0x200d: "zero width joiner",
  0x200e: "left-to-right mark",
  0x200f: "right-to-left mark",
  0x2028: "line separator",
  0x2029: "paragraph separator",
  0x202a: "left-to-right embedding",
  0x202b: "right-to-left embedding",
  0x202c: "pop directional formatting",
  0x202d: "left-to-right override",
  0x202e: "right-to-left override",
  0x2060: "word joiner",
  0x2066: "left-to-right isolate",
  0x2067: "right-to-left isolate",
  0x2068: "first strong isolate",
  0x2069: "pop directional isolate",
  0x3164: "Hangul filler",
  0xfeff: "byte order mark",
  0xffa0: "Hangul filler",
  0xfffd: "replacement character",
};

/** Piece is a run of plain text, or one hidden character with its name. */
export type Piece = { readonly text: string } | { readonly code: string; readonly name: string };

/**
 * hiddenName names a code point that would not be seen, or would change how its
 * neighbours are; plain ones are undefined.
 */
export function hiddenName(point: number): string | undefined {
  const known = names[point];
  if (known !== undefined) return known;
  if (point < 0x20 || (point >= 0x80 && point < 0xa0)) return "control character";
  if (point >= 0x2000 && point <= 0x200a) return "unusual space";
  if (point === 0x202f || point === 0x205f || point === 0x3000 || point === 0x1680) return "unusual space";
  if (point >= 0x2061 && point <= 0x206f) return "invisible character";
  if (point >= 0xfe00 && point <= 0xfe0f) return "variation selector";
  if (point >= 0xd800 && point <= 0xdfff) return "lone surrogate";
  if (point >= 0xe000 && point <= 0xf8ff) return "private use character";
  if (point >= 0xfff9 && point <= 0xfffb) return "invisible character";
  if (point >= 0xe0000 && point <= 0xe0fff) return "tag character";
  return undefined;
}

/** pieces splits text into plain runs and hidden characters, in order. */
export function pieces(text: string): Piece[] {
  const out: Piece[] = [];
  let plain = "";
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    const name = hiddenName(point);
    if (name === undefined) {
      plain += character;
      continue;
    }
    if (plain !== "") out.push({ text: plain });
    plain = "";
    out.push({ code: `U+${point.toString(16).toUpperCase().padStart(4, "0")}`, name });
  }
  if (plain !== "") out.push({ text: plain });
  return out;
}

/** visibleText is the same as one plain string, for titles and labels. */
export function visibleText(text: string): string {
  return pieces(text)
    .map((piece) => ("text" in piece ? piece.text : `⟨${piece.code}⟩`))
    .join("");
}
