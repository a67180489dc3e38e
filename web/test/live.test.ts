// How tabs learn of changes: by one stream for all of a person's, or by asking.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launch } from "./browser";
import { CountingProxy } from "./proxy";
import { Stack } from "./stack";

let s: Stack;
let p: CountingProxy;
let b: Browser;
const contexts: BrowserContext[] = [];

before(async () => {
  s = await Stack.start(process.env.PAWL_DEV ?? "");
  p = await CountingProxy.start(s);
  b = await launch();
});
after(async () => {
  await b?.close();
  p?.stop();
  await s?.stop();
});

async function browser(): Promise<BrowserContext> {
  for (const c of contexts.splice(0)) await c.close();
  await until("the streams of the last test have ended", () => p.open === 0);
  const c = await b.newContext({ reducedMotion: "reduce" });
  c.setDefaultTimeout(15_000);
  contexts.push(c);
  return c;
}

/** Opens a tab of somebody who has signed in, and waits until it shows the queue. */
async function tab(c: BrowserContext, bearer: string, address = "/"): Promise<Page> {
  const page = await c.newPage();
  await page.addInitScript((value) => {
    if (!sessionStorage.getItem("pawl.test")) sessionStorage.setItem("pawl.token", value);
    sessionStorage.setItem("pawl.test", "1");
  }, bearer);
  await page.goto(p.api + address);
  await page.locator('.list[aria-busy="false"]').waitFor();
  return page;
}

async function bearer(who: string): Promise<string> {
  const made = (await s.as(who, "POST", "/auth/session", { token: s.tokens[who] })) as { bearer: string };
  return made.bearer;
}

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await done())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

const asks = () => s.asks({ tool: "docs.publish", args: { page: "Live" } });
const row = (page: Page, id: string) => page.locator(`.row[data-id="${id}"]`);
const live = (page: Page) => page.locator(".link-state.live").waitFor();
const signedOut = (page: Page) => page.getByRole("heading", { name: "Sign in" }).waitFor();

/** Makes the tab one that can't be seen, or that can. */
async function show(page: Page, seen: boolean): Promise<void> {
  await page.evaluate(
    (state) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, value: state });
      document.dispatchEvent(new Event("visibilitychange"));
    },
    seen ? "visible" : "hidden",
  );
}

describe("one stream", () => {
  test("serves eight tabs, and another tab takes it over when its own is closed", async () => {
    const c = await browser();
    const before = p.opened;
    const tabs: Page[] = [];
    // Each signs in by itself, as on loopback they do.
    for (let i = 0; i < 8; i++) tabs.push(await tab(c, await bearer("ana")));
    await Promise.all(tabs.map(live));
    assert.deepEqual([p.open, p.opened - before], [1, 1]);
    const id = await asks();
    await Promise.all(tabs.map((t) => row(t, id).waitFor()));
    await s.as("bo", "POST", `/api/requests/${id}/reject`, {});
    await Promise.all(tabs.map((t) => t.locator(`.row.gone[data-id="${id}"]`).waitFor()));
    assert.deepEqual([p.open, p.opened - before], [1, 1]);
    for (let left = 7; left > 4; left--) {
      await tabs.shift()?.close();
      await until("one of the other tabs listens", () => p.open === 1 && p.opened - before === 9 - left);
      const next = await asks();
      await Promise.all(tabs.map((t) => row(t, next).waitFor()));
      await Promise.all(tabs.map(live));
    }
  });

  test("is not asked for beside, and the queue is loaded for changes alone", async () => {
    const c = await browser();
    const ana = await tab(c, await bearer("ana"));
    await live(ana);
    const loads = p.loads;
    const began = Date.now();
    const id = await asks();
    await row(ana, id).waitFor();
    // By the clock of two seconds there would be two loads in four seconds.
    await ana.waitForTimeout(Math.max(0, began + 4100 - Date.now()));
    const changes = 3; // a call is put on record in several steps
    assert.ok(p.loads - loads <= changes, `${p.loads - loads} loads`);
  });

  test("is one person's, and signing out ends it in all tabs", async () => {
    const c = await browser();
    const mine = [await tab(c, await bearer("ana")), await tab(c, await bearer("ana"))];
    const bo = await tab(c, await bearer("bo"));
    await Promise.all([...mine, bo].map(live));
    assert.equal(p.open, 2);
    const bearers = await Promise.all(
      mine.map((t) => t.evaluate(() => sessionStorage.getItem("pawl.token"))),
    );
    await mine[1]?.locator(".who").click();
    await mine[1]?.getByRole("button", { name: "Sign out", exact: true }).click();
    await Promise.all(mine.map(signedOut));
    await until("only bo listens", () => p.open === 1);
    for (const bearer of bearers) {
      await until("the session has ended", async () => {
        const headers = { Authorization: `Bearer ${bearer}` };
        return (await fetch(`${s.api}/api/whoami`, { headers })).status === 401;
      });
    }
    const id = await asks();
    await row(bo, id).waitFor();
    assert.equal(await mine[0]?.locator(".row").count(), 0);
  });

  test("ends in all tabs when the token is revoked", async () => {
    const c = await browser();
    const made = (await s.as("root", "POST", "/api/tokens", { subject: "zoe", roles: ["reviewer"] })) as {
      id: string;
      token: string;
    };
    s.tokens.zoe = made.token;
    const tabs = [await tab(c, await bearer("zoe")), await tab(c, await bearer("zoe"))];
    await Promise.all(tabs.map(live));
    if (tabs[1]) await show(tabs[1], false);
    await s.as("root", "POST", `/api/tokens/${made.id}/revoke`);
    await Promise.all(tabs.map((t) => t.getByRole("heading", { name: "Signed out" }).waitFor()));
    await until("nobody listens", () => p.open === 0);
  });

  test("is opened again after cuts and a restart of the API, and everything is loaded again", async () => {
    const c = await browser();
    const tabs = [await tab(c, await bearer("ana")), await tab(c, await bearer("ana"))];
    await Promise.all(tabs.map(live));
    p.cut();
    const id = await asks();
    await Promise.all(tabs.map((t) => row(t, id).waitFor()));
    await until("one listens again", () => p.open === 1);
    await s.kill();
    await Promise.all(tabs.map((t) => t.getByText(/^Not connected since/).waitFor()));
    await s.run();
    await Promise.all(tabs.map(live));
    assert.equal(p.open, 1);
    const next = await asks();
    await Promise.all(tabs.map((t) => row(t, next).waitFor()));
  });

  test("that is silent, as when nobody tells that a connection is gone, is opened again", async () => {
    const c = await browser();
    const tabs = [await tab(c, await bearer("ana")), await tab(c, await bearer("ana"))];
    await Promise.all(tabs.map(live));
    const before = p.opened;
    p.silence();
    await until("another stream is opened", () => p.opened > before);
    const id = await asks();
    await Promise.all(tabs.map((t) => row(t, id).waitFor()));
    await Promise.all(tabs.map(live));
    assert.equal(p.open, 1);
  });

  test("reaches tabs that can't be seen, which have no timers", async () => {
    const c = await browser();
    const [first, second] = [await tab(c, await bearer("ana")), await tab(c, await bearer("ana"))];
    await Promise.all([first, second].map(live));
    const id = await asks();
    await Promise.all([first, second].map((t) => row(t, id).waitFor()));
    for (const t of [first, second]) {
      await show(t, false);
      await t.evaluate(() => {
        const timers: number[] = [];
        Object.assign(window, { timers });
        const [once, again] = [setTimeout, setInterval];
        const counted = { setTimeout: once, setInterval: again };
        for (const [name, set] of Object.entries(counted))
          Object.assign(window, {
            [name]: (act: () => void, wait = 0) => {
              // Preact draws in the next frame, or after a tenth of a second without one.
              if (name === "setInterval" || wait > 100) timers.push(wait);
              return set(act, wait);
            },
          });
      });
    }
    await s.as("bo", "POST", `/api/requests/${id}/reject`, {});
    for (const t of [first, second]) {
      await t.locator(`.row.gone[data-id="${id}"]`).waitFor({ state: "attached" });
      assert.deepEqual(await t.evaluate(() => Reflect.get(window, "timers")), []);
    }
    await first.close();
    await until("the other tab listens", () => p.open === 1);
    const next = await asks();
    await row(second, next).waitFor({ state: "attached" });
  });
});

describe("without a stream", () => {
  test("the page says so, asks, and lets people decide; once there is one it is live", async () => {
    p.refuse = true;
    const c = await browser();
    try {
      const ana = await tab(c, await bearer("ana"));
      await ana.locator(".link-state.off", { hasText: "Not live" }).waitFor();
      const id = await asks();
      await row(ana, id).waitFor();
      assert.equal(await ana.getByText(/^Not connected since/).count(), 0);
      await row(ana, id).click();
      await ana.locator("button.yes:not([aria-disabled])").waitFor();
      p.refuse = false;
      await live(ana);
    } finally {
      p.refuse = false;
    }
  });

  test("of a browser without locks, each tab asks", async () => {
    const c = await browser();
    const before = p.opened;
    await c.addInitScript(() => {
      Object.defineProperty(Navigator.prototype, "locks", { value: undefined });
    });
    const tabs = [await tab(c, await bearer("ana")), await tab(c, await bearer("ana"))];
    const id = await asks();
    await Promise.all(tabs.map((t) => row(t, id).waitFor()));
    for (const t of tabs) await t.locator(".link-state.off", { hasText: "Not live" }).waitFor();
    assert.equal(p.opened, before);
  });
});
