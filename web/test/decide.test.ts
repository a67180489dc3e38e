// Deciding, by people in browsers of their own, about real calls.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { briefly, launch, leave, type Person, person, press, step } from "./browser";
import { Stack } from "./stack";

let s: Stack;
let b: Browser;

const enter = (who: string, address = "/") => person(b, s, who, address);

before(async () => {
  s = await Stack.start(process.env.PAWL_DEV ?? "");
  b = await launch();
});
afterEach(leave);
after(async () => {
  await b?.close();
  await s?.stop();
});

const answer = (p: Person) => p.page.locator(".answer h4");
const statement = (p: Person) => p.page.locator("#statement");
const approve = (p: Person) => p.page.getByRole("button", { name: /^Approve/ });
const reject = (p: Person) => p.page.getByRole("button", { name: "Reject r", exact: true });
const toReject = (p: Person) => step(() => reject(p).click(briefly), p.page.getByText("reads your notes"));
const armed = (p: Person) =>
  step(() => p.page.keyboard.press("a"), statement(p).getByText("Press Enter to approve"));
const ready = (p: Person) => p.page.locator("button.yes:not([aria-disabled])").waitFor();

describe("deciding", () => {
  test("a call appears live, and is approved", async () => {
    const ana = await enter("ana");
    await ana.page.getByText("No agent has asked for anything yet.").waitFor();
    const id = await s.asks({ tool: "docs.publish", args: { page: "Release notes" } });
    await ana.page.locator(`[data-id="${id}"]`).click();
    await ana.page.getByRole("heading", { name: /docs\.publish/ }).waitFor();
    await press(approve(ana));
    await answer(ana).getByText("Approved. docs.publish is released and runs now.").waitFor();
    await ana.page.getByText(/^Executed at/).waitFor();
    const r = await s.until(id, (r) => r.status === "executed");
    assert.equal(r.decision?.by, "ana");
    assert.deepEqual(
      s.runs.filter((r) => r.tool === "docs.publish").map((r) => JSON.parse(r.body)),
      [{ page: "Release notes" }],
    );
  });

  test("a rejection carries its notes", async () => {
    const id = await s.asks({ tool: "docs.publish", args: { page: "Roadmap" }, agent: "docs-bot" });
    const ana = await enter("ana", `/requests/${id}`);
    await toReject(ana);
    await ana.page.getByText("docs-bot reads your notes").waitFor();
    await ana.page.keyboard.type("Not before the sale.");
    await ana.page.keyboard.press("Control+Enter");
    await answer(ana).getByText("Rejected.").waitFor();
    const r = await s.until(id, (r) => r.status === "rejected" && r.decision !== undefined);
    assert.equal(r.decision?.notes, "Not before the sale.");
    await ana.page.getByText(/^ana rejected this at/).waitFor();
  });

  test("what was not accepted is mended and sent again", async () => {
    const id = await s.asks({ tool: "docs.publish", args: { page: "Long notes" } });
    const ana = await enter("ana", `/requests/${id}`);
    const notes = ana.page.locator("textarea");
    await notes.fill("Because. ".repeat(500));
    await press(approve(ana));
    await statement(ana)
      .getByText("Not accepted: notes is 4500 bytes long; at most 4096 are taken. Nothing was decided.")
      .waitFor();
    assert.equal((await s.look(id)).status, "pending");
    await statement(ana).getByRole("button", { name: "Go there" }).click();
    await ana.page.keyboard.press("Control+a");
    await ana.page.keyboard.type("Because.");
    await statement(ana).getByText("Yours is the last approval it needs").waitFor();
    await press(approve(ana));
    await answer(ana).getByText("Approved. docs.publish is released and runs now.").waitFor();
    assert.equal((await s.until(id, (r) => r.status === "executed")).decision?.notes, "Because.");
  });

  test("two people, stage by stage", async () => {
    const args = { service: "checkout", version: "2.14.1", environment: "production" };
    const id = await s.asks({ tool: "deploy", args });
    const bo = await enter("bo", `/requests/${id}`);
    const cy = await enter("cy", `/requests/${id}`);
    await statement(bo)
      .getByText("If you approve: 1 of 2, then it waits for one person from security.")
      .waitFor();
    await press(approve(bo));
    await answer(bo).getByText("Your approval counts: 1 of 2.").waitFor();
    await bo.page.getByText("It now waits for one person from security.").waitFor();
    await cy.page.locator(".tooth.met", { hasText: "team: bo approved" }).waitFor();
    await cy.page.locator(".tooth.next", { hasText: "security: your turn" }).waitFor();
    await statement(cy).getByText("Yours is the last approval it needs").waitFor();
    await press(approve(cy));
    await answer(cy).getByText("Approved. deploy is released and runs now.").waitFor();
    await s.until(id, (r) => r.status === "executed");
    await bo.page.getByText(/^Executed at/).waitFor();
  });

  test("a second vote is foreseen, and may turn into a rejection", async () => {
    const id = await s.asks({ tool: "payments.payout", args: { amount: 18400, currency: "EUR" } });
    await s.as("bo", "POST", `/api/requests/${id}/approve`, {});
    const bo = await enter("bo", `/requests/${id}`);
    await statement(bo)
      .getByText("Your approval counts already. You may change it to a rejection.")
      .waitFor();
    assert.equal(await approve(bo).getAttribute("aria-disabled"), "true");
    await toReject(bo);
    await bo.page.keyboard.type("The IBAN changed last week.");
    await bo.page.keyboard.press("Control+Enter");
    await answer(bo).getByText("Your rejection counts: 1 of 2.").waitFor();
    const ana = await enter("ana", `/requests/${id}`);
    await ana.page.getByText("1 of 2 rejections that end it:").waitFor();
    await ana.page.locator(".against").getByText("The IBAN changed last week.").waitFor();
  });

  test("of two who race, the slower learns who was faster", async () => {
    const id = await s.asks({ tool: "docs.publish", args: { page: "Race" } });
    const ana = await enter("ana", `/requests/${id}`);
    await ready(ana);
    // The page learns of nothing until after the press.
    let learn = () => {};
    const pressed = new Promise<void>((resolve) => {
      learn = resolve;
    });
    await ana.page.route("**/api/requests**", async (r) => {
      if (r.request().method() === "GET") await pressed;
      await r.continue();
    });
    await s.as("bo", "POST", `/api/requests/${id}/reject`, { notes: "Not all at once." });
    await press(approve(ana));
    learn();
    await answer(ana)
      .getByText(/^Already decided/)
      .waitFor();
    await ana.page.getByText("was not counted.").waitFor();
    assert.equal((await s.look(id)).decision?.by, "bo");
  });

  for (const [first, second] of [
    ["approve", "approve"],
    ["approve", "reject"],
    ["reject", "reject"],
  ] as const) {
    test(`of two pages that ${first} and ${second} together, exactly one settles it`, async () => {
      const page = `Two pages: ${first}, ${second}`;
      const id = await s.asks({ tool: "docs.publish", args: { page } });
      // Both decisions have left before the first arrives.
      let left = 0;
      let go = () => {};
      const both = new Promise<void>((resolve) => {
        go = resolve;
      });
      const racing = [];
      for (const [who, kind] of [
        ["ana", first],
        ["bo", second],
      ] as const) {
        const p = await enter(who, `/requests/${id}`);
        await p.page.route(/\/(approve|reject)$/, async (r) => {
          if (++left === 2) go();
          await both;
          await r.continue();
        });
        await ready(p);
        if (kind === "reject") await toReject(p);
        racing.push({ p, who, kind });
      }
      await Promise.all(
        racing.map(({ p, kind }) =>
          press(kind === "approve" ? approve(p) : p.page.getByRole("button", { name: /^Reject Ctrl/ })),
        ),
      );
      // On a slow machine it takes a while until they are judged.
      const words = await Promise.all(
        racing.map(async ({ p }) => {
          const last = answer(p).getByText(/^(Approved\.|Rejected\.|Already decided)/);
          await last.waitFor();
          return (await last.textContent()) ?? "";
        }),
      );
      const { decision } = await s.until(id, (r) => r.decision !== undefined);
      const won = racing.findIndex((r) => r.who === decision?.by);
      assert.equal(racing[won]?.kind, decision?.kind);
      const done = decision?.kind === "approve" ? "approved" : "rejected";
      assert.match(words[won] ?? "", done === "approved" ? /^Approved\./ : /^Rejected\./);
      // Who it was may be on record only a moment later.
      assert.match(words[1 - won] ?? "", new RegExp(`^Already decided: (${decision?.by} ${done} it|it is )`));
      await s.until(id, (r) => r.status === (decision?.kind === "approve" ? "executed" : "rejected"));
      const ran = s.runs.filter((r) => JSON.parse(r.body).page === page).length;
      assert.equal(ran, decision?.kind === "approve" ? 1 : 0);
    });
  }

  test("silence denies, and the page says so", async () => {
    const id = await s.asks({ tool: "slow.tool", args: {} });
    const ana = await enter("ana", `/requests/${id}`);
    await ana.page.getByText(/^Expired at .* Nobody decided, so it was denied\.$/).waitFor();
    assert.equal((await s.look(id)).status, "expired");
  });

  test("who is in the wrong group is told so before they press", async () => {
    const id = await s.asks({ tool: "iam.grant_role", args: { role: "viewer" } });
    const ana = await enter("ana", `/requests/${id}`);
    await statement(ana).getByText("You are in sre, finance.").waitFor();
    assert.equal(await approve(ana).getAttribute("aria-disabled"), "true");
    await ana.page.locator(`[data-id="${id}"].theirs`).waitFor();
  });

  test("an auditor sees everything and decides nothing", async () => {
    const id = await s.asks({ tool: "docs.publish", args: { page: "Audit" } });
    const eva = await enter("eva", `/requests/${id}`);
    await statement(eva).getByText("Only reviewers decide, and you are not one here.").waitFor();
    for (const button of [approve(eva), reject(eva)]) {
      assert.equal(await button.getAttribute("aria-disabled"), "true");
    }
  });

  test("only the keyboard", async () => {
    const first = await s.asks({ tool: "docs.publish", args: { page: "Keys" } });
    const ana = await enter("ana");
    const { page } = ana;
    await page.locator(`[data-id="${first}"]`).waitFor();
    for (let i = 0; i < 20 && !page.url().endsWith(first); i++) await page.keyboard.press("j");
    assert.ok(page.url().endsWith(first), page.url());
    await armed(ana);
    assert.equal((await s.look(first)).status, "pending");
    // The list is drawn anew, and takes no key from the bar.
    const second = await s.asks({ tool: "docs.publish", args: { page: "More keys" } });
    await page.locator(`[data-id="${second}"]`).waitFor();
    await page.keyboard.press("Escape");
    await statement(ana).getByText("Yours is the last approval").waitFor();
    await armed(ana);
    await page.waitForFunction(() => document.activeElement?.textContent?.startsWith("Approve"));
    await step(() => page.keyboard.press("Enter"), answer(ana).getByText("Approved."));
    await s.until(first, (r) => r.status === "executed");
    await page.keyboard.press("u");
    assert.equal(new URL(page.url()).pathname, "/");
    await page.goto(`${s.api}/requests/${second}`);
    await ready(ana);
    await step(async () => {
      const writing = await page.evaluate(() => document.activeElement?.tagName === "TEXTAREA");
      if (!writing) await page.keyboard.press("r");
    }, page.getByText("reads your notes"));
    await page.keyboard.type("No.");
    await page.keyboard.press("Control+Enter");
    await answer(ana).getByText("Rejected.").waitFor();
  });

  test("a critical call takes a step, whose focus is on going back", async () => {
    const id = await s.asks({ tool: "db.execute", args: { statement: "DELETE FROM sessions" } });
    const ana = await enter("ana", `/requests/${id}`);
    const dialog = ana.page.getByRole("alertdialog", { name: "Approve a critical call?" });
    await step(() => ana.page.keyboard.press("a"), dialog);
    await ana.page.keyboard.press("Enter"); // goes back
    await dialog.waitFor({ state: "detached" });
    assert.equal((await s.look(id)).status, "pending");
    await step(() => ana.page.getByRole("button", { name: /^Approve…/ }).click(briefly), dialog);
    await press(dialog.getByRole("button", { name: "Approve it" }));
    await answer(ana).getByText("Approved. db.execute is released").waitFor();
  });

  test("where a reason is needed, approving is off until there is one", async () => {
    const id = await s.asks({ tool: "reason.tool", args: { a: 1 } });
    const ana = await enter("ana", `/requests/${id}`);
    await statement(ana).getByText("write a reason first.").waitFor();
    await ana.page.getByRole("button", { name: "Write" }).click();
    await ana.page.keyboard.type("Looked at it with bo.");
    await press(approve(ana));
    await answer(ana).getByText("Approved.").waitFor();
    assert.equal((await s.look(id)).decision?.notes, "Looked at it with bo.");
  });

  test("a reason is written and sent by the keyboard alone", async () => {
    const id = await s.asks({ tool: "reason.tool", args: { a: 2 } });
    const ana = await enter("ana", `/requests/${id}`);
    await statement(ana).getByText("write a reason first.").waitFor();
    await ana.page.keyboard.press("a");
    await ana.page.keyboard.type("a reason");
    await ana.page.keyboard.press("Escape"); // leaves the field, and what is in it
    await armed(ana);
    await step(() => ana.page.keyboard.press("Enter"), answer(ana).getByText("Approved."));
    assert.equal((await s.look(id)).decision?.notes, "a reason");
  });

  test("a rejection of several marked calls, each answered on its own", async () => {
    const ids = [
      await s.asks({ tool: "docs.publish", args: { n: 1 } }),
      await s.asks({ tool: "docs.publish", args: { n: 2 } }),
    ];
    const ana = await enter("ana", "/?tool=docs.publish");
    for (const id of ids) {
      await ana.page.locator(`[data-id="${id}"]`).focus();
      await ana.page.keyboard.press("x");
    }
    await ana.page.getByRole("textbox", { name: "Notes for all of them" }).fill("Both are old.");
    await ana.page.getByRole("button", { name: "Reject 2" }).click();
    for (const id of ids) {
      const r = await s.until(id, (r) => r.status === "rejected" && r.decision !== undefined);
      assert.equal(r.decision?.notes, "Both are old.");
    }
    assert.equal(await ana.page.locator(".many li").count(), 2);
  });

  test("the stack dies and comes back under an open page", async () => {
    const id = await s.asks({ tool: "docs.publish", args: { page: "Restart" } });
    const ana = await enter("ana", `/requests/${id}`);
    await ready(ana);
    await ana.page.getByRole("textbox", { name: "Notes" }).fill("kept");
    await s.kill();
    await ana.page.getByText(/^Not connected since/).waitFor();
    await statement(ana).getByText("until this page is connected again").waitFor();
    for (const button of [approve(ana), reject(ana)]) {
      assert.equal(await button.getAttribute("aria-disabled"), "true");
    }
    await s.run();
    await ana.page.getByText(/^Not connected since/).waitFor({ state: "detached", timeout: 30_000 });
    assert.equal(await ana.page.getByRole("textbox", { name: "Notes" }).inputValue(), "kept");
    await press(approve(ana));
    await answer(ana).getByText("Approved.").waitFor();
    await s.until(id, (r) => r.status === "executed");
  });
});
