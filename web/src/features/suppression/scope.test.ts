import { expect, it } from "vitest";
import { scopeWords, uniqueConditions } from "./scope";

const none = { pack: "", rule: "", host: "", tag: "", conditions: [] };

it("says what is covered", () => {
  expect(scopeWords({ ...none, pack: "windows", rule: "r1" }, "Encoded PowerShell", "")).toBe("Encoded PowerShell");
  expect(scopeWords({ ...none, pack: "windows", rule: "r1" }, "", "")).toBe("r1");
  expect(scopeWords({ ...none, pack: "windows" }, "", "")).toBe("any rule of windows");
  expect(scopeWords({ ...none, host: "h1", tag: "pos", conditions: [{ field: "Image", value: "*\\a.exe" }, { field: "User", value: "svc" }] }, "", "TILL-1")).toBe(
    "any rule on TILL-1 on hosts tagged pos where Image is *\\a.exe and User is svc",
  );
});

it("names no condition twice", () => {
  expect(uniqueConditions([{ field: "Image", value: "A" }, { field: "image", value: "a" }, { field: "Image", value: "B" }])).toEqual([{ field: "Image", value: "A" }, { field: "Image", value: "B" }]);
});
