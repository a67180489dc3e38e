// How the page looks: accessibility, contrast and small screens.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import { briefly, launch, leave, type Person, type PersonOptions, person, step } from "./browser";
import { calls } from "./calls";
import { ruled, Stack } from "./stack";

let s: Stack;
let b: Browser;
const ids: Record<string, string> = {};

before(async () => {
  s = await Stack.start(process.env.PAWL_DEV ?? "");
  b = await launch();
  ids.deploy = await s.asks({
    tool: "deploy",
    args: { service: "checkout", version: "2.14.1", environment: "production" },
    reason: "Fix for the rounding error in the basket. All tests are green.",
    session: "s-5f1c",
  });
  await s.as("bo", "POST", `/api/requests/${ids.deploy}/approve`, { notes: "Dashboards are fine." });
  for (const kind of ["mail", "edit", "sql", "shell", "rows", "tree", "hostile"] as const) {
    ids[kind] = await s.asks(calls[kind]);
  }
  ids.deep = await s.asks({
    tool: "k8s.apply",
    args: { spec: { env: [{ name: "A", value: "b" }], n: 3 }, api_key: "x" },
  });
  ids.grant = await s.asks({ tool: "iam.grant_role", args: { role: "viewer" } });
  ids.rejected = await s.asks({ tool: "docs.publish", args: { page: "Roadmap" } });
  await s.as("bo", "POST", `/api/requests/${ids.rejected}/reject`, { notes: "Not all at once." });
  ids.done = await s.asks({ tool: "docs.publish", args: { page: "Notes" } });
  await s.as("bo", "POST", `/api/requests/${ids.done}/approve`, {});
  await s.until(ids.done, (r) => r.status === "executed");
  s.answer = () => ({ status: 422, body: '{"error": "quota exceeded"}' });
  ids.failed = await s.asks({ tool: "docs.publish", args: { page: "Broken" } });
  await s.as("bo", "POST", `/api/requests/${ids.failed}/approve`, {});
  await s.until(ids.failed, (r) => r.status === "failed");
  s.answer = () => ({ status: 500, body: "connection lost" });
  ids.uncertain = await s.asks({ tool: "docs.publish", args: { page: "Lost" } });
  await s.as("bo", "POST", `/api/requests/${ids.uncertain}/approve`, {});
  await s.until(ids.uncertain, (r) => r.status === "outcome_unknown");
  s.answer = () => ({ status: 200, body: '{"ok": true}' });
  ids.again = await s.asks({
    tool: "docs.publish",
    args: { page: "Roadmap", draft: true },
    attempt_of: ids.rejected,
  });
  ids.changed = await s.asks({ tool: "reason.tool", args: { n: 1 } });
  await s.apply(ruled("reason.tool", "approvals: 2, require_reason: true"));
});
afterEach(leave);
after(async () => {
  await b?.close();
  await s?.stop();
});

interface Shown {
  name: string;
  who: string;
  address: string;
  there: string; // a selector of what shows that it is loaded
  do?: (p: Page) => Promise<void>;
}

const views = (): Shown[] => [
  { name: "queue", who: "ana", address: "/", there: ".row .tool" },
  { name: "request", who: "cy", address: `/requests/${ids.deploy}`, there: "form.bar" },
  { name: "critical", who: "ana", address: `/requests/${ids.sql}`, there: "form.bar" },
  { name: "mail", who: "ana", address: `/requests/${ids.mail}`, there: ".mail" },
  { name: "diff", who: "ana", address: `/requests/${ids.edit}`, there: ".diff .ln" },
  { name: "shell", who: "ana", address: `/requests/${ids.shell}`, there: ".cl" },
  { name: "rows", who: "ana", address: `/requests/${ids.rows}`, there: ".grid" },
  { name: "tree", who: "ana", address: `/requests/${ids.tree}`, there: ".tree" },
  { name: "hostile", who: "ana", address: `/requests/${ids.hostile}`, there: ".found" },
  {
    name: "json",
    who: "ana",
    address: `/requests/${ids.tree}`,
    there: ".tree",
    do: async (p) => {
      await p.getByRole("tab", { name: "JSON" }).click();
      await p.locator(".cl").first().waitFor();
    },
  },
  { name: "attempts", who: "ana", address: `/requests/${ids.again}`, there: ".cmp" },
  {
    name: "policy changed",
    who: "ana",
    address: `/requests/${ids.changed}`,
    there: ".notice.warn",
    do: (p) => p.getByRole("button", { name: "Compare" }).click(),
  },
  { name: "failed", who: "ana", address: `/requests/${ids.failed}`, there: ".notice" },
  { name: "settle", who: "ana", address: `/requests/${ids.uncertain}`, there: "form.bar" },
  { name: "not mine", who: "ana", address: `/requests/${ids.grant}`, there: "form.bar" },
  { name: "rejected", who: "ana", address: `/requests/${ids.rejected}`, there: ".notice" },
  { name: "executed", who: "ana", address: `/requests/${ids.done}`, there: ".notice" },
  { name: "unknown", who: "ana", address: "/requests/nothing-here", there: ".notice" },
  { name: "history", who: "ana", address: "/history", there: ".tbl" },
  { name: "audit", who: "eva", address: "/audit", there: ".tbl" },
  { name: "no audit", who: "ana", address: "/audit", there: ".notice" },
  { name: "audit of a request", who: "ana", address: `/audit?request_id=${ids.done}`, there: ".tbl" },
  { name: "no match", who: "ana", address: "/?q=nothing", there: ".none" },
  { name: "policy", who: "ana", address: "/policy", there: ".cl" },
  { name: "rule", who: "ana", address: "/policy#policy.yaml%3A17%20tool%20deploy", there: ".cl.here" },
  { name: "sign-in", who: "nobody", address: "/", there: ".card" },
  { name: "tools", who: "ana", address: "/tools", there: ".tbl" },
  {
    name: "reject step",
    who: "ana",
    address: `/requests/${ids.deep}`,
    there: "form.bar",
    do: (p) => {
      const reject = p.locator(".r1:not(.step) + .r2 .no"); // a phone has no hint of a key in its name
      return step(() => reject.click(briefly), p.getByText("reads your notes"));
    },
  },
  {
    name: "critical step",
    who: "ana",
    address: `/requests/${ids.sql}`,
    there: "button.yes:not([aria-disabled])",
    do: (p) => {
      const approve = p.getByRole("button", { name: /^Approve…/ });
      return step(() => approve.click(briefly), p.getByRole("alertdialog"));
    },
  },
  {
    name: "keys",
    who: "ana",
    address: "/",
    there: ".row",
    do: async (p) => {
      await p.keyboard.press("?");
      await p.getByRole("dialog", { name: "Keys" }).waitFor();
    },
  },
  {
    name: "menu",
    who: "ana",
    address: "/",
    there: ".row",
    do: async (p) => p.locator(".who").click(),
  },
];

const view = (name: string) => views().find((v) => v.name === name) as Shown;

async function seen(v: Shown, o: PersonOptions = {}): Promise<Person> {
  const p = await person(b, s, v.who, v.address, o);
  await arrive(p, v);
  return p;
}

async function arrive(p: Person, v: Shown): Promise<void> {
  await p.page.locator(v.there).first().waitFor();
  await v.do?.(p.page);
}

/** Shows each view to one person after the other, who stay where they are in between. */
async function each(all: Shown[], o: PersonOptions, look: (p: Person, v: Shown) => Promise<void>) {
  for (const who of new Set(all.map((v) => v.who))) {
    const p = await person(b, s, who, "/tools", o);
    for (const v of all.filter((v) => v.who === who)) {
      await p.page.goto(s.api + v.address);
      await arrive(p, v);
      await look(p, v);
      assert.deepEqual(p.complaints, [], v.name);
    }
  }
}

/** What axe finds that is serious, by all of its rules or by those named. */
async function findings(page: Page, ...rules: string[]): Promise<string[]> {
  await page.evaluate(axe.source);
  const result = await page.evaluate(
    (rules) =>
      (window as unknown as { axe: typeof axe }).axe.run(document, {
        resultTypes: ["violations"],
        ...(rules.length > 0 && { runOnly: { type: "rule", values: rules } }),
      }),
    rules,
  );
  return result.violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map(
      (v) =>
        `${v.id}: ${v.help}\n  ${v.nodes.map((n) => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ""}`).join("\n  ")}`,
    );
}

/** Whether something on the page is wider than it: then people must scroll sideways. */
const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** What people touch that is less than 44 px high, with the ground around it that counts as it. */
function lowTargets(): string[] {
  return [
    ...document.querySelectorAll<HTMLElement>("a[href], button, select, textarea, input, label:has(input)"),
  ]
    .filter((e) => {
      const { width, height } = e.getBoundingClientRect();
      if (width <= 4 || (e.localName !== "label" && e.closest("label"))) return false;
      const around = getComputedStyle(e, "::after");
      const more = around.position === "absolute" ? Number.parseFloat(around.top) * -2 : 0;
      return height > 0 && height + Math.max(0, more) < 43;
    })
    .map((e) => `${e.localName}.${e.className}: ${e.textContent || e.getAttribute("placeholder")}`);
}

describe("every view", () => {
  test("has no serious finding of axe, in both themes and in forced colours", async () => {
    await each(views(), {}, async ({ page }, v) => {
      assert.deepEqual(await findings(page), [], v.name);
      await page.emulateMedia({ forcedColors: "active" });
      assert.deepEqual(await findings(page, "color-contrast"), [], `${v.name}, forced colours`);
      await page.emulateMedia({ forcedColors: "none" });
      // Of what axe looks at, only colours differ there.
      await page.emulateMedia({ colorScheme: "dark" });
      assert.deepEqual(await findings(page, "color-contrast", "link-in-text-block"), [], `${v.name}, dark`);
      await page.emulateMedia({ colorScheme: "light" });
    });
  });

  test("fits on 360 px, and has no serious finding there", async () => {
    const others = ["critical step", "menu", "keys"]; // other steps, or other keys
    const small = views().filter((v) => !others.includes(v.name));
    await each(small, { width: 360, height: 760, touch: true }, async ({ page }, v) => {
      assert.ok((await overflow(page)) <= 0, `${v.name} is too wide`);
      const scrolls = page.locator(".scroll:visible, .page").first();
      if ((await scrolls.count()) > 0) {
        await scrolls.evaluate((e) => e.scrollTo(0, e.scrollHeight));
        await page.evaluate(
          () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
        );
        assert.ok((await overflow(page)) <= 0, `${v.name} is too wide at its end`);
        for (const table of await page.locator(".page .wide-table").all()) {
          const inner = await table.evaluate((e) => getComputedStyle(e).overflowY);
          assert.equal(inner, "visible", `${v.name}: only the page scrolls`);
        }
      }
      assert.equal(await page.locator(".grid .heads:visible").count(), 0, "names stand beside their values");
      assert.deepEqual(await page.evaluate(lowTargets), [], `${v.name}: too low to be touched`);
      assert.deepEqual(await findings(page), [], v.name);
    });
  });

  test("can be read in forced colours", async () => {
    const p = await seen(view("request"));
    await p.page.emulateMedia({ forcedColors: "active" });
    assert.equal(await p.page.locator(".risk", { hasText: "High risk" }).first().isVisible(), true);
    assert.deepEqual(await findings(p.page), []);
  });

  test("has decision buttons of 48 px on a phone, and 32 px or more elsewhere", async () => {
    for (const [o, least] of [
      [{ width: 360, height: 760, touch: true }, 48],
      [{}, 32],
    ] as const) {
      const p = await seen(view("json"), o);
      for (const button of await p.page.locator("form.bar .r2 button").all()) {
        assert.ok(((await button.boundingBox())?.height ?? 0) >= least);
      }
    }
  });

  test("has landmarks, a skip link, and its title says what waits", async () => {
    const p = await seen(view("queue"));
    for (const role of ["banner", "main"] as const)
      assert.equal(await p.page.getByRole(role).count(), 1, role);
    assert.equal(await p.page.getByRole("region", { name: "Queue" }).count(), 1);
    await p.page.keyboard.press("Tab");
    assert.equal(await p.page.evaluate(() => document.activeElement?.textContent), "To the request");
    assert.match(await p.page.title(), /^\(\d+\) Pawl$/);
  });

  test("shares the server among eight tabs over plain HTTP", async () => {
    const p = await seen(view("queue"));
    const tabs = await Promise.all(
      Array.from({ length: 7 }, async () => {
        const page = await p.context.newPage();
        await page.goto(`${s.api}/history`);
        return page;
      }),
    );
    for (const t of tabs) await t.locator(".tbl").waitFor();
  });
});

describe("colours", () => {
  // The tokens of the built style sheet, and what stands on what.
  const text: [string, string[]][] = [
    [
      "ink",
      [
        "paper",
        "surface",
        "raised",
        "sunken",
        "data",
        "brass-bg",
        "critical-bg",
        "high-bg",
        "ok-bg",
        "accent-bg",
      ],
    ],
    [
      "ink-2",
      ["paper", "surface", "raised", "sunken", "data", "brass-bg", "critical-bg", "high-bg", "ok-bg"],
    ],
    ["ink-3", ["paper", "surface", "raised", "sunken", "data"]],
    ["accent", ["surface", "raised", "accent-bg", "data"]],
    ["on-accent", ["accent"]],
    ["brass", ["surface", "raised", "brass-bg"]],
    ["low", ["low-bg"]],
    ["medium", ["medium-bg"]],
    ["high", ["surface", "high-bg"]],
    ["surface", ["ink"]], // a filter that is on
    ["critical", ["surface", "critical-bg", "data"]],
    ["on-critical", ["critical"]],
    ["ok", ["surface", "raised", "ok-bg"]],
    ["add-ink", ["add-bg", "add-hit"]],
    ["del-ink", ["del-bg", "del-hit"]],
  ];
  const edges: [string, string[]][] = [
    ["edge", ["paper", "surface", "raised"]],
    ["focus", ["paper", "surface", "raised"]],
    ["hatch", ["data"]],
  ];
  const lines = ["line", "line-2"]; // nothing depends on seeing them

  function luminance(hex: string): number {
    const part = (i: number) => {
      const c = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
  }
  function contrast(a: string, b: string): number {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p) as [number, number];
    return (x + 0.05) / (y + 0.05);
  }

  test("have the contrast that they need, in both themes", async () => {
    const page = await (await fetch(s.api, { headers: { Accept: "text/html" } })).text();
    const sheet = /\/assets\/page-\w+\.css/.exec(page)?.[0];
    const css = await (await fetch(s.api + sheet)).text();
    const long = (c: string) => (c.length === 4 ? `#${[...c.slice(1)].map((d) => d + d).join("")}` : c);
    const tokens = new Map<string, [string, string]>();
    for (const [, name, light, dark] of css.matchAll(/--([\w-]+):\s*light-dark\((#\w+),\s*(#\w+)\)/g)) {
      tokens.set(name ?? "", [long(light ?? ""), long(dark ?? "")]);
    }
    const known = new Set(
      [...text, ...edges].flatMap(([front, grounds]) => [front, ...grounds]).concat(lines),
    );
    const others = [...tokens.keys()].filter((token) => !known.has(token));
    assert.deepEqual(others, [], "say what stands on a new colour, or on what it stands");
    for (const [pairs, least] of [
      [text, 4.9],
      [edges, 3],
    ] as const) {
      for (const [front, grounds] of pairs) {
        for (const ground of grounds) {
          for (const theme of [0, 1] as const) {
            const [f, g] = [tokens.get(front)?.[theme], tokens.get(ground)?.[theme]];
            assert.ok(f && g, `${front} on ${ground} is not in the style sheet`);
            const c = contrast(f, g);
            assert.ok(c >= least, `${front} on ${ground}, ${theme ? "dark" : "light"}: ${c.toFixed(2)}`);
          }
        }
      }
    }
  });
});
