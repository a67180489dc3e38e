// Chromium for the tests, and a person at the page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import type { Stack } from "./stack";

export async function launch(...args: string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.PAWL_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", ...args],
  });
}

export interface PersonOptions {
  width?: number;
  height?: number;
  dark?: boolean;
  touch?: boolean;
}

/** Somebody at the page. Whatever their browser complains of is kept. */
export interface Person {
  context: BrowserContext;
  page: Page;
  complaints: string[];
}

// A folder with another build of the page, for looking at a change without building Go anew.
const built = process.env.PAWL_WEB;

async function serve(context: BrowserContext, from: string): Promise<void> {
  const types: Record<string, string> = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
  await context.route("**/*", async (route) => {
    const request = route.request();
    const { pathname } = new URL(request.url());
    if (pathname.startsWith("/assets/")) {
      const name = pathname.slice("/assets/".length);
      const contentType = types[name.split(".").at(-1) ?? ""] ?? "text/plain";
      await route.fulfill({ body: readFileSync(join(from, name)), contentType });
    } else if (request.resourceType() === "document") {
      const response = await route.fetch();
      await route.fulfill({ response, body: readFileSync(join(from, "index.html")) });
    } else await route.continue();
  });
}

/** Somebody who looks at an address, and has not signed in. */
export async function visitor(
  b: Browser,
  address: string,
  o: PersonOptions = {},
  prepare?: (context: BrowserContext) => Promise<unknown>,
): Promise<Person> {
  const context = await b.newContext({
    viewport: { width: o.width ?? 1280, height: o.height ?? 880 },
    colorScheme: o.dark ? "dark" : "light",
    hasTouch: o.touch ?? false,
    reducedMotion: "reduce",
    ignoreHTTPSErrors: true, // no authority knows the certificate
  });
  await prepare?.(context);
  if (built) await serve(context, built);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (m) => {
    if (["error", "warning"].includes(m.type()) && !/Failed to load resource/.test(m.text()))
      complaints.push(m.text());
  });
  page.on("pageerror", (e) => complaints.push(String(e)));
  await page.goto(address);
  const p = { context, page, complaints };
  present.push(p);
  return p;
}

/** Somebody who has signed in with their token. */
export async function person(
  b: Browser,
  s: Stack,
  who: string,
  address = "/",
  o: PersonOptions = {},
): Promise<Person> {
  const token = s.tokens[who];
  return visitor(b, s.api + address, o, (context) =>
    context.addInitScript(
      ([name, value]) => {
        if (!sessionStorage.getItem("pawl.test")) sessionStorage.setItem(name ?? "", value ?? "");
        sessionStorage.setItem("pawl.test", "1");
      },
      token ? ["pawl.token", token] : ["pawl.reviewer", who],
    ),
  );
}

const present: Person[] = [];

/** Lets everybody go, after a test: an open page draws itself each second, and takes part in the next test. */
export async function leave(): Promise<void> {
  for (const { context, complaints } of present.splice(0)) {
    await context.close();
    assert.deepEqual(complaints, []);
  }
}

/** Does something until it shows: for half a second after each change, the bar drops presses and keys.
 *  Doing it once more must do nothing. */
export async function step(act: () => Promise<unknown>, shows: Locator): Promise<void> {
  return again(act, shows.waitFor());
}

/** Presses a button until a decision leaves the page. The button must be none that is there afterwards. */
export async function press(button: Locator, act = () => button.click(briefly)): Promise<void> {
  return again(
    act,
    button.page().waitForRequest((r) => r.method() === "POST"),
  );
}

export const briefly = { timeout: 1000 };

async function again(act: () => Promise<unknown>, done: Promise<unknown>): Promise<void> {
  let isDone = false;
  const sign = done.then(() => {
    isDone = true;
  });
  while (!isDone) {
    await act().catch(() => {}); // a button may be gone already
    await Promise.race([sign, new Promise((next) => setTimeout(next, 200))]);
  }
}
