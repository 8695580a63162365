import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll } from "vitest";
import { startFake } from "../fake/server";

const { ASSAY_WEB_URL: named, ASSAY_WEB_USER: namedUser, ASSAY_WEB_PASSWORD: namedPassword } = process.env;

// Each file of tests has a fake of its own: what one changes no other sees.
const fake = named === undefined ? await startFake(0) : undefined;
afterAll(() => fake?.stop());

export const baseUrl = fake?.url ?? (named ?? "").replace(/\/$/, "");
export const user = namedUser ?? "admin";
export const password = namedPassword ?? (fake === undefined ? "" : "assay");

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** launch starts Chromium; ASSAY_CHROMIUM names another binary. */
export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.ASSAY_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
}

/** Visit is a page that remembers everything that went wrong on it. */
export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly problems: string[];
}

interface Look {
  readonly theme?: "light" | "dark";
  readonly width?: number;
  readonly height?: number;
}

/** visit opens a fresh, signed-out page. */
export async function visit(browser: Browser, look: Look = {}): Promise<Visit> {
  const context = await browser.newContext({
    baseURL: baseUrl,
    colorScheme: look.theme ?? "light",
    viewport: { width: look.width ?? 1280, height: look.height ?? 900 },
    ignoreHTTPSErrors: true,
    reducedMotion: "reduce",
    acceptDownloads: true,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const problems: string[] = [];
  page.on("console", (message) => {
    // Chromium reports every refused request; what the console makes of it is tested elsewhere.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) problems.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`thrown: ${error.message}`));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  return { page, context, problems };
}

/** signIn goes through the form. */
export async function signIn(page: Page, name = user, secret = password): Promise<void> {
  await page.goto("/sign-in");
  await page.locator("input[name=name]").fill(name);
  await page.locator("input[name=password]").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(/\/overview/);
}

/** settled waits until nothing loads any more. */
export async function settled(page: Page): Promise<void> {
  await page.waitForLoadState("networkidle");
  await page.waitForFunction(() => document.querySelector("[role=status] .sr") === null && document.querySelector("h1") !== null);
}

/** themed turns a page that follows the system light or dark. */
export async function themed(page: Page, theme: "light" | "dark"): Promise<void> {
  await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
  await page.waitForFunction((wanted) => document.documentElement.dataset.mantineColorScheme === wanted, theme);
  // Colours that are inherited change element by element, a frame for each level.
  await page.waitForFunction(() => {
    const seen = window as unknown as { quiet?: number };
    seen.quiet = document.getAnimations().some((one) => one.playState === "running") ? 0 : (seen.quiet ?? 0) + 1;
    return seen.quiet % 6 === 0 && seen.quiet > 0;
  });
}

interface Violation {
  id: string;
  nodes: { target: string[]; failureSummary?: string }[];
}

/** axe lists the violations of WCAG 2.2 A and AA and of good practice, one line each. */
export async function axe(page: Page): Promise<string[]> {
  // Through the debugger and not a script element: the page's own policy stays in force.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axeSource);
  const violations = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: (root: Document, options: object) => Promise<{ violations: Violation[] }> } };
    return (await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })).violations;
  });
  return violations.flatMap((violation) => violation.nodes.map((node) => `${violation.id} ${node.target.join(" ")}: ${node.failureSummary ?? ""}`));
}

/** overflow is by how many pixels the page is wider than its window. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

/** shoot keeps a picture where ASSAY_WEB_SHOTS names a folder. */
export async function shoot(page: Page, name: string): Promise<void> {
  const folder = process.env.ASSAY_WEB_SHOTS;
  if (folder !== undefined) await page.screenshot({ path: `${folder}/${name}.png` });
}

/** places finds the addresses of every route from what this server holds. */
export async function places(page: Page): Promise<Record<string, string>> {
  const out: Record<string, string> = { overview: "/overview", hosts: "/hosts", findings: "/findings?status=all", alerts: "/alerts?state=all", rules: "/rules", packs: "/rules?tab=packs", refused: "/rules?tab=refused", backfills: "/rules?tab=backfills", suppressions: "/suppressions?state=all", reviews: "/reviews", notifications: "/settings/notifications", events: "/events", agents: "/agents", ledger: "/ledger", "ledger-position": "/ledger?position=1", "not-found": "/no/such/page" };
  const first = async (address: string, selector: string): Promise<string | undefined> => {
    await page.goto(address);
    await settled(page);
    const link = page.locator(selector).first();
    if ((await link.count()) === 0) return undefined;
    return (await link.getAttribute("href")) ?? undefined;
  };
  const put = (name: string, address: string | undefined): void => {
    if (address !== undefined) out[name] = address;
  };
  await page.goto("/controls");
  await page.waitForURL(/\/controls\/./);
  out.framework = new URL(page.url()).pathname;
  put("requirement", await first(out.framework, "main [role=row] a[href*='/controls/']"));
  put("host", await first("/hosts", "main [role=row] a[href^='/hosts/']"));
  if (out.host !== undefined) {
    for (const tab of ["coverage", "findings", "streams", "changes"]) out[`host-${tab}`] = `${out.host}?tab=${tab}`;
    out["host-coverage-table"] = `${out.host}?tab=coverage&view=table`;
  }
  put("finding", await first("/findings?status=all", "main [role=row] a[href^='/findings/']"));
  put("alert", await first("/alerts?state=all", "main [role=row] a[href^='/alerts/']"));
  put("finding-alert", await first("/alerts?state=all&pack=checks", "main [role=row] a[href^='/alerts/']"));
  put("rule", await first("/rules", "main [role=row] a[href^='/rules/']"));
  put("check-hosts", await first("/overview", "main [role=row] a[href^='/hosts?check=']"));
  put("event", await first("/events", "main [role=row] a[data-event]"));
  return out;
}
