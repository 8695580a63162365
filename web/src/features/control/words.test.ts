import { expect, it } from "vitest";
import { ceilingWords, percent } from "./words";

it("never rounds a share up", () => {
  expect(percent(1)).toBe("100 %");
  expect(percent(0.99999)).toBe("99.9 %");
  expect(percent(0.5)).toBe("50 %");
  expect(percent(0)).toBe("0 %");
});

it("names every ceiling", () => {
  for (const ceiling of ["A", "P", "S", "M"]) expect(ceilingWords(ceiling)[0]).not.toBe(ceiling);
  expect(ceilingWords("X")[0]).toBe("X");
});
