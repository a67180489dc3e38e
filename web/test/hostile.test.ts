// Texts that are made to deceive, in every field that an agent or a tool writes, on every view.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { launch, leave, person } from "./browser";
import { type Spec, Stack } from "./stack";

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

describe("texts that are made to deceive", () => {
  const hostile = [
    "<img src=x onerror=window.hacked=1>",
    "<script>window.hacked=1</script>",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "{{constructor.constructor('window.hacked=1')()}}",
    "![x](https://track.example.net/p.gif)",
    "a\u202egpj.exe",
    "zero\u200bwidth",
    "\u001b[2J\u001b[32mOK",
    `${" ".repeat(300)}after a gap`,
    "x\u2066y\u2069z",
    "</textarea></title></style>",
    "tag\u{e0041}s",
  ];

  // Codes for terminals are refused in all texts but arguments, results and errors.
  const all = hostile.filter((h) => !h.includes("\u001b")).join(" | ");
  const args = Object.fromEntries(hostile.map((h, i) => [`t${i}`, h]));
  const unseen = ["\u202e", "\u2066", "\u2069", "\u200b", "\u001b", "\u{e0041}"];
  const approve = (id: string) => s.as("bo", "POST", `/api/requests/${id}/approve`, { notes: all });

  /** A call whose tool answers that, in the state that comes of it. */
  async function ended(status: number, body: string, state: string): Promise<string> {
    s.answer = () => ({ status, body });
    const id = await s.asks({ tool: "docs.publish", args: { ...args, state } });
    await approve(id);
    await s.until(id, (r) => r.status === state);
    s.answer = () => ({ status: 200, body: '{"ok": true}' });
    return id;
  }

  test("execute nothing, fetch nothing, and hide nothing, in every field and on every view", async () => {
    const names = hostile.map((h) => h.replace(/[\p{C}]/gu, ""));
    const agent = "bot<img src=x onerror=window.hacked=1>";
    const rejected = await s.asks({
      tool: "docs.publish",
      args: Object.fromEntries(hostile.map((h, i) => [`${names[i]?.slice(0, 40)}${i}`, h])),
      reason: all,
      title: hostile[0],
      description: `${hostile[1]}\n${hostile[6]}`,
      agent,
      session: "s<script>window.hacked=1</script>",
      labels: { "<b>x</b>": "<svg onload=window.hacked=1>" },
    });
    await s.as("bo", "POST", `/api/requests/${rejected}/reject`, { notes: all });
    const again = await s.asks({ tool: "docs.publish", args, reason: all, agent, attempt_of: rejected });
    const done = await ended(200, JSON.stringify({ said: hostile, [hostile[0] ?? ""]: all }), "executed");
    const failed = await ended(422, JSON.stringify({ error: all }), "failed");
    const unknown = await ended(500, all, "outcome_unknown");
    const settled = await ended(500, all, "outcome_unknown");
    await s.as("bo", "POST", `/api/requests/${settled}/settle`, { ran: true, notes: all });
    const cancelled = await s.asks({ tool: "docs.publish", args: { n: 1 } });
    await s.as("ci-runner", "POST", `/api/calls/${cancelled}/cancel`, { notes: all });
    // What an agent runs itself, as it describes it.
    const properties = Object.fromEntries(
      hostile.map((h) => [h, { type: "string", description: all, title: h }]),
    );
    const own = { name: "own.tool", description: all, schema: { type: "object", title: all, properties } };
    await s.as("ci-runner", "PUT", "/api/agents/own-bot/tools", { source: hostile[0], tools: [own] });
    const asked = { tool: "own.tool", agent: "own-bot", execution: "caller", require_approval: true };
    const ran = await s.asks({ ...asked, args: Object.fromEntries(hostile.map((h) => [h, h])) });

    for (const [who, address] of [
      ...[rejected, again, done, failed, unknown, settled, cancelled, ran].map((id) => [
        "ana",
        `/requests/${id}`,
      ]),
      ["ana", "/"],
      ["ana", "/history"],
      ["ana", "/tools"],
      ["ana", "/policy"],
      ["eva", "/audit"],
      ["ana", `/audit?request_id=${rejected}`],
      ["ana", `/audit?request_id=${settled}`],
      ["nobody", `/#signin-failed=${encodeURIComponent(hostile[0] ?? "")}`],
    ] as [string, string][]) {
      const p = await person(b, s, who, address);
      const foreign: string[] = [];
      p.page.on("request", (r) => !r.url().startsWith(s.api) && foreign.push(r.url()));
      await p.page.locator(".row, .tbl, .summary, .cl, .card").first().waitFor();
      await p.page.keyboard.press("o");
      await p.page.waitForTimeout(300);
      const state = await p.page.evaluate(() => ({
        hacked: (window as unknown as { hacked?: number }).hacked,
        made: document.querySelectorAll("#page img, #page script, #page iframe, #page b > x").length,
        text: document.getElementById("page")?.textContent ?? "",
        links: [...document.querySelectorAll("a[href]")].map((a) => a.getAttribute("href") ?? ""),
      }));
      assert.equal(state.hacked, undefined, address);
      assert.equal(state.made, 0, address);
      assert.deepEqual(foreign, [], address);
      assert.deepEqual(p.complaints, [], address);
      for (const c of unseen) {
        assert.ok(
          !state.text.includes(c),
          `${address} has U+${c.codePointAt(0)?.toString(16)}, which can't be seen`,
        );
      }
      for (const l of state.links) assert.match(l, /^[/#]/, address);
      await p.context.close();
    }
    const p = await person(b, s, "ana", `/requests/${again}`);
    for (const mark of ["U+202E", "U+200B", "ESC", "300 spaces", "U+2066", "U+E0041"]) {
      await p.page.locator(".args .u, .data .u", { hasText: mark }).first().waitFor();
    }
    assert.equal(await p.page.getByText("made to look like other text").count(), 1);
  });

  test("are marked, and hide nothing, in every kind of block", async () => {
    // Each text ends with a word of its own, so that the page can be asked for all of them.
    const texts = hostile.map((h, i) => `${h} END${i}`);
    const all = texts.join("\n");
    const one = texts.join(" ");
    const short = texts.filter((text) => text.length < 100); // what is longer makes no table
    const kinds: [shown: string, spec: Spec][] = [
      [".mail", { tool: "mail.send", args: { to: ["a@example.com"], subject: one, body: all } }],
      [".diff", { tool: "files.edit", args: { path: one, old_string: "x", new_string: all } }],
      [
        ".diff .hunk",
        {
          tool: "files.write",
          args: { patch: `--- a\n+++ b\n@@ -1,0 +1,20 @@\n${texts.map((l) => `+${l}`).join("\n")}` },
        },
      ],
      [".code", { tool: "files.write", args: { path: "x.sh", content: `${all}\n${"#".repeat(120)}` } }],
      [".code", { tool: "db.execute", args: { statement: `DELETE FROM x -- ${one}` } }],
      [".code", { tool: "shell.run", args: { argv: texts } }],
      [".text", { tool: "docs.publish", args: { [one.slice(0, 200)]: all } }],
      [
        ".grid",
        {
          tool: "payments.payout",
          args: { rows: short.map((text, i) => ({ [texts[0] ?? ""]: text, n: i })) },
        },
      ],
      [
        ".tree",
        {
          tool: "k8s.apply",
          args: { spec: { a: { b: { c: { d: texts, [texts[1] ?? ""]: { e: [one] } } } } } },
        },
      ],
    ];
    const p = await person(b, s, "ana", "/tools");
    for (const [shown, spec] of kinds) {
      await p.page.goto(`${s.api}/requests/${await s.asks(spec)}`);
      await p.page.locator(shown).first().waitFor();
      await p.page.locator("form.bar").waitFor();
      await p.page.keyboard.press("o");
      const wanted = (shown === ".grid" ? short : texts).map((text) => text.slice(text.lastIndexOf("END")));
      const missing = (text: string) => wanted.filter((word) => !text.includes(word));
      const deadline = Date.now() + 5000;
      let text = "";
      do text = (await p.page.locator("[aria-label=Arguments]").first().textContent()) ?? "";
      while (missing(text).length > 0 && Date.now() < deadline);
      assert.deepEqual(missing(text), [], shown);
      for (const c of ["\u202e", "\u2066", "\u2069", "\u200b", "\u001b", "\u{e0041}"]) {
        assert.ok(!text.includes(c), `${shown} has U+${c.codePointAt(0)?.toString(16)}, which can't be seen`);
      }
      const marks = [/U\+202E/, /U\+200B/, /ESC/, ...(shown === ".grid" ? [] : [/30[01] spaces/])];
      for (const mark of marks) assert.match(text, mark, shown);
      const made =
        "#page img, #page script, #page iframe, #page svg:not(:has(use, g)), .sec [aria-label=Arguments] a";
      assert.equal(await p.page.locator(made).count(), 0, shown);
      assert.equal(await p.page.evaluate(() => "hacked" in window), false, shown);
      assert.deepEqual(p.complaints, [], shown);
    }
  });

  test("honest texts raise no alarm", async () => {
    const honest = readFileSync(new URL("../../test/honest.txt", import.meta.url), "utf8")
      .trim()
      .split("\n");
    const id = await s.asks({
      tool: "docs.publish",
      args: Object.fromEntries(honest.map((h, i) => [`t${i}`, h])),
    });
    const p = await person(b, s, "ana", `/requests/${id}`);
    await p.page.locator("form.bar").waitFor();
    assert.equal(await p.page.locator(".args .u").count(), 0);
    assert.equal(await p.page.getByText("made to look like other text").count(), 0);
  });
});
