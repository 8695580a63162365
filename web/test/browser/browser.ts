import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium, type Browser, type BrowserContext, type Cookie, type Page, type Request } from "playwright-core";
import { afterAll, afterEach, TestRunner } from "vitest";
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

// The pages of the test that runs. One that fails closes nothing itself.
const open = new Set<Visit>();
afterEach(async ({ task }) => {
  for (const one of open) {
    if (task.result?.state === "fail") console.log(await seen(one));
    await one.context.close();
  }
  open.clear();
});

/** seen tells what somebody would see on a page, for the report of a test that failed. */
async function seen({ page, problems }: Visit): Promise<string> {
  const focus = await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200));
  return [`at ${page.url()}`, `focus ${focus}`, ...problems, await page.locator("body").ariaSnapshot()].join("\n");
}

/** visit opens a fresh, signed-out page; a test's own is closed after it. */
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
  watch(page);
  const problems: string[] = [];
  page.on("console", (message) => {
    // Chromium reports every refused request; what the console makes of it is tested elsewhere.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) problems.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`thrown: ${error.message}`));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  const made = { page, context, problems };
  if (TestRunner.getCurrentTest() !== undefined) open.add(made);
  return made;
}

/** signIn goes through the form, until the console stands. */
export async function signIn(page: Page, name = user, secret = password): Promise<void> {
  await page.goto("/sign-in");
  await page.locator("input[name=name]").fill(name);
  await page.locator("input[name=password]").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
  // The address changes before the page does, and the sign-in page hears no keys.
  await page.waitForURL(/\/overview/);
  await page.locator("#main h1").waitFor();
}

// Of each user the session that the first test began; nobody signs it out.
const sessions = new Map<string, Cookie[]>();

/** enter goes to the overview signed in, by the form once: a server answers only so many who sign in. */
export async function enter(page: Page, name = user, secret = password): Promise<void> {
  const kept = sessions.get(name);
  if (kept === undefined) {
    await signIn(page, name, secret);
    sessions.set(name, await page.context().cookies());
    return;
  }
  await page.context().addCookies(kept);
  await page.goto("/overview");
  await page.locator("#main h1").waitFor();
}

interface Traffic {
  made: number;
  readonly out: Set<Request>;
}
const traffic = new WeakMap<Page, Traffic>();

/** watch counts the requests that a page makes, and remembers those that are out. */
function watch(page: Page): void {
  const of: Traffic = { made: 0, out: new Set() };
  traffic.set(page, of);
  page.on("request", (request) => {
    of.made++;
    // What is saved from memory is asked of nobody.
    if (request.url().startsWith("http")) of.out.add(request);
  });
  page.on("requestfinished", (request) => of.out.delete(request));
  page.on("requestfailed", (request) => of.out.delete(request));
}

/**
 * settled waits until nothing loads any more: no request is out, all that came is
 * drawn, and drawing it asked for nothing else. Playwright's own networkidle says
 * so once for each document, and is true at once after a step inside of the console.
 */
export async function settled(page: Page): Promise<void> {
  const of = traffic.get(page) ?? { made: 0, out: new Set() };
  let before: number;
  do {
    before = of.made;
    await page.waitForFunction(
      () =>
        new Promise((done) => {
          // A long list draws its rows in the frame after it has measured its place.
          requestAnimationFrame(() =>
            requestAnimationFrame(() =>
              requestIdleCallback(() => done(document.querySelector("[role=status] .sr") === null && document.querySelector("h1") !== null)),
            ),
          );
        }),
    );
  } while (of.out.size > 0 || of.made !== before);
}

/** themed turns a page that follows the system light or dark. */
export async function themed(page: Page, theme: "light" | "dark"): Promise<void> {
  await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
  await page.waitForFunction((wanted) => document.documentElement.dataset.mantineColorScheme === wanted, theme);
  await still(page);
}

/** still waits until nothing on a page changes its colour or place. */
async function still(page: Page): Promise<void> {
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
  await still(page); // half-way colours are nobody's
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
