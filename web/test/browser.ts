// Chromium for the tests, and a person at the page.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import type { Stack } from "./stack";

export async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.PAWL_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
}

export interface PersonOptions {
  width?: number;
  height?: number;
  dark?: boolean;
  touch?: boolean;
}

/** Somebody who has signed in and looks at an address. Whatever the browser complains of is kept. */
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

export async function person(
  b: Browser,
  s: Stack,
  who: string,
  address = "/",
  o: PersonOptions = {},
): Promise<Person> {
  const context = await b.newContext({
    viewport: { width: o.width ?? 1280, height: o.height ?? 880 },
    colorScheme: o.dark ? "dark" : "light",
    hasTouch: o.touch ?? false,
    reducedMotion: "reduce",
  });
  const token = s.tokens[who];
  await context.addInitScript(
    ([name, value]) => {
      if (!sessionStorage.getItem("pawl.test")) sessionStorage.setItem(name ?? "", value ?? "");
      sessionStorage.setItem("pawl.test", "1");
    },
    token ? ["pawl.token", token] : ["pawl.reviewer", who],
  );
  if (built) await serve(context, built);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (m) => {
    if (["error", "warning"].includes(m.type()) && !/Failed to load resource/.test(m.text()))
      complaints.push(m.text());
  });
  page.on("pageerror", (e) => complaints.push(String(e)));
  await page.goto(s.api + address);
  return { context, page, complaints };
}
