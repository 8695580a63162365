import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, enter, launch, settled, shoot, visit, type Visit } from "./browser";

// What people do with alerts and rules, on a real server with the data of the
// demonstration. It changes that data: it is no test for any other server.

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

async function signedIn(): Promise<Visit> {
  const made = await visit(browser);
  await enter(made.page);
  await settled(made.page);
  return made;
}

const open = async (page: Page, address: string): Promise<void> => {
  await page.goto(address);
  await settled(page);
};
const rows = (page: Page) => page.locator("main [role=row][data-row]");
const alertLinks = (page: Page) => rows(page).locator("a[href^='/alerts/']");

/** addresses are those of the alerts that a list shows. */
async function addresses(page: Page, list: string): Promise<string[]> {
  await open(page, list);
  return alertLinks(page).evaluateAll((links) => links.map((link) => new URL((link as HTMLAnchorElement).href).pathname));
}

/** detected are open alerts of rules: what stands for a finding has no event of its own. */
async function detected(page: Page): Promise<string[]> {
  const ofChecks = new Set(await addresses(page, "/alerts?state=open&pack=checks"));
  return (await addresses(page, "/alerts?state=open")).filter((one) => !ofChecks.has(one));
}

// What was made before, by a first try too, is not to be taken for what is made now.
const mark = (): string => Date.now().toString(36);

/** numberIn reads the number that a text holds. */
const numberIn = (text: string | null): number => Number(/[\d,]+/.exec(text ?? "")?.[0].replaceAll(",", ""));

describe("the list of alerts", () => {
  it("is filtered, and two of it are acknowledged at once", async () => {
    const { page, context, problems } = await signedIn();
    const all = await addresses(page, "/alerts?state=open");
    expect(all.length).toBeGreaterThan(4);
    const host = (await rows(page).first().locator("a[href^='/hosts/']").textContent()) ?? "";
    expect(host).not.toBe("");
    await page.getByLabel("Title, host, rule or value").fill(host);
    await page.waitForURL(/q=/);
    await settled(page);
    const some = await alertLinks(page).count();
    expect(some).toBeGreaterThan(0);
    expect(some).toBeLessThan(all.length);
    expect(await rows(page).filter({ hasText: host }).count()).toBe(some);
    await open(page, "/alerts?state=open&order=oldest");
    const chosen = (await alertLinks(page).evaluateAll((links) => links.map((link) => new URL((link as HTMLAnchorElement).href).pathname))).slice(0, 2);
    for (const i of [0, 1]) await rows(page).nth(i).locator("input[data-choose]").check();
    const bar = page.getByRole("region", { name: "Chosen alerts" });
    await bar.getByRole("button", { name: "Acknowledge 2" }).click();
    await page.getByRole("textbox", { name: "Note" }).fill("Looked at both");
    await page.getByRole("dialog").getByRole("button", { name: "Acknowledge" }).click();
    await bar.waitFor({ state: "detached" });
    const left = await addresses(page, "/alerts?state=open");
    expect(left.filter((one) => chosen.includes(one))).toEqual([]);
    const taken = await addresses(page, "/alerts?state=acknowledged");
    expect(taken).toEqual(expect.arrayContaining(chosen));
    expect(problems).toEqual([]);
    await context.close();
  }, 240_000);
});

describe("an alert", () => {
  it("is assigned, noted, suppressed and closed, and shows rule, matched fields and raw event", async () => {
    const { page, context, problems } = await signedIn();
    const reason = `Known work on this host, ${mark()}`;
    const address = (await detected(page))[0];
    if (address === undefined) throw new Error("the demonstration has no open alert of a rule");
    await open(page, address);
    const main = page.getByRole("main");
    const matched = page.getByRole("table", { name: /^Matched by / }).first();
    await matched.waitFor();
    const field = (await matched.getByRole("rowheader").first().textContent())?.replace("(matched)", "").trim() ?? "";
    const raw = page.getByRole("table", { name: "Raw fields of the newest event" });
    await raw.waitFor();
    expect(await raw.getByRole("row").count()).toBeGreaterThan(1);
    expect(field).not.toBe("");
    await page.getByRole("region", { name: "Source of the rule, YAML" }).getByText("detection:").waitFor();
    expect(await main.locator("a[href^='/rules/']").count()).toBeGreaterThan(0);
    expect(await axe(page)).toEqual([]);
    await shoot(page, "demo-alert");

    const dialog = page.getByRole("dialog");
    const does = async (button: string, fill: () => Promise<void>): Promise<void> => {
      await main.getByRole("button", { name: button, exact: true }).click();
      await fill();
      await dialog.getByRole("button", { name: button, exact: true }).click();
      await dialog.waitFor({ state: "detached" });
    };
    const note = (text: string) => page.getByRole("textbox", { name: "Note" }).fill(text);
    await does("Assign", () => page.getByRole("textbox", { name: "Assign to" }).fill("admin"));
    await page.getByText("Assigned to admin").waitFor();
    await does("Add note", () => note("Asked the shop"));
    await page.getByText("Asked the shop").waitFor();
    await does("Suppress", async () => {
      await dialog.getByLabel("Ends in").selectOption("7");
      await dialog.getByRole("textbox", { name: "Reason" }).fill(reason);
    });
    await does("Close", async () => {
      await page.getByLabel("Reason").selectOption("benign");
      await note("Planned work");
    });
    await page.getByText("Closed: benign").waitFor();
    await page.reload();
    await settled(page);
    await page.getByText("Closed: benign").waitFor();
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toContain("Closed");
    await page.getByText("Planned work").waitFor();
    expect(await main.getByRole("button", { name: "Open again" }).count()).toBe(1);

    await open(page, "/suppressions");
    const row = rows(page).filter({ hasText: reason });
    await row.waitFor();
    expect(await row.textContent()).toContain("Active");
    // Of seven days a little is gone already.
    expect(await row.textContent()).toMatch(/in (6|7) days/);
    expect(await row.textContent()).toContain("admin");
    expect(await axe(page)).toEqual([]);
    expect(problems).toEqual([]);
    await context.close();
  }, 240_000);
});

const rule = (id: string, title: string, event: number): string => `title: ${title}
id: 7a1c0de0-0000-4000-8000-00000000000${id}
status: test
level: high
logsource: {product: windows, service: security}
detection:
    selection: {EventID: ${event}}
    condition: selection
`;

describe("a pack of rules", () => {
  it("is imported and enabled, and its hits are counted after it was run over the past", async () => {
    const { page, context, problems } = await signedIn();
    const pack = `tills-${mark()}`;
    const why = `What was before ${pack}`;
    await open(page, "/rules?tab=packs");
    await page.getByRole("button", { name: "Import rules" }).click();
    const dialog = page.getByRole("dialog");
    const files = [
      ["time.yml", rule("1", "Clock of a till was set", 4616)],
      ["never.yml", rule("2", "Event that nobody writes", 65000)],
      ["bad.yml", "title: Without a condition\nlogsource: {product: windows}\ndetection: {selection: {EventID: 1}}\n"],
    ] as const;
    await dialog.getByLabel("Files", { exact: true }).setInputFiles(files.map(([name, text]) => ({ name, mimeType: "text/yaml", buffer: Buffer.from(text) })));
    await dialog.getByRole("textbox", { name: "Pack" }).fill(pack);
    await dialog.getByLabel("Enable").selectOption("high");
    await dialog.getByRole("textbox", { name: "Reason" }).fill("Rules for tills");
    await dialog.getByRole("button", { name: "Check" }).click();
    await dialog.getByRole("table", { name: "Refused rules of this import" }).getByText(/bad\.yml/).waitFor();
    await dialog.getByRole("button", { name: "Import 2 rules" }).click();
    await dialog.getByRole("button", { name: "Done" }).click();
    await rows(page).filter({ hasText: pack }).waitFor();

    await open(page, `/rules?pack=${pack}`);
    expect(await rows(page).count()).toBe(2);
    for (const i of [0, 1]) expect(await rows(page).nth(i).getByRole("switch").isChecked()).toBe(true);
    const set = rows(page).filter({ hasText: "Clock of a till was set" });
    await set.locator("a[href^='/rules/']").first().click();
    await page.waitForURL(/\/rules\/tills-/);
    await settled(page);
    const address = new URL(page.url()).pathname;
    await page.getByRole("button", { name: "Run over the past" }).click();
    await dialog.getByRole("textbox", { name: "Reason" }).fill(why);
    await dialog.getByRole("button", { name: "Run", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    // The list asks again by itself while a run goes on.
    await open(page, "/rules?tab=backfills");
    const run = rows(page).filter({ hasText: why });
    await run.getByText("Done").waitFor({ timeout: 60_000 });
    await shoot(page, "demo-backfill");

    await open(page, `/rules?pack=${pack}`);
    const hits = numberIn(await set.locator("a[href$='#detections']").first().textContent());
    expect(hits).toBeGreaterThan(0);
    expect(await rows(page).filter({ hasText: "Event that nobody writes" }).locator("a[href$='#detections']").count()).toBe(0);
    await open(page, address);
    await page.getByText(`${hits.toLocaleString("en")} in 30 days`).waitFor();
    const detections = page.locator("#detections").getByRole("row").locator("a[data-event]");
    expect(await detections.count()).toBe(hits);
    await detections.first().click();
    await page.getByRole("dialog").getByRole("heading", { name: "Raw fields" }).waitFor();
    expect(await page.getByRole("dialog").textContent()).toContain("4616");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "demo-rule");
    expect(problems).toEqual([]);
    await context.close();
  }, 240_000);
});
