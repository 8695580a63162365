import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, launch, overflow, places, settled, shoot, signIn, visit } from "./browser";

// Every route in both themes on a desk and on a phone: no barrier, no error, no
// breach of the policy, nothing wider than the window.

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

describe.each(["light", "dark"] as const)("%s", (theme) => {
  it.each([1280, 360])("every route at %d px", async (width) => {
    const { page, problems, context } = await visit(browser, { theme, width, height: width === 360 ? 740 : 900 });
    await page.goto("/sign-in");
    await settled(page);
    const found: string[] = [];
    const look = async (name: string): Promise<void> => {
      await settled(page);
      found.push(...(await axe(page)).map((line) => `${name}: ${line}`));
      const wider = await overflow(page);
      if (wider > 0) found.push(`${name}: ${wider} px wider than the window`);
      found.push(...problems.splice(0).map((line) => `${name}: ${line}`));
      await shoot(page, `${theme}-${width}-${name}`);
    };
    await look("sign-in");
    await signIn(page);
    for (const [name, address] of Object.entries(await places(page))) {
      await page.goto(address);
      await look(name);
    }
    await context.close();
    expect(found).toEqual([]);
  }, 240_000);
});
