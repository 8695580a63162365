import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { stateOrder } from "../lib/state";

// The colours of states must be readable in both themes: measured, not eyed.

const css = readFileSync(new URL("../tokens.css", import.meta.url), "utf8");
const block = (selector: string): Map<string, string> => {
  const body = css.slice(css.indexOf(`${selector} {`)).split("}")[0] ?? "";
  return new Map([...body.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map((match) => [match[1] ?? "", match[2] ?? ""]));
};
const light = block(":root");
const themes = { light, dark: new Map([...light, ...block(':root[data-mantine-color-scheme="dark"]')]) };

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => {
    const part = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** contrast is WCAG's ratio of two colours, 1 to 21. */
function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

it("knows the scale's ends", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21, 5);
  expect(contrast("#123456", "#123456")).toBe(1);
});

for (const [theme, tokens] of Object.entries(themes)) {
  const ratio = (a: string, b: string): number => {
    const [front, back] = [tokens.get(a), tokens.get(b)];
    if (front === undefined || back === undefined) throw new Error(`no token ${a} or ${b}`);
    return contrast(front, back);
  };
  it.each([
    ...stateOrder.flatMap((state) => [[state, "surface"], [state, `${state}-soft`], [state, "page"]]),
    ...["ink", "ink-dim", "link"].flatMap((text) => ["surface", "page", "sunken", "raised"].map((back) => [text, back])),
    ["past-ink", "past"],
    ["accent-ink", "accent"],
  ])(`${theme}: text %s on %s has 4.5:1`, (text = "", back = "") => expect(ratio(text, back)).toBeGreaterThanOrEqual(4.5));

  it.each(stateOrder.filter((state) => state !== "unknown").map((state) => [`${state}-fill`]))(`${theme}: %s beside the surface has 3:1`, (fill) =>
    expect(ratio(fill, "surface")).toBeGreaterThanOrEqual(3),
  );
  it(`${theme}: the hatching of unknown has 3:1 against surface or amber`, () => {
    // Amber itself is pale on white; its stripes carry the shape there, and amber itself on dark.
    expect(Math.max(ratio("unknown-stripe", "surface"), ratio("unknown-fill", "surface"))).toBeGreaterThanOrEqual(3);
    expect(ratio("unknown-fill", "unknown-stripe")).toBeGreaterThanOrEqual(2);
  });
  it(`${theme}: the focus ring has 3:1`, () => {
    for (const back of ["surface", "page", "sunken"]) expect(ratio("focus", back)).toBeGreaterThanOrEqual(3);
  });
}
