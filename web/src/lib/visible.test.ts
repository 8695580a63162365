import { expect, it } from "vitest";
import { hiddenName, pieces, visibleText } from "./visible";

it("leaves plain text of any script alone", () => {
  for (const text of ["C:\\Windows\\System32", "Zażółć", "日本語", "שלום", "😀"]) {
    expect(pieces(text)).toEqual([{ text }]);
  }
  expect(pieces("")).toEqual([]);
});

it("names what would turn a name around", () => {
  expect(pieces("cod\u202Etxt.exe")).toEqual([
    { text: "cod" },
    { code: "U+202E", name: "right-to-left override" },
    { text: "txt.exe" },
  ]);
});

it.each([0x00, 0x1b, 0x7f, 0x9b, 0xa0, 0x200b, 0x2066, 0x2028, 0xfeff, 0xfe0f, 0xe0041, 0xe000])("finds U+%s", (point) =>
  expect(hiddenName(point)).toBeDefined(),
);

it("survives half a surrogate pair", () => {
  expect(visibleText("a\ud800b")).toBe("a⟨U+D800⟩b");
});
