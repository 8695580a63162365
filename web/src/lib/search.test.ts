import { expect, it } from "vitest";
import { localPath, oneOf, parseSearch, stringifySearch, word, wordList } from "./search";

it("reads and writes plain addresses", () => {
  expect(parseSearch("?a=1&c=x~=~1&c=y")).toEqual({ a: "1", c: ["x~=~1", "y"] });
  expect(stringifySearch({ at: "2026-11-20T10:00:00Z", a: undefined, b: "", c: ["x", "y"] })).toBe("?at=2026-11-20T10:00:00Z&c=x&c=y");
  expect(stringifySearch({})).toBe("");
  expect(parseSearch(stringifySearch({ q: "a&b=c d%" }))).toEqual({ q: "a&b=c d%" });
});

it("bounds what it takes", () => {
  expect(word("x".repeat(301))).toBeUndefined();
  expect(word(["a"])).toBeUndefined();
  expect(wordList("a")).toEqual(["a"]);
  expect(wordList(Array.from({ length: 30 }, () => "a"))).toHaveLength(20);
  expect(oneOf("x", ["a", "b"])).toBeUndefined();
});

it.each(["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "hosts", "/a\\b", "/a b", ""])(
  "does not go to %j after signing in",
  (path) => expect(localPath(path)).toBeUndefined(),
);
it("goes back to where one was", () => expect(localPath("/hosts?state=fail")).toBe("/hosts?state=fail"));
