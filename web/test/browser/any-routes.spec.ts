import { afterAll, describe, expect, it } from "vitest";
import { axe, launch, overflow, places, settled, shoot, signIn, themed, visit } from "./browser";

// Every route in both themes on a desk and on a phone: no barrier, no error, no
// breach of the policy, nothing wider than the window. A route is loaded once and
// then looked at in each way, as by somebody who turns a phone or a theme. Barriers
// are looked for, which is nearly all of the work, on the desk in one theme and on
// the phone in the other: in the one way against the fake API, in the other against
// a server.
const searched = process.env.ASSAY_WEB_URL === undefined ? { light: 1280, dark: 360 } : { light: 360, dark: 1280 };

const widths = [
  { width: 1280, height: 900 },
  { width: 360, height: 740 },
];
// A desk at 200 % zoom.
const zoomed = { width: 640, height: 450 };

// What there is to look at is known before the tests are told apart: each is one route.
const browser = await launch();
const out = await visit(browser);
const { page, problems, context } = await visit(browser);
await signIn(page);
const routes = Object.entries(await places(page));

afterAll(async () => {
  await out.context.close();
  await context.close();
  await browser.close();
});

async function look(at: typeof out, name: string, address: string): Promise<string[]> {
  const found: string[] = [];
  at.problems.length = 0;
  await at.page.setViewportSize(widths[0] ?? zoomed);
  await at.page.goto(address);
  await settled(at.page);
  for (const size of widths) {
    await at.page.setViewportSize(size);
    for (const theme of ["light", "dark"] as const) {
      const said = `${theme} at ${size.width} px`;
      await themed(at.page, theme);
      if (searched[theme] === size.width) found.push(...(await axe(at.page)).map((line) => `${said}: ${line}`));
      const wider = await overflow(at.page);
      if (wider > 0) found.push(`${said}: ${wider} px wider than the window`);
      await shoot(at.page, `${theme}-${size.width}-${name}`);
    }
  }
  await at.page.setViewportSize(zoomed);
  const wider = await overflow(at.page);
  if (wider > 0) found.push(`zoomed: ${wider} px wider than the window`);
  return [...found, ...at.problems];
}

describe("every route", () => {
  it("signing in", async () => {
    expect(await look(out, "sign-in", "/sign-in")).toEqual([]);
  });

  it.each(routes)("%s", async (name, address) => {
    expect(await look({ page, problems, context }, name, address)).toEqual([]);
  });
});
