// The queue, as somebody sees it who looks at it, and what survives their signing in.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { launch, leave, type Person, person, press } from "./browser";
import { Calls } from "./listed";
import { Stack } from "./stack";

let s: Stack;
let b: Browser;

before(async () => {
  s = await Stack.start(process.env.PAWL_DEV ?? "");
  b = await launch();
});
afterEach(leave);
after(async () => {
  await b?.close();
  await s?.stop();
});

const row = (p: Person, id: string) => p.page.locator(`.row[data-id="${id}"]`);
const asks = (n: number) => s.asks({ tool: "docs.publish", args: { n } });

describe("the queue", () => {
  test("says so while more calls wait than were loaded, and counts no more than it has", async () => {
    const calls = new Calls();
    calls.add(250);
    for (const [i, c] of calls.all.entries()) {
      Object.assign(c, { tool: `tool.${c.id}`, you: { may: ["approve", "reject"] } });
      c.deadline = new Date(Date.now() + 3_600_000 + i * 1000).toISOString();
    }
    const late = calls.all[200];
    if (late) late.deadline = new Date(Date.now() - 1000).toISOString();
    const p = await person(b, s, "ana", "/history");
    await p.page.route("**/api/requests?status=pending*", async (r) => {
      const { pathname, search } = new URL(r.request().url());
      await r.fulfill({ json: calls.answer(pathname + search).body });
    });
    await p.page.reload(); // it had asked the server itself
    await p.page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Queue" }).click();
    await p.page.getByText("Here are the 100 of 250 whose time ends first.").waitFor();
    await p.page.waitForFunction(() => document.title === "(100+) Pawl");
    assert.equal(await p.page.locator(".group .count").textContent(), "100+");
    await p.page.getByText("250 calls wait.").waitFor();
    await p.page.getByRole("button", { name: "All 250" }).waitFor();
    // A time that is over is said to be ending, until the server says what came of it.
    assert.match((await row(p, "c201").locator(".left").textContent()) ?? "", /^ending/);
    const search = p.page.getByRole("searchbox", { name: "Search the queue" });
    await search.fill("tool.c240");
    await p.page.getByText("Nothing matches so far. Load more to look further.").waitFor();
    await p.page.getByRole("button", { name: "Clear filters" }).waitFor();
    await p.page.getByRole("button", { name: "Load more", exact: true }).click();
    await p.page.getByText("Here are the 200 of 250 whose time ends first.").waitFor();
    await p.page.getByRole("button", { name: "Load more", exact: true }).click();
    await row(p, "c240").waitFor();
    await search.fill("");
    await p.page.waitForFunction(() => document.title === "(250) Pawl");
    assert.equal(await p.page.getByText("Here are the").count(), 0);
    assert.equal(await p.page.locator(".group .count").textContent(), "250");
  });

  test("counts down, and never shows more than is left", async () => {
    const id = await s.asks({ tool: "mail.send", args: { to: "a@example.com" } });
    const end = Date.parse((await s.look(id)).deadline ?? "");
    const p = await person(b, s, "ana");
    const shown = async () => {
      const text = await row(p, id).locator(".left").textContent();
      const [, minutes, seconds] = /^(\d+):(\d\d)/.exec(text ?? "") ?? [];
      assert.ok(minutes && seconds, text ?? "");
      return Number(minutes) * 60 + Number(seconds);
    };
    await row(p, id).waitFor();
    const first = await shown();
    // The page's clock is the server's to half a second.
    assert.ok(
      first * 1000 <= end - Date.now() + 2000,
      `${first} s are shown, ${end - Date.now()} ms are left`,
    );
    assert.ok(first > 48 * 60);
    await p.page.waitForFunction(
      ([id, first]) => !document.querySelector(`.row[data-id="${id}"] .left`)?.textContent?.startsWith(first),
      [id, `${Math.floor(first / 60)}:${String(first % 60).padStart(2, "0")}`] as const,
    );
    assert.ok((await shown()) < first);
  });

  test("moves nothing under the pointer", async () => {
    const [first, second] = [await asks(1), await asks(2)];
    const p = await person(b, s, "ana", "/?tool=docs.publish");
    await row(p, second).waitFor();
    await row(p, second).hover();
    const places = async () => [await row(p, first).boundingBox(), await row(p, second).boundingBox()];
    const before = await places();
    const third = await asks(3);
    await p.page.getByRole("button", { name: /^1 new call/ }).waitFor();
    assert.equal(await row(p, third).count(), 0);
    // The line about new calls stands above the list, whose rows keep their order.
    await s.as("bo", "POST", `/api/requests/${first}/reject`, {});
    await p.page.locator(`.row.gone[data-id="${first}"]`, { hasText: "rejected by bo" }).waitFor();
    const after = await places();
    const between = (of: typeof before) => (of[1]?.y ?? 0) - (of[0]?.y ?? 0);
    assert.equal(between(after), between(before));
    await p.page.keyboard.press(".");
    await row(p, third).waitFor();
    const fourth = await asks(4);
    await p.page.getByRole("button", { name: /^1 new call/ }).waitFor();
    await p.page.mouse.move(1000, 500);
    await row(p, fourth).waitFor();
  });

  test("shows what somebody can decide behind more of others' calls than it has loaded", async () => {
    const grants = (n: number) =>
      s.asks({ tool: "iam.grant_role", args: { n }, session: "grants", timeout: "15m" });
    const ids = await Promise.all(Array.from({ length: 105 }, (_, i) => grants(i)));
    const own = await s.asks({ tool: "docs.publish", args: { n: 50 }, timeout: "2h" });
    const p = await person(b, s, "ana"); // the grants take somebody from security
    const mine = p.page.locator('ul[aria-labelledby="mine"] .row');
    const theirs = p.page.locator('ul[aria-labelledby="theirs"] .row');
    await row(p, own).waitFor();
    await p.page.getByText(/^Here are the 100 of \d+ whose time ends first, and yours behind them/).waitFor();
    assert.equal(
      await p.page.locator(".row").first().getAttribute("data-id"),
      await mine.first().getAttribute("data-id"),
    );
    assert.equal(await mine.last().getAttribute("data-id"), own);
    assert.equal(await theirs.count(), 100);
    await row(p, own).click();
    await press(p.page.getByRole("button", { name: /^Approve/ }));
    await p.page.locator(`.row.gone[data-id="${own}"]`, { hasText: "approved" }).waitFor(); // or still on its way
    // For somebody from security, the grants themselves are in front.
    const cy = await person(b, s, "cy");
    await row(cy, ids[0] ?? "").waitFor();
    assert.equal(await cy.page.locator('ul[aria-labelledby="theirs"]').count(), 0);
    await s.as("root", "POST", "/api/sessions/grants/cancel", {});
    for (const id of ids) await s.until(id, (r) => r.status === "cancelled");
    await p.page.getByText("Here are the").waitFor({ state: "detached" });
  });

  test("has in front what ends first, however many are newer, and strikes out nothing that waits", async () => {
    const publishes = (n: number, timeout: string) =>
      s.asks({ tool: "docs.publish", args: { n }, agent: "writer", timeout });
    const oldest = await publishes(100, "30m");
    const newer = await Promise.all(Array.from({ length: 110 }, (_, i) => publishes(101 + i, "45m")));
    const { total } = (await s.as("root", "GET", "/api/requests?limit=1")) as { total: number };
    const p = await person(b, s, "ana");
    const says = (here: number, of: number) =>
      p.page.getByText(`Here are the ${here} of ${of} whose time ends first.`).waitFor();
    const first = () => p.page.locator(".row").first().getAttribute("data-id");
    await says(100, total);
    assert.equal(await first(), oldest);
    const last = await publishes(300, "1h");
    await says(100, total + 1);
    assert.equal(await row(p, last).count(), 0);
    const nearest = await publishes(301, "10m");
    await row(p, nearest).waitFor();
    await says(101, total + 2);
    assert.equal(await first(), nearest);
    await s.as("bo", "POST", `/api/requests/${oldest}/reject`, {});
    await p.page.locator(`.row.gone[data-id="${oldest}"]`, { hasText: "rejected by bo" }).waitFor();
    assert.equal(await p.page.locator(".row.gone").count(), 1);
    await p.page.getByRole("button", { name: "Load more", exact: true }).click();
    await row(p, last).waitFor();
    assert.equal(await p.page.locator(".row").last().getAttribute("data-id"), last);
    for (const id of newer) assert.equal(await row(p, id).count(), 1);
    assert.equal(await p.page.locator(".row.gone").count(), 1);
  });
});

describe("signing in at the issuer", () => {
  const withOIDC = (p: Person) =>
    p.page.route("**/auth/session", (r) =>
      r.request().method() === "GET" ? r.fulfill({ json: { oidc: true, tokens: true } }) : r.continue(),
    );

  test("says why it failed", async () => {
    const p = await person(b, s, "nobody");
    await withOIDC(p);
    await p.page.goto(`${s.api}/history?status=expired#signin-failed=refused`);
    await p.page.getByRole("alert").getByText("Your company account may not use this Pawl.").waitFor();
    await p.page.getByRole("link", { name: "Continue with your company account" }).waitFor();
    assert.equal(new URL(p.page.url()).hash, "");
    assert.equal(new URL(p.page.url()).search, "?status=expired");
  });

  test("keeps the address and the notes", async () => {
    const id = await asks(5);
    const p = await person(b, s, "ana", `/requests/${id}#part`);
    await withOIDC(p);
    // A page elsewhere, which sends them back at once.
    await p.page.route("**/auth/login?*", (r) => {
      const to = new URL(r.request().url()).searchParams.get("to") ?? "";
      const body = `<script>location.replace(${JSON.stringify(s.api + to)})</script>`;
      return r.fulfill({ contentType: "text/html", body });
    });
    await p.page.getByRole("textbox", { name: "Notes" }).fill("Looked at it with bo.");
    await p.page.evaluate(() => sessionStorage.setItem("pawl.token", "pawl_ended"));
    await asks(6); // what changes is asked for with that token
    await p.page.getByRole("heading", { name: "Signed out" }).waitFor();
    await p.page.evaluate((token) => sessionStorage.setItem("pawl.token", token ?? ""), s.tokens.ana);
    await p.page.getByRole("link", { name: "Continue with your company account" }).click();
    const notes = p.page.getByRole("textbox", { name: "Notes" });
    await notes.waitFor();
    assert.equal(await notes.inputValue(), "Looked at it with bo.");
    const { pathname, hash } = new URL(p.page.url());
    assert.deepEqual([pathname, hash], [`/requests/${id}`, "#part"]);
  });
});
