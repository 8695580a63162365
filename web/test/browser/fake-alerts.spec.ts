import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, enter, launch, settled, shoot, visit } from "./browser";

// What people do with alerts, rules, suppressions and notifications, on the
// fake's own data.

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

async function as(name: string, look = {}) {
  const made = await visit(browser, look);
  await enter(made.page, name, "assay");
  return made;
}

const total = async (page: Page): Promise<number> => {
  const read = page.getByText(/in all$|of [\d,]+ read$/).first();
  await read.waitFor();
  return Number(/([\d,]+) (?:in all|read)$/.exec((await read.textContent()) ?? "")?.[1]?.replaceAll(",", ""));
};

describe("the list of alerts", () => {
  it("keeps its filters in the address and brings them back", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/alerts");
    await settled(page);
    const all = await total(page);
    await page.getByLabel("Level").selectOption("high+");
    await page.waitForURL(/level=high/);
    await page.getByLabel("Clocks").selectOption("yes");
    await page.waitForURL(/overdue=yes/);
    await settled(page);
    const some = await total(page);
    expect(some).toBeGreaterThan(0);
    expect(some).toBeLessThan(all);
    expect(await page.locator("main [role=row]").getByText(/^(Medium|Low|Info)$/).count()).toBe(0);
    const address = page.url();
    await page.locator("main [role=row] a[href^='/alerts/']").first().click();
    await page.waitForURL(/\/alerts\/./);
    await page.goBack();
    await page.waitForURL(address);
    expect(await page.getByLabel("Level").inputValue()).toBe("high+");
    await page.goto("/alerts?state=closed&q=shadow");
    await settled(page);
    expect(await page.getByLabel("State").inputValue()).toBe("closed");
    expect(await page.locator("main [role=row]").getByText("Open", { exact: true }).count()).toBe(0);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("acknowledges what was chosen by keyboard, all or none", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/alerts?state=open&order=oldest");
    await settled(page);
    const before = await total(page);
    for (const key of ["j", "x", "j", "x"]) await page.keyboard.press(key);
    const bar = page.getByRole("region", { name: "Chosen alerts" });
    await bar.getByText("2 chosen").waitFor();
    expect(await axe(page)).toEqual([]);
    await shoot(page, "alerts-chosen");
    await bar.getByRole("button", { name: "Acknowledge 2" }).click();
    await page.getByRole("textbox", { name: "Note" }).fill("Both are the new till software");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "alerts-acknowledge");
    await page.getByRole("dialog").getByRole("button", { name: "Acknowledge" }).click();
    await bar.waitFor({ state: "detached" });
    await settled(page);
    await expect.poll(() => total(page)).toBe(before - 2);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("reads page by page and exports every row that it says", async () => {
    const { page, context } = await as("admin");
    await page.goto("/alerts?state=all");
    await settled(page);
    const said = await total(page);
    await page.getByText(`200 of ${said.toLocaleString("en")} read`).waitFor();
    await page.getByRole("button", { name: "Export" }).click();
    const download = page.waitForEvent("download");
    await page.getByRole("menuitem", { name: "CSV" }).click();
    const csv = readFileSync(await (await download).path(), "utf8");
    expect(csv.trimEnd().split("\r\n")).toHaveLength(said + 1);
    await context.close();
  });
});

describe("an alert", () => {
  const address = "/alerts/5a1e7000-0000-8000-8000-000000000001";

  it("shows what matched with hidden characters named, and its proof", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto(address);
    await settled(page);
    expect(await page.locator("main").textContent()).not.toContain("\u202e");
    const matched = page.getByRole("table", { name: "Matched by selection_arguments" });
    await matched.getByTitle("U+0007 bell").or(matched.getByText("U+0007")).first().waitFor();
    await page.getByRole("table", { name: "Raw fields of the newest event" }).getByText("(matched)").first().waitFor();
    await page.getByRole("region", { name: "Source of the rule, YAML" }).getByText("(matched)").first().waitFor();
    await page.getByRole("link", { name: "Open the event with its proof" }).click();
    await page.getByRole("dialog").getByRole("heading", { name: "Place in the evidence" }).waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  it("goes from open to closed and back, each step in its history", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto(address);
    await settled(page);
    const does = async (button: string, fill: () => Promise<void>): Promise<void> => {
      await page.getByRole("main").getByRole("button", { name: button, exact: true }).click();
      await fill();
      await page.getByRole("dialog").getByRole("button", { name: button, exact: true }).click();
      await page.getByRole("dialog").waitFor({ state: "detached" });
    };
    const note = (text: string) => page.getByRole("textbox", { name: "Note" }).fill(text);
    await does("Acknowledge", () => note("On it"));
    await page.getByText("On it").waitFor();
    await does("Raise level", () => note("Two tills more"));
    await page.getByText("raised from high").waitFor();
    await does("Assign", () => page.getByRole("textbox", { name: "Assign to" }).fill("kim"));
    await page.getByText("Assigned to kim").waitFor();
    await page.getByRole("button", { name: "Close", exact: true }).click();
    await page.getByLabel("Reason").selectOption("duplicate");
    expect(await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).isDisabled()).toBe(true);
    await page.getByLabel("Reason").selectOption("benign");
    await note("Change 4711");
    await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).click();
    await page.getByText("Closed: benign").waitFor();
    await does("Open again", () => note("It came back"));
    await page.getByText("It came back").waitFor();
    expect(await page.getByRole("button", { name: "Acknowledge" }).count()).toBe(1);
    expect(await axe(page)).toEqual([]);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("is suppressed with what it matched on, until a time", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto(address);
    await settled(page);
    await page.getByRole("button", { name: "Suppress" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: /^Image = / }).click();
    // A field for typing would obey the override and show another name.
    await dialog.getByTitle("U+202E right-to-left override").first().waitFor();
    expect(await dialog.getByLabel("Value 1").count()).toBe(0);
    await dialog.getByRole("button", { name: "Condition", exact: true }).click();
    await dialog.getByLabel("Field 2").fill("User");
    await dialog.getByLabel("Value 2").fill("CORP\\*");
    await dialog.getByRole("textbox", { name: "Reason" }).fill("Known till software");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "suppress");
    await dialog.getByRole("button", { name: "Suppress", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    await page.goto("/suppressions");
    await settled(page);
    await page.getByText("Known till software").waitFor();
    await page.getByText("User is CORP\\*").first().waitFor();
    await page.locator("main [data-row]").filter({ hasText: "Known till software" }).getByRole("button", { name: /^End/ }).click();
    await page.getByRole("textbox", { name: "Reason" }).fill("Rule fixed");
    await page.getByRole("button", { name: "End it" }).click();
    await page.getByText("Known till software").waitFor({ state: "detached" });
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("an alert of a finding", () => {
  it("shows the finding with its evidence, or that it was taken back", async () => {
    const { page, context, problems } = await as("viewer");
    await page.goto("/alerts/5a1e7000-0000-8000-8000-00000000f001");
    await settled(page);
    const section = page.locator("section").filter({ has: page.getByRole("heading", { name: "The finding it stands for" }) });
    await section.getByText("SubjectUserSid").waitFor();
    await section.locator("a[data-event]").first().waitFor();
    expect(await section.textContent()).not.toContain("\u202e");
    expect(await page.getByRole("heading", { name: "Detections" }).count()).toBe(0);
    expect(await axe(page)).toEqual([]);
    await shoot(page, "finding-alert-fake");
    await section.getByRole("link", { name: "Open the finding" }).click();
    await page.waitForURL(/\/findings\/f-/);
    await page.goto("/alerts/5a1e7000-0000-8000-8000-00000000f002");
    await settled(page);
    await page.getByText("It was taken back by what came in later.").waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("reviews", () => {
  it("are recorded, with the time that each looks back on", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/reviews");
    await settled(page);
    // 48 hours lay between the second and the third.
    await page.locator("main [data-row]").nth(1).getByText("over 36 hours").waitFor();
    expect(await page.locator("main").getByText("over 36 hours").count()).toBe(1);
    await page.getByRole("button", { name: "Record a review" }).click();
    await page.getByRole("textbox", { name: "What was looked at" }).fill("All alerts of the tills");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "review");
    await page.getByRole("dialog").getByRole("button", { name: "Record" }).click();
    await page.locator("main [data-row]").first().getByText("All alerts of the tills").waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  it("stand beside the clocks, which an administrator changes with a reason", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/reviews");
    await settled(page);
    await page.getByText("nobody has changed them").waitFor();
    await page.getByRole("button", { name: "Change the clocks" }).click();
    const dialog = page.getByRole("dialog");
    const send = dialog.getByRole("button", { name: "Change", exact: true });
    await dialog.getByRole("textbox", { name: "Reason" }).fill("New rota");
    await dialog.getByLabel("High: acknowledge within").fill("soon");
    await dialog.getByText("Write 15m, 8h, 7d or nothing.").waitFor();
    expect(await send.isDisabled()).toBe(true);
    await dialog.getByLabel("High: acknowledge within").fill("30m");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "policy");
    await send.click();
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("table", { name: "Clocks of alerts by level" }).getByText("30 minutes").waitFor();
    await page.getByText("New rota").waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  it("are read only for who is no administrator", async () => {
    const { page, context } = await as("viewer");
    await page.goto("/reviews");
    await settled(page);
    await page.getByRole("heading", { name: "Clocks of alerts" }).waitFor();
    expect(await page.getByRole("button", { name: /Record a review|Change the clocks/ }).count()).toBe(0);
    await context.close();
  });
});

describe("rules", () => {
  it("are disabled with a reason that stays on their page", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/rules?q=Scheduled&hit=yes&days=30");
    await settled(page);
    const row = page.locator("main [data-row]").first();
    await row.getByRole("switch").click();
    const reason = page.getByRole("textbox", { name: "Reason" });
    await reason.fill("Too loud until fixed");
    expect(await axe(page)).toEqual([]);
    await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.goto("/rules?q=Scheduled&enabled=no");
    await settled(page);
    await page.locator("main [role=row] a[href^='/rules/']").first().waitFor();
    await page.goto("/rules?tab=refused");
    await settled(page);
    await page.getByText("rules/corp/till.yml:14").waitFor();
    await page.goto("/rules?tab=backfills");
    await settled(page);
    expect(await page.getByRole("progressbar").first().getAttribute("aria-valuenow")).toBe("42");
    await page.getByRole("button", { name: /^Cancel/ }).click();
    await page.getByText("Cancelled").waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  it("are imported from files, once it was seen what is refused", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/rules?tab=packs");
    await settled(page);
    await page.getByRole("button", { name: "Import rules" }).click();
    const dialog = page.getByRole("dialog");
    const choose = (...names: string[]) => dialog.getByLabel("Files", { exact: true }).setInputFiles(names.map((name) => ({ name, mimeType: "text/yaml", buffer: Buffer.from("title: own\n") })));
    await choose("photo.png");
    await dialog.getByRole("textbox", { name: "Pack" }).fill("own rules");
    await dialog.getByRole("textbox", { name: "Reason" }).fill("After the incident of May");
    await dialog.getByRole("button", { name: "Check" }).click();
    await dialog.getByRole("alert").getByText("None of the chosen files is YAML").waitFor();
    await choose("good.yml", "bad.yml");
    await dialog.getByRole("button", { name: "Check" }).click();
    await dialog.getByRole("alert").getByText("is no name for a pack").waitFor();
    await dialog.getByRole("textbox", { name: "Pack" }).fill("own");
    await dialog.getByLabel("Enable").selectOption("all");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "import");
    await dialog.getByRole("button", { name: "Check" }).click();
    const refused = dialog.getByRole("table", { name: "Refused rules of this import" });
    await refused.getByText("bad.yml:3").waitFor();
    await refused.getByText("has no condition").waitFor();
    expect(await dialog.textContent()).not.toContain("\u202e");
    await dialog.getByText("Nothing was imported yet.").waitFor();
    expect(await axe(page)).toEqual([]);
    await shoot(page, "import-checked");
    await dialog.getByRole("button", { name: "Import 1 rule" }).click();
    await dialog.getByRole("button", { name: "Done" }).click();
    await page.locator("main [data-row]").filter({ hasText: "sha-4711" }).waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  it("are found from the palette", async () => {
    const { page, context } = await as("admin");
    await settled(page);
    const field = page.getByRole("combobox", { name: /Find a host/ });
    await page.keyboard.press("Control+k");
    await field.fill("shadow copies");
    await page.getByRole("option").filter({ hasText: "Volume shadow copies" }).first().waitFor();
    await field.press("Enter");
    await page.waitForURL(/\/rules\/[^/]+\/./);
    // While it closes it would take the keys for itself.
    await field.waitFor({ state: "detached" });
    await settled(page);
    await page.keyboard.press("Control+k");
    await field.fill("notif");
    await page.getByRole("option").filter({ hasText: "Notifications" }).first().waitFor();
    await field.press("Enter");
    await page.waitForURL(/\/settings\/notifications/);
    await context.close();
  });
});

describe("notifications", () => {
  it("add a target whose secret is shown once, test it and turn it off", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/settings/notifications");
    await settled(page);
    await page.getByRole("button", { name: "Add target" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: "Name", exact: true }).fill("chat");
    await dialog.getByRole("textbox", { name: "Address" }).fill("https://chat.corp.example/hook/T0P-SECRET");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "target");
    await dialog.getByRole("button", { name: "Add", exact: true }).click();
    const secret = (await page.locator("[data-secret]").textContent()) ?? "";
    expect(secret).toMatch(/^whsec_/);
    await page.getByRole("button", { name: "Done" }).click();
    await settled(page);
    expect(await page.locator("main").textContent()).not.toContain("T0P-SECRET");
    await page.getByRole("button", { name: "Test chat" }).click();
    await page.getByRole("status").filter({ hasText: "Test of chat" }).getByText("Delivered").waitFor();
    await page.getByRole("button", { name: "Test old collector" }).click();
    const refused = page.getByRole("status").filter({ hasText: "Test of old collector" });
    await refused.getByText("Failed").waitFor();
    expect(await refused.textContent()).not.toContain("\u202e");
    await page.getByRole("button", { name: "Disable chat" }).click();
    await page.getByRole("textbox", { name: "Reason" }).fill("Only a try");
    await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
    await page.getByRole("button", { name: "Enable chat" }).waitFor();
    expect(await axe(page)).toEqual([]);
    expect(problems).toEqual([]);
    await context.close();
  });

  it("change a target and keep its secrets to the host they were given for", async () => {
    const { page, context, problems } = await as("admin");
    await page.goto("/settings/notifications");
    await settled(page);
    await page.getByRole("button", { name: "Change siem" }).click();
    const dialog = page.getByRole("dialog");
    const send = dialog.getByRole("button", { name: "Change", exact: true });
    expect(await dialog.getByRole("textbox", { name: "Name", exact: true }).inputValue()).toBe("siem");
    expect(await dialog.getByRole("textbox", { name: "Address" }).inputValue()).toBe("");
    expect(await dialog.getByLabel("Kind").count()).toBe(0);
    await dialog.getByRole("textbox", { name: "Name", exact: true }).fill("siem two");
    await dialog.getByRole("textbox", { name: "Address" }).fill("https://siem2.corp.example/T1P");
    await dialog.getByRole("checkbox", { name: "Medium" }).check();
    expect(await send.isDisabled()).toBe(true);
    await dialog.getByRole("textbox", { name: "Reason" }).fill("New collector");
    expect(await axe(page)).toEqual([]);
    await shoot(page, "target-change");
    await send.click();
    await dialog.getByRole("alert").getByText(/give it anew/).waitFor();
    await dialog.getByLabel("Authorization header").fill("Splunk 1");
    await send.click();
    await dialog.waitFor({ state: "detached" });
    const row = page.locator("main [role=row]").filter({ hasText: "siem two" }).first();
    await row.getByText("https://siem2.corp.example/…").waitFor();
    await row.getByText(/medium/).waitFor();
    expect(await page.locator("main").textContent()).not.toContain("T1P");
    expect(problems).toEqual([]);
    await context.close();
  });

  it("try again what failed", async () => {
    const { page, context } = await as("admin");
    await page.goto("/settings/notifications?state=failed");
    await settled(page);
    const before = await page.getByRole("button", { name: /^Try again to tell/ }).count();
    expect(before).toBeGreaterThan(0);
    await page.getByRole("button", { name: /^Try again to tell/ }).first().click();
    await expect.poll(() => page.getByRole("button", { name: /^Try again to tell/ }).count()).toBe(before - 1);
    await context.close();
  });
});

it("counts on the overview what the list then shows", async () => {
  const { page, context } = await as("viewer");
  await page.goto("/overview");
  await settled(page);
  for (const href of ["/alerts?level=critical", "/alerts?level=critical&overdue=yes", "/alerts?state=open"]) {
    await page.goto("/overview");
    await settled(page);
    const link = page.locator(`main a[href='${href}']`).first();
    await link.waitFor();
    const said = Number(/[\d,]+/.exec((await link.textContent()) ?? "")?.[0].replaceAll(",", ""));
    await link.click();
    await page.waitForURL(/\/alerts\?/);
    await settled(page);
    expect(await total(page), href).toBe(said);
  }
  await context.close();
});
