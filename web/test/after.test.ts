// What comes before and after decisions: signing in and out, settling, and earlier attempts.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser, Locator } from "playwright-core";
import { launch, leave, person, press } from "./browser";
import { policy, ruled, Stack } from "./stack";

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

describe("signing in", () => {
  test("with a token; the address is kept, and signing out ends the session", async () => {
    const id = await s.asks({ tool: "docs.publish", args: { page: "A" } });
    const page = await (await b.newContext()).newPage();
    await page.goto(`${s.api}/requests/${id}`);
    await page.getByLabel("Token").fill("pawl_person_nobody");
    await page.getByRole("button", { name: "Sign in with a token" }).click();
    await page.locator(".field .err").waitFor();
    await page.getByLabel("Token").fill(s.tokens.ana ?? "");
    await page.getByRole("button", { name: "Sign in with a token" }).click();
    await page.locator("form.bar").waitFor();
    assert.ok(page.url().endsWith(id));
    const kept = await page.evaluate(() => sessionStorage.getItem("pawl.token") ?? "");
    assert.ok(kept);
    assert.notEqual(kept, s.tokens.ana);
    assert.deepEqual(await page.context().cookies(), []);
    await page.locator(".who").click();
    await page.getByRole("button", { name: "Sign out", exact: true }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    const again = await fetch(`${s.api}/api/whoami`, { headers: { Authorization: `Bearer ${kept}` } });
    assert.equal(again.status, 401);
  });

  test("with a link, once, and its code does not stay in the address", async () => {
    const { code } = (await s.as("ana", "POST", "/auth/links")) as { code: string };
    const page = await (await b.newContext()).newPage();
    await page.goto(`${s.api}/#signin=${code}`);
    await page.locator(".who", { hasText: "ana" }).waitFor();
    assert.equal(new URL(page.url()).hash, "");
    const second = await (await b.newContext()).newPage();
    await second.goto(`${s.api}/#signin=${code}`);
    await second.locator(".field .err").waitFor();
  });

  test("where nobody is authenticated, people say who they are", async () => {
    const open = await Stack.start(process.env.PAWL_DEV ?? "", "none");
    try {
      const id = await open.asks({ tool: "docs.publish", args: { page: "B" } });
      const page = await (await b.newContext()).newPage();
      await page.goto(`${open.api}/requests/${id}`);
      await page.getByLabel("Name").fill("Zoë");
      await page.getByRole("button", { name: "Go to the queue" }).click();
      await press(page.getByRole("button", { name: /^Approve/ }));
      await page.getByText("Approved. docs.publish is released").waitFor();
      assert.equal((await open.until(id, (r) => r.decision !== undefined)).decision?.by, "Zoë");
    } finally {
      await open.stop();
    }
  });
});

describe("the history", () => {
  /** A day, some days from now. */
  function day(from: number): string {
    const d = new Date();
    d.setDate(d.getDate() + from);
    const two = (n: number) => String(n).padStart(2, "0");
    return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  }

  test("lists all that ended, and by person, by days and by both", async () => {
    const waits = await s.asks({ tool: "docs.publish", args: { page: "Waits" } });
    const ids: Record<string, string> = {};
    for (const who of ["ana", "bo"]) {
      const id = await s.asks({ tool: "docs.publish", args: { page: who }, agent: "history-bot" });
      await s.as(who, "POST", `/api/requests/${id}/reject`, { notes: `no, says ${who}` });
      await s.until(id, (r) => r.status === "rejected");
      ids[who] = id;
    }
    const { page } = await person(b, s, "eva", "/history");
    const row = (id: string | undefined) => page.locator(`.tbl a.mono[href="/requests/${id}"]`);
    const nothing = page.getByText("Nothing matches.", { exact: true });
    const chosen = async (name: string, value: string) => {
      await page.getByLabel(name, { exact: true }).fill(value);
      await page.getByLabel(name, { exact: true }).press("Enter");
    };
    // Nobody has chosen a filter yet.
    await row(ids.ana).waitFor();
    await row(ids.bo).waitFor();
    assert.equal(await row(waits).count(), 0);
    await chosen("Decided by", "ana");
    await row(ids.bo).waitFor({ state: "detached" });
    await row(ids.ana).waitFor();
    assert.equal(new URL(page.url()).search, "?by=ana");
    await chosen("Decided by", "an");
    await nothing.waitFor();
    await chosen("Decided by", "bo");
    await row(ids.bo).waitFor();
    await chosen("To", day(-2));
    await nothing.waitFor();
    await chosen("To", day(1));
    await row(ids.bo).waitFor();
    await chosen("Asked from", day(2));
    await nothing.waitFor();
    await chosen("Asked from", day(-1));
    await row(ids.bo).waitFor();
    assert.equal(await row(ids.ana).count(), 0);
    await chosen("Decided by", "");
    await row(ids.ana).waitFor();
    await chosen("To", "");
    await chosen("Asked from", "");
    await row(ids.bo).waitFor();
    assert.equal(new URL(page.url()).search, "");
  });

  test("of an agent of which nothing has ended says so", async () => {
    const { page } = await person(b, s, "ana", "/history?agent=nobody");
    await page.getByText("Nothing matches.", { exact: true }).waitFor();
    await page.getByLabel("Agent", { exact: true }).fill("history-bot");
    await page.getByLabel("Agent", { exact: true }).press("Enter");
    await page.locator(".tbl tbody tr").nth(1).waitFor();
    assert.equal(await page.locator(".tbl tbody tr").count(), 2);
  });
});

describe("after a decision", () => {
  test("a reviewer says what became of a call whose outcome is unknown", async () => {
    s.answer = () => ({ status: 503, body: "{}" });
    const id = await s.asks({
      tool: "payments.refund",
      args: { amount: 80, currency: "EUR", order: "88-0931" },
    });
    await s.as("bo", "POST", `/api/requests/${id}/approve`, {});
    await s.until(id, (r) => r.status === "outcome_unknown");
    s.answer = () => ({ status: 200, body: '{"ok": true}' });
    const ana = await person(b, s, "ana", `/requests/${id}`);
    const settle = ana.page.getByRole("button", { name: "Settle" });
    await settle.waitFor();
    assert.equal(await settle.getAttribute("aria-disabled"), "true");
    await ana.page.getByRole("radio", { name: /^It did not run/ }).check();
    await ana.page.getByRole("textbox", { name: "How you know" }).fill("Not in the payment system.");
    await settle.click();
    await ana.page.getByText(/^Settled: ana found that it did not run/).waitFor();
    const r = await s.look(id);
    assert.equal(r.settled?.ran, false);
    assert.equal(r.settled?.notes, "Not in the payment system.");
    const eva = await person(b, s, "eva", `/requests/${id}`);
    await eva.page.getByText(/^Settled: ana/).waitFor();
    assert.equal(await eva.page.getByRole("button", { name: "Settle" }).count(), 0);
  });

  test("settling takes the keyboard alone", async () => {
    s.answer = () => ({ status: 503, body: "{}" });
    const id = await s.asks({ tool: "docs.publish", args: { page: "Keys" } });
    await s.as("bo", "POST", `/api/requests/${id}/approve`, {});
    await s.until(id, (r) => r.status === "outcome_unknown");
    s.answer = () => ({ status: 200, body: '{"ok": true}' });
    const { page } = await person(b, s, "ana", `/requests/${id}`);
    await page.getByRole("button", { name: "Settle" }).waitFor();
    const tabTo = async (what: Locator) => {
      for (let presses = 0; presses < 80; presses++) {
        if (await what.evaluate((e) => e === document.activeElement)) return;
        await page.keyboard.press("Tab");
      }
      throw new Error("Tab does not lead there");
    };
    await tabTo(page.getByRole("radio", { name: /^It did run/ }));
    await page.keyboard.press("ArrowDown");
    assert.ok(await page.getByRole("radio", { name: /^It did not run/ }).isChecked());
    await tabTo(page.getByRole("textbox", { name: "How you know" }));
    await page.keyboard.type("The page is not there.");
    await tabTo(page.getByRole("button", { name: "Settle" }));
    await page.keyboard.press("Enter");
    await page.getByText(/^Settled: ana found that it did not run/).waitFor();
    assert.equal((await s.look(id)).settled?.notes, "The page is not there.");
  });

  test("a new attempt shows what became of the one before, and what changed", async () => {
    const first = await s.asks({ tool: "docs.publish", args: { strategy: "all-at-once", n: 12 } });
    await s.as("bo", "POST", `/api/requests/${first}/reject`, { notes: "Not all at once." });
    await s.until(first, (r) => r.decision !== undefined);
    const id = await s.asks({
      tool: "docs.publish",
      args: { strategy: "rolling", n: 12 },
      attempt_of: first,
    });
    const ana = await person(b, s, "ana", `/requests/${id}`);
    await ana.page.getByRole("heading", { name: "Second attempt" }).waitFor();
    await ana.page.getByText("Not all at once.").waitFor();
    await ana.page.locator(".cmp .was", { hasText: "all-at-once" }).waitFor();
    await ana.page.locator(".cmp .now", { hasText: "rolling" }).waitFor();
    assert.deepEqual(ana.complaints, []);
  });

  test("where the policy changed, the page says in what, and what approving does by now", async () => {
    const id = await s.asks({ tool: "docs.publish", args: { page: "Terms" } });
    await s.apply(ruled("docs.publish", "approvals: [{group: security, count: 1}, {count: 2}]"));
    const ana = await person(b, s, "ana", `/requests/${id}`);
    const notice = ana.page.locator(".notice.warn", { hasText: "The policy has changed" });
    // The page asks for it again after 15 s, should Temporal have been too slow to tell.
    await notice.getByText("demands more").waitFor({ timeout: 60_000 });
    await notice.getByText(/Version \d+ became active at \d\d:\d\d/).waitFor();
    assert.equal(await ana.page.locator(".cmp").count(), 0);
    await notice.getByRole("button", { name: "Compare" }).click();
    const compared = ana.page.locator(".cmp.ours");
    const rows = async (name: string) => {
      const row = compared
        .getByRole("row")
        .filter({ has: ana.page.getByRole("rowheader", { name, exact: true }) });
      return (await row.locator("td").allTextContents()).map((t) => t.replace(/[−+]/, ""));
    };
    assert.deepEqual(await rows("approvals"), ["1", "2"]);
    assert.deepEqual(await rows("approvals by security"), ["0", "1"]);
    await ana.page.getByText("If you approve: 1 of 2").waitFor();
    // Both texts are one press away.
    await compared.getByRole("link", { name: /version \d+, active now/ }).click();
    await ana.page.locator(".cl.here", { hasText: "docs.publish" }).waitFor();
    await ana.page.goBack();
    await notice.getByRole("button", { name: "Compare" }).click();
    await compared.getByRole("link", { name: "when it was asked for" }).click();
    await ana.page.locator(".cl.here", { hasText: "approvals: 1, risk_level: low" }).waitFor();
    assert.deepEqual(ana.complaints, []);

    await s.apply(ruled("docs.publish", "deny: true"));
    const bo = await person(b, s, "bo", `/requests/${id}`);
    await bo.page.locator(".notice.stop", { hasText: "nothing runs" }).getByRole("button").click();
    await bo.page.locator(".cmp.ours .now", { hasText: "denied" }).waitFor();
    await s.apply(policy);
    await bo.page.locator(".notice.stop").waitFor({ state: "detached", timeout: 30_000 });
  });

  test("the timeline says a decision once, with its notes, before and after the call ends", async () => {
    const id = await s.asks({ tool: "payments.payout", args: { n: 1 } });
    await s.as("bo", "POST", `/api/requests/${id}/approve`, { notes: "I know them." });
    const ana = await person(b, s, "ana", `/requests/${id}`);
    const said = ana.page.locator("ol.time li", { hasText: /bo (approved|sent)/ });
    await said.getByText("approved: “I know them.” signed in by token").waitFor();
    assert.equal(await said.count(), 1);
    await s.as("cy", "POST", `/api/requests/${id}/approve`, {});
    await s.until(id, (r) => r.status === "executed");
    await ana.page.getByText("Ended: executed.").waitFor();
    assert.equal(await said.count(), 1);
    assert.match((await said.textContent()) ?? "", /approved: “I know them.” signed in by token/);
  });
});

describe("the record", () => {
  // What an administrator of the database can do, past its triggers. Node 20 has no SQLite.
  const CHANGE = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30)
db.execute("DROP TRIGGER entries_are_final")
changed = db.execute("""UPDATE entries SET payload = CAST(replace(CAST(payload AS TEXT), ?, ?) AS BLOB)
    WHERE call = ? AND kind = 'decision.counted'""", sys.argv[3:5] + sys.argv[2:3]).rowcount
db.commit()
assert changed == 1, changed
`;

  const python = spawnSync("python3", ["-c", "import sqlite3"]).status === 0;
  const skip = !(python || process.env.CI === "true") && "needs python3 with sqlite3, to change the database";

  test("says of an entry that somebody changed in the database that it was", { skip }, async () => {
    const ids: string[] = [];
    for (const page of ["Plans", "Pictures"]) {
      const id = await s.asks({ tool: "docs.publish", args: { page }, agent: "record-bot" });
      await s.as("bo", "POST", `/api/requests/${id}/reject`, { notes: "Not before Monday." });
      await s.until(id, (r) => r.status === "rejected");
      ids.push(id);
    }
    const [id = "", other = ""] = ids;
    const file = join(s.data, "data", "pawl.db");
    execFileSync("python3", ["-c", CHANGE, file, id, "Not before Monday.", "Go on, by all means."]);

    const eva = await person(b, s, "eva", "/audit?agent=record-bot&kind=decision.counted");
    const row = (id: string) => eva.page.locator("tr").filter({ has: eva.page.locator(`[href$="${id}"]`) });
    await row(id).getByText("Go on, by all means.").waitFor();
    await row(id).locator(".u", { hasText: "changed: " }).waitFor();
    await row(other).getByText("Not before Monday.").waitFor();
    assert.equal(await eva.page.locator(".u").count(), 1);
    // Reviewers read it with the request.
    for (const [of, marks] of [
      [id, 1],
      [other, 0],
    ] as const) {
      const { page } = await person(b, s, "ana", `/requests/${of}`);
      await page.locator("ol.time li", { hasText: "bo rejected" }).waitFor();
      assert.equal(await page.locator("ol.time .u", { hasText: "this entry was changed" }).count(), marks);
    }
    const ana = await person(b, s, "ana", `/audit?request_id=${id}`);
    await ana.page.locator(".u", { hasText: "changed: " }).waitFor();
    assert.equal(await ana.page.locator(".u").count(), 1);
  });
});
