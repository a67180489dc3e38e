// Nobody approves by accident: each guard of the decision bar, and what turns Approve off.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { briefly, launch, leave, type Person, person, press, step } from "./browser";
import { ruled, Stack } from "./stack";

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

const approve = (p: Person) => p.page.getByRole("button", { name: /^Approve/ });
const statement = (p: Person) => p.page.locator("#statement");

/** Waits until the bar has not changed for longer than it is inert after each change. */
const calm = (p: Person) =>
  p.page.evaluate(
    () =>
      new Promise<void>((done) => {
        let timer = setTimeout(done, 600);
        new MutationObserver(() => {
          clearTimeout(timer);
          timer = setTimeout(done, 600);
        }).observe(document.querySelector(".bar") as Node, {
          subtree: true,
          childList: true,
          characterData: true,
        });
      }),
  );

const phone = { width: 360, height: 760, touch: true };

/** Opens a new request of a tool, and counts the decisions that leave the page. */
async function opened(tool: string, args: object, o = {}): Promise<Person & { id: string; sent: string[] }> {
  const id = await s.asks({ tool, args: args as never });
  const p = await person(b, s, "ana", `/requests/${id}`, o);
  const sent: string[] = [];
  p.page.on("request", (r) => r.method() === "POST" && sent.push(r.postData() ?? ""));
  await p.page.locator("form.bar").waitFor();
  return { ...p, id, sent };
}

/** Presses the button of a phone's step, and the one of the dialog that comes then as soon as it is there. */
function pressTwice(): Promise<void> {
  const button = (where: string) => document.querySelector<HTMLButtonElement>(where);
  button(".step + .r2 .yes")?.click();
  return new Promise((done) => {
    const again = () => {
      const sure = button("[role=alertdialog] .crit");
      if (!sure) return requestAnimationFrame(again);
      sure.click();
      return done();
    };
    again();
  });
}

describe("guards", () => {
  test("the second click of a double click decides nothing", async () => {
    const p = await opened("docs.publish", { n: 1 });
    await calm(p);
    await approve(p).dispatchEvent("click", { detail: 2 });
    await approve(p).dispatchEvent("click", { detail: 3 });
    assert.deepEqual(p.sent, []);
    await step(() => approve(p).dblclick(briefly), p.page.locator(".answer h4"));
    assert.equal(p.sent.length, 1);
  });

  test("the bar is inert after a request appears", async () => {
    const p = await opened("docs.publish", { n: 2 });
    const other = await s.asks({ tool: "docs.publish", args: { n: 3 } });
    await p.page.locator(`[data-id="${other}"]`).waitFor();
    await p.page.evaluate(async (id) => {
      const row = document.querySelector<HTMLElement>(`[data-id="${id}"]`);
      const old = document.querySelector("form.bar");
      row?.click();
      for (let i = 0; i < 100; i++) {
        const button = document.querySelector<HTMLElement>("button.yes");
        if (document.querySelector("form.bar") !== old && button) {
          button.click();
          button.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
          return;
        }
        await new Promise((done) => requestAnimationFrame(done));
      }
      throw new Error("the request did not appear");
    }, other);
    assert.deepEqual(p.sent, []);
    assert.equal(await statement(p).getByText("Press Enter").count(), 0);
  });

  test("the bar is inert after it changed by itself", async () => {
    const p = await opened("payments.payout", { amount: 1, currency: "EUR" });
    await calm(p);
    await s.as("bo", "POST", `/api/requests/${p.id}/approve`, {});
    // The press comes in the very moment in which the statement changes.
    await p.page.evaluate(
      () =>
        new Promise<void>((done) => {
          const place = document.getElementById("statement");
          new MutationObserver((_, o) => {
            if (!place?.textContent?.includes("last approval")) return;
            o.disconnect();
            document.querySelector<HTMLElement>("button.yes")?.click();
            done();
          }).observe(place as Node, { childList: true, subtree: true, characterData: true });
        }),
    );
    assert.deepEqual(p.sent, []);
    await press(approve(p));
    await p.page.locator(".answer h4").waitFor();
    assert.equal(p.sent.length, 1);
  });

  test("the bar is inert after the window got the focus", async () => {
    const p = await opened("docs.publish", { n: 4 });
    await calm(p);
    await p.page.evaluate(() => {
      dispatchEvent(new Event("focus"));
      document.querySelector<HTMLElement>("button.yes")?.click();
    });
    assert.deepEqual(p.sent, []);
  });

  test("keys right after arming are dropped, and one that is held down decides nothing", async () => {
    const p = await opened("docs.publish", { n: 5 });
    await calm(p);
    await p.page.keyboard.press("a");
    await p.page.keyboard.press("Enter");
    assert.deepEqual(p.sent, []);
    await p.page.waitForTimeout(400);
    await p.page.keyboard.down("a");
    await p.page.evaluate(() => {
      const held = { key: "Enter", repeat: true, bubbles: true, cancelable: true };
      const taken = document.querySelector("button.yes")?.dispatchEvent(new KeyboardEvent("keydown", held));
      if (taken) throw new Error("a held key would press the button");
    });
    assert.deepEqual(p.sent, []);
    await p.page.keyboard.press("Enter");
    await p.page.locator(".answer h4").waitFor();
    assert.equal(p.sent.length, 1);
  });

  for (const [name, tool, o, open, button] of [
    ["the button of the step for critical calls", "db.execute", {}, /^Approve…/, "Approve it"],
    ["the button of the step on a phone", "docs.publish", phone, /^Approve…/, "Approve it"],
    ["the button that rejects", "docs.publish", {}, /^Reject/, "Reject Ctrl Enter"],
  ] as const) {
    test(`a key that is held down does not press ${name}`, async () => {
      const p = await opened(tool, { n: 5, statement: "SELECT 2" }, o);
      await calm(p);
      const sends = p.page.locator(".bar").getByRole("button", { name: button, exact: !("width" in o) });
      await step(() => p.page.getByRole("button", { name: open }).click(briefly), sends);
      await p.page.waitForTimeout(600);
      await sends.focus();
      // What a browser does while a key is held: it repeats the press, and each would click.
      for (const key of ["Enter", " "]) {
        const taken = await sends.evaluate(
          (b, key) =>
            b.dispatchEvent(
              new KeyboardEvent("keydown", { key, repeat: true, bubbles: true, cancelable: true }),
            ),
          key,
        );
        assert.equal(taken, false, `${key} held down would press it`);
      }
      assert.deepEqual(p.sent, []);
    });
  }

  test("Ctrl and Enter held down reject nothing, pressed anew they do", async () => {
    const p = await opened("docs.publish", { n: 5 });
    await calm(p);
    await step(
      () => p.page.getByRole("button", { name: /^Reject/ }).click(briefly),
      p.page.getByText("reads your notes"),
    );
    await p.page.waitForTimeout(600);
    const notes = p.page.getByRole("textbox", { name: "Notes" });
    for (const which of ["ctrlKey", "metaKey"]) {
      await notes.evaluate(
        (field, which) =>
          field.dispatchEvent(
            new KeyboardEvent("keydown", { key: "Enter", [which]: true, repeat: true, bubbles: true }),
          ),
        which,
      );
    }
    assert.deepEqual(p.sent, []);
    await press(notes, () => p.page.keyboard.press("Control+Enter"));
    await p.page.locator(".answer h4").waitFor();
    assert.equal(p.sent.length, 1);
  });

  for (const [name, decide] of [
    ["an approval", (p: Person) => press(approve(p))],
    [
      "a rejection",
      async (p: Person) => {
        await step(
          () => p.page.getByRole("button", { name: /^Reject/ }).click(briefly),
          p.page.getByText("reads your notes"),
        );
        await press(p.page.getByRole("button", { name: /^Reject Ctrl/ }));
      },
    ],
  ] as const) {
    test(`after ${name} the page stays on the request, while others wait`, async () => {
      const others = [await s.asks({ tool: "docs.publish", args: { n: 50 } })];
      const p = await opened("docs.publish", { n: 51 });
      others.push(await s.asks({ tool: "docs.publish", args: { n: 52 } }));
      for (const id of others) await p.page.locator(`[data-id="${id}"]`).waitFor();
      await calm(p);
      await decide(p);
      await p.page.locator(".answer h4").waitFor();
      await s.until(p.id, (r) => r.status !== "pending");
      await p.page.locator(`.row.gone[data-id="${p.id}"]`).waitFor();
      assert.equal(new URL(p.page.url()).pathname, `/requests/${p.id}`);
      assert.equal(await p.page.locator(".answer h4").count(), 1);
      const next = p.page.getByRole("button", { name: /^Next request/ });
      await step(() => next.click(briefly), p.page.locator("form.bar"));
      assert.notEqual(new URL(p.page.url()).pathname, `/requests/${p.id}`);
    });
  }

  test("no single key decides", async () => {
    const p = await opened("docs.publish", { n: 6 });
    await calm(p);
    for (const key of "abcdefghilmnopqstvwxyz0123456789.".split("")) await p.page.keyboard.press(key);
    await p.page.goto(`${s.api}/requests/${p.id}`);
    await p.page.locator("form.bar").waitFor();
    assert.deepEqual(p.sent, []);
    assert.equal((await s.look(p.id)).status, "pending");
  });

  test("keys can be switched off", async () => {
    const p = await opened("docs.publish", { n: 7 });
    await calm(p);
    await p.page.keyboard.press("?");
    await p.page.getByRole("checkbox", { name: "Single-key shortcuts on" }).uncheck();
    await p.page.keyboard.press("Escape");
    await p.page.keyboard.press("a");
    assert.equal(await statement(p).getByText("Press Enter").count(), 0);
  });

  for (const [size, o, tool, step_, mark] of [
    ["a screen", {}, "docs.publish", /^Reject/, /^Reject/],
    ["a screen", {}, "db.execute", /^Approve…/, /^Approve it/],
    ["a small screen", { width: 900 }, "db.execute", /^Approve…/, /^Approve it/],
    ["a phone", phone, "docs.publish", /^Reject/, /^Reject/],
    ["a phone", phone, "docs.publish", /^Approve…/, /^Approve it/],
    ["a phone", phone, "db.execute", /^Approve…/, /^Approve it/],
  ] as const) {
    test(`what takes the place of a decision's button is harmless: ${tool}, ${mark.source} on ${size}`, async () => {
      const p = await opened(tool, { n: 8, statement: "SELECT 1" }, o);
      await calm(p);
      const bar = p.page.locator(".bar");
      const place = async (name: RegExp) => {
        const box = await bar.getByRole("button", { name }).boundingBox();
        assert.ok(box);
        return box;
      };
      const [yes, no] = [await place(/^Approve/), await place(/^Reject/)];
      await step(
        () => bar.getByRole("button", { name: step_ }).click(briefly),
        bar.getByRole("button", { name: /^Go back/ }),
      );
      const [back, sure] = [await place(/^Go back/), await place(mark)];
      type Box = typeof back;
      const meet = (a: Box, b: Box) =>
        a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
      assert.ok(!meet(sure, yes), "what sends stands where approving stood");
      if (mark.source !== "^Reject") assert.ok(!meet(sure, no), "what approves stands where rejecting stood");
      assert.ok(meet(back, yes), "going back stands where approving stood");
    });
  }

  test("what was not on the screen turns approving off at high risk", async () => {
    const text = Array.from({ length: 150 }, (_, i) => `line ${i}`);
    const args = Object.fromEntries(text.map((t, i) => [`field_${String(i).padStart(3, "0")}`, t]));
    const p = await opened("files.edit", args);
    await statement(p)
      .getByText(/not on your screen yet/)
      .waitFor();
    await calm(p);
    await approve(p).click({ force: true });
    await p.page.keyboard.press("a");
    assert.deepEqual(p.sent, []);
    // Opening the fold shows all of it; n walks through what was not seen.
    await p.page.keyboard.press("o");
    for (
      let i = 0;
      i < 20 &&
      (await statement(p)
        .getByText(/not on your screen/)
        .count()) > 0;
      i++
    ) {
      await p.page.keyboard.press("n");
      await p.page.waitForTimeout(400);
    }
    await statement(p).getByText("Yours is the last approval").waitFor();
    assert.equal(await p.page.getByText("line 149", { exact: true }).count(), 1);
  });

  test("what is too long to lay out counts as seen in the JSON only", async () => {
    const p = await opened("files.edit", { text: `${":\n".repeat(20_001)}rm -rf ~` });
    const missing = statement(p).getByText(/not on your screen/);
    await missing.waitFor();
    const walk = async () => {
      await p.page.keyboard.press("o");
      for (let i = 0; i < 5 && (await missing.count()) > 0; i++) {
        await p.page.keyboard.press("n");
        await p.page.waitForTimeout(400);
      }
    };
    await walk();
    assert.equal(await missing.count(), 1, "the end of the text is in no readable line");
    await p.page.keyboard.press("v");
    await walk();
    await statement(p).getByText("Yours is the last approval").waitFor();
  });

  test("at medium risk that is said, and not enforced", async () => {
    const p = await opened("mail.send", {
      body: Array.from({ length: 300 }, (_, i) => `line ${i}`).join("\n"),
    });
    await statement(p).getByText("Not all of it was on your screen.").waitFor();
    assert.equal(await approve(p).getAttribute("aria-disabled"), null);
  });

  test("hidden characters take a tick", async () => {
    const p = await opened("docs.publish", { id: "a\u200bdmin" });
    await statement(p).getByText("Hidden characters found.").waitFor();
    assert.equal(await approve(p).getAttribute("aria-disabled"), "true");
    await p.page.getByRole("checkbox", { name: "I have read the marked text" }).click();
    await p.page.locator("button.yes:not([aria-disabled])").waitFor();
  });

  test("on a phone, approving always takes a step, and notes stand in it", async () => {
    const p = await opened("docs.publish", { n: 9 }, phone);
    const notes = p.page.getByRole("textbox", { name: "Notes" });
    await step(() => p.page.getByRole("button", { name: /^Approve…/ }).tap(briefly), notes);
    assert.deepEqual(p.sent, []);
    assert.ok(((await notes.boundingBox())?.width ?? 0) > 300, "they have the width of the screen");
    await notes.fill("from the train");
    await press(p.page.getByRole("button", { name: "Approve it" }));
    await p.page.getByText("Approved. docs.publish is released").waitFor();
    assert.match(p.sent[0] ?? "", /from the train/);
  });

  test("on a phone, a reason that is needed is written in that step, at critical risk too", async () => {
    await s.apply(ruled("files.write", "approvals: 1, risk_level: critical, require_reason: true"));
    for (const tool of ["reason.tool", "files.write"]) {
      const p = await opened(tool, { n: 12 }, { width: 360, height: 760, touch: true });
      const notes = p.page.getByRole("textbox", { name: "Notes" });
      await step(() => p.page.getByRole("button", { name: /^Approve…/ }).tap(briefly), notes);
      await statement(p).getByText("write a reason first.").waitFor();
      const go = p.page.locator(".step + .r2 .yes");
      await go.tap({ force: true });
      await notes.fill("Asked bo.");
      await notes.fill(""); // the step stays open
      assert.equal(await go.getAttribute("aria-disabled"), "true");
      await notes.fill("Asked cy.");
      assert.deepEqual(p.sent, []);
      if (tool === "files.write") {
        const dialog = p.page.getByRole("alertdialog");
        await calm(p);
        await p.page.evaluate(pressTwice);
        assert.deepEqual(p.sent, []);
        await press(dialog.getByRole("button", { name: "Approve it" }));
      } else await press(go);
      await p.page.getByText(`Approved. ${tool} is released`).waitFor();
      assert.match(p.sent[0] ?? "", /Asked cy\./);
    }
  });

  test("a decision whose fate is unknown is sent again under one ID", async () => {
    const p = await opened("docs.publish", { n: 10 });
    // It arrives, and its answer gets lost.
    let lost = 0;
    await p.page.route("**/approve", async (r) => {
      if (lost++ > 0) return r.continue();
      await r.fetch();
      await r.abort();
    });
    await press(approve(p));
    await p.page.getByText("We don’t know whether it arrived.").waitFor();
    await press(p.page.getByRole("button", { name: "Send again" }));
    await p.page.getByText("Approved. docs.publish is released").waitFor();
    const ids = p.sent.map((t) => JSON.parse(t).decision_id);
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
    assert.equal((await s.look(p.id)).timeline.filter((e) => e.kind === "decision.counted").length, 1);
  });

  test("while the server is too busy, the same decision is sent again by itself", async () => {
    const p = await opened("docs.publish", { n: 11 });
    const busy = {
      type: "about:blank",
      title: "Busy",
      status: 503,
      detail: "The store is busy.",
      code: "store_unavailable",
    };
    await p.page.route(
      "**/approve",
      (r) => r.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify(busy) }),
      {
        times: 1,
      },
    );
    await press(approve(p));
    await p.page.getByText("Not taken yet: The store is busy.").waitFor();
    await p.page.getByText("Approved. docs.publish is released").waitFor({ timeout: 15_000 });
    assert.equal(new Set(p.sent.map((t) => JSON.parse(t).decision_id)).size, 1);
  });

  test("what is decided on is the digest that was shown", async () => {
    const p = await opened("docs.publish", { n: 12 });
    const { digest } = await s.look(p.id);
    await press(approve(p));
    await p.page.locator(".answer h4").waitFor();
    assert.equal(JSON.parse(p.sent[0] ?? "").digest, digest);
  });
});
