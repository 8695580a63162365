import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, enter, launch, settled, shoot, visit, type Visit } from "./browser";

// What needs the fake's own data: the empty and the broken server, the viewer,
// names that mean ill, and numbers that must lead to as many rows.

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

const pages = ["/overview", "/controls/pci-dss", "/controls/pci-dss/10.2.1.6", "/hosts", "/hosts?check=log.cleared", "/findings", "/alerts", "/rules", "/rules?tab=packs", "/rules?tab=refused", "/rules?tab=backfills", "/suppressions", "/reviews", "/settings/notifications", "/events", "/agents", "/ledger"];

async function as(name: string, look = {}) {
  const made = await visit(browser, look);
  await enter(made.page, name, "assay");
  return made;
}

describe("an empty server", () => {
  const lists = ["/hosts", "/findings", "/events", "/alerts", "/rules", "/rules?tab=packs", "/rules?tab=refused", "/rules?tab=backfills", "/suppressions", "/reviews", "/settings/notifications"];
  const says = /No host has been seen yet|^No finding$|No event in .* yet|No alert is open|No rule is loaded yet|No rule was run over the past|Nothing is suppressed|No review|Nobody is told of alerts yet/;
  let at: Visit;
  beforeAll(async () => {
    at = await as("empty");
  });
  afterAll(() => at.context.close());

  it.each(pages)("says on %s what will appear and how", async (address) => {
    const { page, problems } = at;
    await page.goto(address);
    await settled(page);
    expect(await axe(page)).toEqual([]);
    await shoot(page, `empty${address.replaceAll(/[/?=.]/g, "-")}`);
    if (lists.includes(address)) expect(await page.getByText(says).count()).toBeGreaterThan(0);
    expect(problems.splice(0)).toEqual([]);
  });

  it("says how a first agent is enrolled", async () => {
    const { page, problems } = at;
    await page.goto("/agents");
    await page.getByRole("button", { name: "Create an enrolment token" }).first().click();
    await page.getByRole("textbox", { name: "Name" }).fill("first");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    const command = page.locator("[data-command]");
    await command.waitFor();
    expect(await axe(page)).toEqual([]);
    await shoot(page, "token");
    const secret = (await page.locator("[data-secret]").textContent()) ?? "";
    expect(secret.length).toBeGreaterThan(30);
    expect(await command.textContent()).toContain("--server assay.corp.example:8443 --ca-hash ");
    expect(await command.textContent()).not.toContain(secret);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save as assay-token.txt" }).click();
    expect(readFileSync(await (await download).path(), "utf8")).toBe(secret);
    expect(problems).toEqual([]);
  });
});

describe("a broken server", () => {
  let at: Visit;
  beforeAll(async () => {
    at = await as("broken");
  });
  afterAll(() => at.context.close());

  it.each(pages.filter((one) => !one.includes("?")))("says on %s what went wrong and what to do", async (address) => {
    const { page, problems } = at;
    await page.goto(address);
    const alert = page.getByRole("alert").first();
    await alert.waitFor();
    expect(await alert.textContent()).toContain("The server cannot answer now");
    expect(await alert.textContent()).toContain("connection refused");
    expect(await alert.getByRole("button", { name: "Try again" }).count()).toBe(1);
    expect(await axe(page)).toEqual([]);
    await shoot(page, `broken${address.replaceAll(/[/?=.]/g, "-")}`);
    expect(problems.splice(0)).toEqual([]);
  });

  it("says that something does not exist", async () => {
    const { page, context } = await as("admin");
    for (const address of ["/hosts/nobody", "/findings/none", "/alerts/none", "/rules/windows/none", "/controls/none", "/ledger?position=999999"]) {
      await page.goto(address);
      await page.getByText(/Not found|No batch of events/).first().waitFor();
    }
    await context.close();
  });
});

describe("a viewer", () => {
  it("is not offered what only admins may do", async () => {
    const { page, context } = await as("viewer");
    for (const address of ["/agents", "/ledger", "/findings/f-00001", "/alerts", "/alerts/5a1e7000-0000-8000-8000-000000000001", "/rules", "/rules?tab=packs", "/rules?tab=backfills", "/suppressions", "/reviews", "/settings/notifications"]) {
      await page.goto(address);
      await settled(page);
      expect(await page.getByRole("button", { name: /Enrolment token|Revoke|Verify now|Close with cause|Acknowledge|Assign|^Close$|^Suppress$|^End the|Put in force|Cancel|Add target|Add suppression|^Test|^Change|Record a review|Disable|Try again/ }).count(), address).toBe(0);
      expect(await page.locator("main input[data-choose], main input[role=switch]").count(), address).toBe(0);
    }
    await context.close();
  });
});

describe("an admin", () => {
  it("closes a finding with a cause", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/findings/f-00003");
    await page.getByRole("button", { name: "Close with cause" }).click();
    await page.getByRole("textbox", { name: "Cause" }).fill("Change 4711");
    expect(await axe(page)).toEqual([]);
    await page.getByRole("button", { name: "Close the finding" }).click();
    await page.getByText("Change 4711").waitFor();
    expect(await page.getByRole("button", { name: "Close with cause" }).count()).toBe(0);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("sees who vouches for the ledger, and what a restore lost", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/ledger");
    await page.getByText(/23 of 25 verified and cosigned/).waitFor();
    await page.getByText(/silent.example.*has cosigned nothing yet/).waitFor();
    await page.getByText("no longer believed").waitFor();
    await page.getByText(/the ledger assay.example\/first ended with 2,513 leaves by its own word, and this one began with 2,068 leaves/).waitFor();
    await page.getByText("Batches 7 to 378").waitFor();
    expect(await page.getByText("unwitnessed").count()).toBe(0);
    expect(await axe(page)).toEqual([]);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("runs a verification and follows it", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/ledger");
    await page.getByRole("button", { name: "Verify now" }).click();
    await page.getByRole("progressbar").waitFor();
    await page.getByText("Good: nothing was found").waitFor();
    await page.getByRole("progressbar").waitFor({ state: "detached" });
    expect(problems).toEqual([]);
    await context.close();
  });

  it("revokes a token only when asked twice", async () => {
    const { page, context } = await as("admin");
    await page.goto("/agents");
    await page.getByRole("button", { name: "Revoke token Tills, first roll-out" }).click();
    await page.getByRole("button", { name: "Revoke for good token Tills, first roll-out" }).click();
    await page.getByRole("button", { name: /token Tills, first roll-out/ }).waitFor({ state: "detached" });
    await context.close();
  });
});

const number = async (page: Page, text: RegExp): Promise<number> => {
  const found = page.getByText(text).first();
  await found.waitFor();
  return Number(/[\d,]+/.exec((await found.textContent()) ?? "")?.[0].replaceAll(",", ""));
};

describe("numbers", () => {
  it("lead to as many rows as they say", async () => {
    const { page, context } = await as("admin");
    await page.goto("/overview");
    await settled(page);
    const tile = async (name: string): Promise<[number, string]> => {
      const link = page.locator("dl > div").filter({ has: page.locator("dt", { hasText: name }) }).locator("dd a").first();
      return [Number(((await link.textContent()) ?? "").replaceAll(",", "")), (await link.getAttribute("href")) ?? ""];
    };
    const targets = [await tile("Hosts"), await tile("Silent hosts"), await tile("Open findings")];
    const chip = page.locator("main [role=row] a[href*='check=log.cleared'][href*='state=unknown']").first();
    targets.push([Number(/\d+/.exec((await chip.textContent()) ?? "")?.[0]), (await chip.getAttribute("href")) ?? ""]);
    const age = page.locator("a[href*='age=7d']");
    targets.push([Number(/\d+/.exec((await age.textContent()) ?? "")?.[0]), (await age.getAttribute("href")) ?? ""]);
    for (const [count, address] of targets) {
      await page.goto(address);
      await settled(page);
      const read = page.getByText(/in all$|of [\d,]+ read$/).first();
      await read.waitFor();
      expect(Number(/([\d,]+) (?:in all|read)$/.exec((await read.textContent()) ?? "")?.[1]?.replaceAll(",", "")), address).toBe(count);
    }
    await context.close();
  });

  it("of hosts in a state lead to just those hosts", async () => {
    const { page, context } = await as("admin");
    for (const state of ["fail", "unknown", "pass"]) {
      await page.goto("/controls/pci-dss");
      await settled(page);
      const chip = page.locator(`a[href^='/controls/pci-dss/10.2.1.6?state=${state}']`).first();
      if ((await chip.count()) === 0) continue;
      const said = Number(/\d+/.exec((await chip.textContent()) ?? "")?.[0]);
      await chip.click();
      expect(await number(page, /^[\d,]+ hosts, [\d,]+ verdicts$/), state).toBe(said);
    }
    await context.close();
  });
});

describe("tables", () => {
  it("draw only what is seen of a long list, and go on with j", async () => {
    const { page, context } = await as("admin");
    await page.goto("/events?table=process");
    await settled(page);
    const box = page.locator("[data-table]");
    for (let i = 0; i < 6; i++) {
      await box.evaluate((element) => element.scrollTo(0, element.scrollHeight));
      await settled(page);
    }
    await page.getByText("900 in all").waitFor();
    expect(await page.locator("main [data-row]").count()).toBeLessThan(80);
    await page.locator("main [data-row] a").last().focus();
    const before = await page.evaluate(() => Number(document.activeElement?.closest<HTMLElement>("[data-row]")?.dataset.row));
    await page.keyboard.press("k");
    expect(await page.evaluate(() => Number(document.activeElement?.closest<HTMLElement>("[data-row]")?.dataset.row))).toBe(before - 1);
    await context.close();
  });

  it("print every row", async () => {
    const { page, context } = await as("admin");
    await page.goto("/hosts?show=simulated");
    await settled(page);
    await page.getByText("207 in all").waitFor();
    expect(await page.locator("main [data-row]").count()).toBeLessThan(100);
    await page.evaluate(() => window.dispatchEvent(new Event("beforeprint")));
    expect(await page.locator("main [data-row]").count()).toBe(207);
    await context.close();
  });

  it("export every row of the list, names that mean ill made harmless", async () => {
    const { page, context } = await as("admin");
    await page.goto("/hosts?sort=-name");
    await settled(page);
    const save = async (kind: string): Promise<string> => {
      await page.getByRole("button", { name: "Export" }).click();
      const download = page.waitForEvent("download");
      await page.getByRole("menuitem", { name: kind }).click();
      return readFileSync(await (await download).path(), "utf8");
    };
    const csv = await save("CSV");
    expect(csv.trimEnd().split("\r\n")).toHaveLength(261);
    expect(csv).toContain(`"'=HYPERLINK(1)"`);
    expect(csv).not.toContain(`"=HYPERLINK`);
    const json = JSON.parse(await save("JSON")) as { view: string; rows: unknown[] };
    expect(json.rows).toHaveLength(260);
    expect(json.view).toContain("/hosts?sort=-name");
    await context.close();
  });
});

it("shows hidden characters and verifies the proof in the browser", async () => {
  const { page, context } = await as("admin");
  await page.goto("/events?event=100.2");
  const drawer = page.getByRole("dialog");
  await drawer.getByText("Included: the proof leads").waitFor();
  expect(await drawer.getByTitle("U+202E right-to-left override").count()).toBeGreaterThan(0);
  expect(await drawer.textContent()).not.toContain("\u202e");
  await page.goto("/hosts?name=SOP");
  await settled(page);
  expect(await page.locator("main").textContent()).not.toContain("\u202e");
  expect(await page.title()).not.toContain("\u202e");
  await context.close();
});
