import { expect, it } from "vitest";
import { formatCondition, ops, parseCondition } from "./conditions";

it("keeps every comparison through an address", () => {
  for (const [op] of ops) {
    const condition = { column: "command_line", op, value: "a~b = \n\u202e" };
    expect(parseCondition(formatCondition(condition))).toEqual(condition);
  }
});

it.each(["", "a", "a~=", "a~like~x", "1a~=~x", "a b~=~x", "a;drop~=~x"])("refuses %j", (text) => expect(parseCondition(text)).toBeUndefined());
