import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, enter, launch, password, places, settled, shoot, signIn, user, visit, type Visit } from "./browser";

// What people do, on any server that holds at least one host: nothing here
// knows the names of a fixture.

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

async function signedIn(look = {}): Promise<Visit> {
  const made = await visit(browser, look);
  await enter(made.page);
  await settled(made.page);
  return made;
}

const rows = (page: Page) => page.locator("main [role=row][data-row]");

describe("signing in", () => {
  it("refuses a wrong password, then leads back to where one was", async () => {
    const { page, context, problems } = await visit(browser);
    await page.goto("/findings?status=closed");
    await page.waitForURL(/\/sign-in\?to=/);
    await page.locator("input[name=name]").fill(user);
    await page.locator("input[name=password]").fill(`${password} not`);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.getByRole("alert").textContent()).toContain("wrong");
    await page.locator("input[name=password]").fill(password);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/findings\?status=closed/);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("does not leave the console for a foreign address", async () => {
    const { page, context } = await visit(browser);
    await page.goto("/sign-in?to=//evil.example/x");
    await page.locator("input[name=name]").fill(user);
    await page.locator("input[name=password]").fill(password);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/overview/);
    await context.close();
  });

  it("signs out, and back in when the session is gone", async () => {
    const { page, context } = await signedIn();
    await page.goto("/hosts?kind=enrolled");
    await settled(page);
    await context.clearCookies();
    await page.getByLabel("Only").selectOption("silent");
    await page.waitForURL(/\/sign-in\?to=/);
    expect(decodeURIComponent(page.url())).toContain("/hosts?kind=enrolled");
    await signIn(page);
    await page.getByRole("button", { name: /^Account/ }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.waitForURL(/\/sign-in/);
    await page.goto("/overview");
    await page.waitForURL(/\/sign-in\?to=/);
    await context.close();
  });
});

describe("the keyboard", () => {
  it("moves with j and k, opens with Enter, filters with /", async () => {
    const { page, context } = await signedIn();
    await page.goto("/hosts");
    await settled(page);
    const at = () => page.evaluate(() => document.activeElement?.closest<HTMLElement>("[data-row]")?.dataset.row);
    await page.keyboard.press("j");
    expect(await at()).toBe("0");
    if ((await rows(page).count()) > 1) {
      await page.keyboard.press("j");
      expect(await at()).toBe("1");
      await page.keyboard.press("k");
      expect(await at()).toBe("0");
    }
    await page.keyboard.press("/");
    expect(await page.evaluate(() => document.activeElement?.hasAttribute("data-filter"))).toBe(true);
    await page.keyboard.type("jk");
    expect(await page.locator("[data-filter]").inputValue()).toBe("jk");
    await page.goto("/hosts");
    await settled(page);
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/hosts\/./);
    await context.close();
  });

  it("finds pages, controls and hosts with Ctrl-K", async () => {
    const { page, context, problems } = await signedIn();
    await page.keyboard.press("Control+k");
    const field = page.getByRole("combobox", { name: /Find a host/ });
    await field.waitFor();
    expect(await axe(page)).toEqual([]);
    await shoot(page, "palette");
    await field.fill("ledger");
    await page.getByRole("option").filter({ hasText: "Ledger" }).first().waitFor();
    await field.press("Enter");
    await page.waitForURL(/\/ledger/);
    await page.goto("/hosts");
    await settled(page);
    const name = (await rows(page).first().locator("a").first().textContent()) ?? "";
    await page.keyboard.press("Control+k");
    await field.fill(name);
    await page.getByRole("option").filter({ hasText: "Host" }).first().waitFor();
    await field.press("ArrowDown");
    await field.press("ArrowUp");
    await field.press("Enter");
    await page.waitForURL(/\/hosts\/./);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("steps through a coverage timeline", async () => {
    const { page, context } = await signedIn();
    const address = (await places(page))["host-coverage"];
    if (address === undefined) throw new Error("no host to look at");
    await page.goto(address);
    await settled(page);
    const lane = page.getByRole("slider").first();
    if ((await lane.count()) > 0) {
      await lane.focus();
      await page.keyboard.press("ArrowRight");
      expect(await lane.getAttribute("aria-valuenow")).toBe("1");
      expect(await lane.getAttribute("aria-valuetext")).toMatch(/UTC/);
      await page.keyboard.press("+");
      await page.waitForURL(/from=.*to=/);
    }
    await context.close();
  });
});

describe("drilling down", () => {
  it("reaches a raw event from the overview in at most four clicks", async () => {
    const { page, context, problems } = await signedIn();
    let clicks = 0;
    const click = async (selector: string, leads: RegExp): Promise<void> => {
      await page.locator(selector).first().click();
      clicks++;
      await page.waitForURL(leads);
      await settled(page);
    };
    // The state with evidence to show may be fail or pass: whichever leads on.
    await click("main a[href^='/controls/']", /\/controls\/[^/]+$/);
    const fails = "main [role=row] a[href^='/controls/'][href*='state=fail']";
    const state = (await page.locator(fails).count()) > 0 ? fails : fails.replace("fail", "pass");
    await click(state, /\/controls\/[^/]+\/[^/]+\?state=/);
    await click("main [role=row] a[href^='/hosts/'][href*='check=']", /\/hosts\/[^/?]+\?check=/);
    await click("main [role=row] a[data-event]", /event=/);
    expect(clicks).toBeLessThanOrEqual(4);
    const drawer = page.getByRole("dialog");
    await drawer.getByRole("heading", { name: "Raw fields" }).waitFor();
    expect(await drawer.getByRole("heading", { name: "Place in the evidence" }).count()).toBe(1);
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.searchParams.has("event"));
    expect(problems).toEqual([]);
    await context.close();
  });

  it("brings filters back with the back button", async () => {
    const { page, context } = await signedIn();
    await page.goto("/hosts");
    await settled(page);
    await page.getByLabel("Kind").selectOption("enrolled");
    await page.waitForURL(/kind=enrolled/);
    await settled(page);
    await rows(page).first().locator("a").first().click();
    await page.waitForURL(/\/hosts\/./);
    await page.goBack();
    await page.waitForURL(/kind=enrolled/);
    await settled(page);
    expect(await page.getByLabel("Kind").inputValue()).toBe("enrolled");
    await page.goBack();
    await page.waitForURL((url) => url.pathname === "/hosts" && url.search === "");
    expect(await page.getByLabel("Kind").inputValue()).toBe("");
    await context.close();
  });
});

describe("alerts", () => {
  it("lead to the event that matched, and its rule", async () => {
    const { page, context, problems } = await signedIn();
    await page.goto("/alerts?state=all");
    await settled(page);
    const alert = page.locator("main [role=row] a[href^='/alerts/']").first();
    // A server without detection rules has none.
    if ((await alert.count()) > 0) {
      await alert.click();
      await page.waitForURL(/\/alerts\/./);
      await settled(page);
      await page.getByRole("heading", { name: "What was done" }).waitFor();
      const event = page.locator("main a[data-event]").first();
      if ((await event.count()) > 0) {
        await event.click();
        await page.getByRole("dialog").getByRole("heading", { name: "Raw fields" }).waitFor();
        await page.keyboard.press("Escape");
        await page.waitForURL((url) => !url.searchParams.has("event"));
      }
      const rule = page.locator("main a[href^='/rules/']").first();
      if ((await rule.count()) > 0) {
        await rule.click();
        await page.getByRole("region", { name: "Source of the rule, YAML" }).waitFor();
      }
    }
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("time travel", () => {
  it("marks the past, keeps it from page to page and sends it along", async () => {
    const { page, context, problems } = await signedIn();
    const bodies: string[] = [];
    page.on("request", (request) => {
      if (/GetOverview|ListHosts|ListVerdicts|GetFrameworkStatus|ListFindings/.test(request.url())) bodies.push(request.postData() ?? "");
    });
    await page.getByRole("button", { name: "As of: Now" }).click();
    await page.getByLabel("Date and time (UTC)").fill(new Date(Date.now() - 3_600_000).toISOString().slice(0, 16));
    expect(await axe(page)).toEqual([]);
    await shoot(page, "as-of");
    await page.getByRole("button", { name: "Show that time" }).click();
    await page.waitForURL(/at=/);
    await settled(page);
    await page.getByText("You are looking at the past").waitFor();
    for (const [name, call] of [["Controls", "GetFrameworkStatus"], ["Hosts", "ListHosts"], ["Findings", "ListFindings"]] as const) {
      const asked = page.waitForRequest((request) => request.url().endsWith(`/${call}`));
      await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
      await asked;
      await settled(page);
      expect(page.url()).toContain("at=");
    }
    expect(bodies.length).toBeGreaterThan(3);
    expect(bodies.filter((body) => !body.includes('"asOf":{"instant":'))).toEqual([]);
    expect(await axe(page)).toEqual([]);
    await shoot(page, "past");
    await page.getByRole("link", { name: "Back to now" }).click();
    await page.waitForURL((url) => !url.searchParams.has("at"));
    await settled(page);
    bodies.length = 0;
    await page.goto("/hosts?at=tree-1");
    await settled(page);
    expect(bodies).not.toEqual([]);
    expect(bodies.every((body) => body.includes('"asOf":{"treeSize":"1"}'))).toBe(true);
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("tables", () => {
  it("exports what is shown and chooses columns in the address", async () => {
    const { page, context } = await signedIn();
    await page.goto("/hosts?kind=enrolled");
    await settled(page);
    await page.getByRole("button", { name: "Columns" }).click();
    await page.getByRole("checkbox", { name: "Id", exact: true }).check();
    await page.waitForURL(/cols=.*id/);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Export" }).click();
    const download = page.waitForEvent("download");
    await page.getByRole("menuitem", { name: "CSV" }).click();
    const csv = readFileSync(await (await download).path(), "utf8");
    const lines = csv.trimEnd().split("\r\n");
    const heads = await page.locator("main [role=columnheader]").allTextContents();
    expect(lines[0]).toBe(heads.map((head) => `"${head}"`).join(","));
    const ask = await page.locator("main [data-table]").getByRole("table").getAttribute("aria-label");
    expect(ask).toBe("Hosts");
    expect(lines.length - 1).toBeGreaterThan(0);
    expect(lines.slice(1).filter((line) => /(^|,)"?[=+@]/.test(line))).toEqual([]);
    await context.close();
  });
});

describe("appearance", () => {
  it("turns dark by choice and keeps it", async () => {
    const { page, context } = await signedIn();
    const scheme = () => page.evaluate(() => document.documentElement.dataset.mantineColorScheme);
    expect(await scheme()).toBe("light");
    await page.getByRole("button", { name: /^Account/ }).click();
    await shoot(page, "account");
    await page.getByRole("menuitem", { name: "Dark" }).click();
    expect(await scheme()).toBe("dark");
    await page.reload();
    await settled(page);
    expect(await scheme()).toBe("dark");
    await context.close();
  });

  it("opens the menu on a phone", async () => {
    const { page, context } = await signedIn({ width: 360, height: 740 });
    await page.getByRole("button", { name: "Pages" }).click();
    await page.getByRole("dialog").getByRole("link", { name: "Ledger" }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole("dialog").getByRole("link", { name: "Ledger" }).click();
    await page.waitForURL(/\/ledger/);
    await context.close();
  });
});
