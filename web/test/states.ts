// Every state of the page that a picture is taken of.
import type { Page, Route } from "playwright-core";
import type { PersonOptions } from "./browser";
import { calls } from "./calls";
import type { askAll } from "./callstates";
import type { Spec, Stack } from "./stack";

export interface Shot {
  name: string;
  who?: string;
  address: string;
  there: string;
  size?: PersonOptions;
  do?: (p: Page) => Promise<void>;
  once?: boolean; // it changes what it shows
}

/** IDs of calls by their names. */
export type Calls = Awaited<ReturnType<typeof askAll>>;

const phone = { width: 360, height: 760, touch: true };

/** Waits until the bar takes presses, and presses. */
async function press(p: Page, name: RegExp) {
  await p.locator("form.bar").waitFor();
  await p.waitForTimeout(600);
  await p.getByRole("button", { name }).click();
}
const down = (to: number) => async (p: Page) => {
  await p.locator(".scroll").evaluate((e, top) => e.scrollTo(0, top), to);
  await p.waitForTimeout(200);
};

/** Opens a new call, which the picture may change. */
async function fresh(s: Stack, p: Page, spec: Spec): Promise<string> {
  const id = await s.asks(spec);
  await p.goto(`${s.api}/requests/${id}`);
  await p.locator("form.bar, .notice").first().waitFor();
  return id;
}

/** What the server answers to an approval. */
const problem = (status: number, code: string, title: string, detail: string) => (r: Route) =>
  r.fulfill({
    status,
    contentType: "application/problem+json",
    body: JSON.stringify({ type: "about:blank", status, code, title, detail }),
  });

const shownAnswer = ".answer:not(.busy) h4";

let nth = 0;
/** A new call is approved, and the page gets this answer. */
const answered = (
  s: Stack,
  how: (r: Route, id: string) => Promise<unknown>,
  shown = shownAnswer,
  timeout = "1h",
) => {
  return async (p: Page) => {
    const id = await fresh(s, p, { ...calls.publish, timeout, args: { page: `Changelog ${nth++}` } });
    await p.route("**/approve", (r) => how(r, id));
    await press(p, /^Approve/);
    await p.locator(shown).waitFor();
  };
};

/** Every state of the page. */
export function states(s: Stack, id: Calls): Shot[] {
  const at = (name: keyof typeof id) => `/requests/${id[name]}`;
  return [
    { name: "queue", who: "cy", address: at("deploy"), there: "form.bar" },
    { name: "stages", who: "bo", address: at("deploy"), there: "form.bar" },
    { name: "table", address: at("money"), there: "form.bar" },
    { name: "mail", address: at("mail"), there: "form.bar" },
    { name: "diff", address: at("edit"), there: "form.bar" },
    { name: "patch", address: at("patch"), there: "form.bar" },
    { name: "file", address: at("file"), there: "form.bar" },
    { name: "sql", address: at("sql"), there: "form.bar" },
    { name: "critical", address: at("sql"), there: "form.bar", do: (p) => press(p, /^Approve/) },
    { name: "shell", address: at("shell"), there: "form.bar" },
    { name: "argv", address: at("argv"), there: "form.bar" },
    { name: "rows", address: at("rows"), there: "form.bar" },
    { name: "tree", address: at("tree"), there: "form.bar" },
    { name: "json", address: at("tree"), there: "form.bar", do: (p) => p.keyboard.press("v") },
    { name: "hostile", address: at("hostile"), there: "form.bar" },
    { name: "attempts", address: at("again"), there: "form.bar" },
    { name: "not-mine", address: at("grant"), there: "form.bar" },
    { name: "reject-step", address: at("money"), there: "form.bar", do: (p) => press(p, /^Reject/) },
    {
      name: "armed",
      address: at("publish"),
      there: "form.bar",
      do: async (p) => {
        await p.waitForTimeout(600);
        await p.keyboard.press("a");
      },
    },
    { name: "scrolled", address: at("mail"), there: "form.bar", do: down(300) },
    { name: "executed", address: at("done"), there: ".notice" },
    { name: "rejected", address: at("rejected"), there: ".notice" },
    { name: "expired", address: at("expired"), there: ".notice" },
    { name: "failed", address: at("failed"), there: ".notice" },
    { name: "settle", address: at("unknown"), there: ".notice" },
    { name: "nothing-open", address: "/", there: ".row" },
    { name: "no-match", address: "/?q=nothing", there: ".none" },
    { name: "unknown", address: "/requests/nothing-here", there: ".notice" },
    { name: "history", address: "/history", there: ".tbl" },
    { name: "audit", who: "eva", address: "/audit", there: ".tbl" },
    { name: "no-audit", address: "/audit", there: ".notice" },
    { name: "policy", address: "/policy", there: ".cl" },
    { name: "tools", address: "/tools", there: ".tbl" },
    {
      name: "keys",
      address: "/",
      there: ".row",
      do: async (p) => {
        await p.keyboard.press("?");
        await p.getByRole("dialog", { name: "Keys" }).waitFor();
      },
    },
    { name: "menu", address: "/", there: ".row", do: (p) => p.locator(".who").click() },
    {
      name: "loading",
      address: "/history",
      there: ".tbl",
      do: async (p) => {
        await p.route("**/api/requests**", () => new Promise(() => {}));
        await p.route("**/api/requests/**", () => new Promise(() => {}));
        await p.evaluate((to) => history.pushState(null, "", to), at("money"));
        await p.reload();
        await p.locator(".pane .skel").first().waitFor();
      },
    },
    {
      name: "not-loaded",
      address: "/history",
      there: ".tbl",
      do: async (p) => {
        const down = problem(503, "store_unavailable", "Unavailable", "The server can't reach its store.");
        await p.route("**/api/requests/**", down);
        await p.evaluate((to) => history.pushState(null, "", to), at("money"));
        await p.reload();
        await p.locator(".pane .notice").waitFor();
      },
    },
    {
      name: "notices",
      address: "/history",
      there: ".tbl",
      do: async (p) => {
        await p.route(`**/api/requests/${id.money}`, async (r) => {
          const response = await r.fetch();
          const body = await response.json();
          const codes = ["no_worker", "tool_not_served"];
          body.waiting = { for: "one person", problems: codes.map((code) => ({ code, message: code })) };
          await r.fulfill({ response, json: { ...body, schema_unknown: true } });
        });
        await p.goto(s.api + at("money"));
        await p.getByRole("button", { name: "and 2 more" }).click();
      },
    },
    { name: "one-rejection", who: "cy", address: at("payout"), there: "form.bar" },
    {
      name: "soon",
      address: "/",
      there: ".row",
      do: async (p) => {
        await fresh(s, p, { ...calls.publish, timeout: "4m", args: { page: `Soon ${nth++}` } });
      },
    },
    { name: "cancelled", address: at("cancelled"), there: ".notice" },
    {
      name: "running",
      address: "/",
      there: ".row",
      do: async (p) => {
        s.answer = () => new Promise(() => {});
        const call = await fresh(s, p, { ...calls.publish, args: { page: `Slow ${nth++}` } });
        await s.as("bo", "POST", `/api/requests/${call}/approve`, {});
        await p.getByText("Running since").waitFor();
        s.answer = () => ({ status: 200, body: '{"ok": true}' });
      },
    },
    {
      name: "policy-changed",
      address: at("changed"),
      there: ".notice.warn",
      do: (p) => p.getByRole("button", { name: "Compare" }).click(),
    },
    { name: "blocked", address: at("blocked"), there: ".notice" },
    { name: "rule", address: "/policy#policy.yaml%3A17%20tool%20deploy", there: ".cl.here" },
    { name: "audit-of-request", address: `/audit?request_id=${id.done}`, there: ".tbl" },
    { name: "history-no-match", address: "/history?tool=nothing", there: ".page >> text=Nothing matches" },
    { name: "nothing-mine", who: "eva", address: "/", there: ".mid h2" },
    {
      name: "new-calls",
      address: "/",
      there: ".row",
      do: async (p) => {
        await p.locator(".list").hover();
        for (const _ of [1, 2]) await s.asks({ ...calls.publish, args: { page: `New ${nth++}` } });
        await p.locator(".newer", { hasText: "2 new calls" }).waitFor();
      },
    },
    {
      name: "gone",
      address: "/",
      there: ".row",
      do: async (p) => {
        const call = await s.asks({ ...calls.shell, timeout: "3m", args: { command: `ls ${nth++}` } });
        await p.locator(`.row[data-id="${call}"]`).waitFor();
        await p.locator(".list").hover();
        await s.as("bo", "POST", `/api/requests/${call}/reject`, { notes: "No." });
        await p.locator(".row.gone .why", { hasText: "bo" }).waitFor();
      },
    },
    {
      name: "marked-rows",
      address: at("shell"),
      there: ".row[aria-current]",
      do: async (p) => {
        await p.keyboard.press("x");
        await p.locator(".row.marked").waitFor();
      },
    },
    {
      name: "signed-out",
      address: "/",
      there: ".row",
      do: async (p) => {
        await p.locator(".who").click();
        await p.getByRole("button", { name: "Sign out", exact: true }).click();
        await p.locator(".card").waitFor();
      },
    },
    {
      name: "token-refused",
      who: "nobody",
      address: "/",
      there: ".card",
      do: async (p) => {
        await p.getByLabel("Token").fill("pawl_wrong");
        await p.getByRole("button", { name: "Sign in with a token" }).click();
        await p.locator(".err").waitFor();
      },
    },
    {
      name: "sending",
      address: "/",
      there: ".row",
      do: answered(s, () => new Promise(() => {}), ".bar.busy"),
    },
    {
      name: "answer-recorded",
      address: "/",
      there: ".row",
      do: async (p) => {
        await fresh(s, p, { ...calls.rows, args: { batch: `2026-12-${nth++}` } });
        await press(p, /^Approve/);
        await p.locator(shownAnswer).waitFor();
      },
    },
    {
      name: "answer-rejected",
      address: "/",
      there: ".row",
      do: async (p) => {
        await fresh(s, p, { ...calls.publish, args: { page: `Rejected ${nth++}` } });
        await press(p, /^Reject/);
        await p.locator("textarea").fill("Not before Monday.");
        await press(p, /^Reject/);
        await p.locator(shownAnswer).waitFor();
      },
    },
    {
      name: "answer-too-slow",
      address: "/",
      there: ".row",
      do: answered(s, async (r, call) => {
        await s.as("bo", "POST", `/api/requests/${call}/reject`, { notes: "Not all at once." });
        await r.continue();
      }),
    },
    {
      name: "answer-expired",
      address: "/",
      there: ".row",
      do: answered(
        s,
        async (r, call) => {
          await s.until(call, (c) => c.status === "expired");
          await r.continue();
        },
        shownAnswer,
        "6s",
      ),
    },
    {
      name: "answer-forbidden",
      address: "/",
      there: ".row",
      do: answered(
        s,
        problem(
          403,
          "forbidden",
          "Forbidden",
          "You can't approve this one: you asked for it. Somebody else has to. You may reject it.",
        ),
      ),
    },
    {
      name: "answer-invalid",
      address: "/",
      there: ".row",
      do: async (p) => {
        await fresh(s, p, { ...calls.publish, args: { page: `Invalid ${nth++}` } });
        await p.locator("textarea").fill("Because. ".repeat(500));
        await press(p, /^Approve/);
        await p.locator(".stmt .why").waitFor();
      },
    },
    {
      name: "answer-not-judged",
      address: "/",
      there: ".row",
      do: answered(s, async (r) => {
        await new Promise((done) => setTimeout(done, 6000)); // as long as the API waits for a worker
        const json = { id: "x", status: "pending", outcome: "not_judged_yet", decision_id: "d" };
        await r.fulfill({ status: 202, json: { ...json, location: "/api/none" } });
      }),
    },
    { name: "answer-unsure", address: "/", there: ".row", do: answered(s, (r) => r.abort()) },
    {
      name: "answer-busy",
      address: "/",
      there: ".row",
      do: answered(s, problem(503, "store_unavailable", "Busy", "The store is busy.")),
    },
    {
      name: "answer-signed-out",
      address: "/",
      there: ".row",
      do: answered(s, problem(401, "unauthenticated", "Signed out", "The session has ended.")),
    },
    {
      name: "disconnected",
      address: at("money"),
      there: "form.bar",
      do: async (p) => {
        await p.context().setOffline(true);
        await p.locator(".strip").waitFor({ timeout: 60_000 });
      },
    },
    {
      name: "wide",
      who: "cy",
      address: at("deploy"),
      there: "form.bar",
      size: { width: 1920, height: 1080 },
    },
    {
      name: "middle",
      who: "cy",
      address: at("deploy"),
      there: "form.bar",
      size: { width: 820, height: 900 },
    },
    { name: "phone-queue", address: "/", there: ".row", size: phone },
    { name: "phone-request", who: "cy", address: at("deploy"), there: "form.bar", size: phone },
    { name: "phone-diff", address: at("edit"), there: "form.bar", size: phone },
    { name: "phone-table", address: at("money"), there: "form.bar", size: phone, do: down(300) },
    { name: "phone-rows", address: at("rows"), there: "form.bar", size: phone, do: down(300) },
    { name: "phone-tree", address: at("tree"), there: "form.bar", size: phone, do: down(200) },
    {
      name: "phone-approve",
      address: at("publish"),
      there: "form.bar",
      size: phone,
      do: (p) => press(p, /^Approve/),
    },
    {
      name: "phone-reject",
      address: at("publish"),
      there: "form.bar",
      size: phone,
      do: (p) => press(p, /^Reject/),
    },
    {
      name: "phone-critical",
      address: at("sql"),
      there: "form.bar",
      size: phone,
      do: async (p) => {
        await p.getByRole("button", { name: /^Show/ }).first().click();
        await down(2000)(p);
        await press(p, /^Approve/);
        await p.getByRole("alertdialog").waitFor();
      },
    },
    {
      name: "phone-answer",
      address: "/",
      there: ".row",
      size: phone,
      do: async (p) => {
        await fresh(s, p, { ...calls.publish, args: { page: `Phone ${nth++}` } });
        await press(p, /^Reject/);
        await p.locator("textarea").fill("Not before Monday.");
        await press(p, /^Reject/);
        await p.locator(shownAnswer).waitFor();
      },
    },
    { name: "phone-sql", address: at("sql"), there: "form.bar", size: phone },
    { name: "phone-attempts", address: at("again"), there: "form.bar", size: phone, do: down(700) },
    {
      name: "phone-policy-changed",
      address: at("changed"),
      there: ".notice.warn",
      size: phone,
      do: (p) => p.getByRole("button", { name: "Compare" }).click(),
    },
    { name: "phone-settle", address: at("unknown"), there: ".notice", size: phone },
    { name: "phone-menu", address: "/", there: ".row", size: phone, do: (p) => p.locator(".who").click() },
    { name: "phone-audit", who: "eva", address: "/audit", there: ".tbl", size: phone },
    { name: "phone-policy", address: "/policy", there: ".cl", size: phone },
    { name: "phone-tools", address: "/tools", there: ".tbl", size: phone },
    { name: "phone-sign-in", who: "nobody", address: "/", there: ".card", size: phone },
    { name: "phone-history", address: "/history", there: ".tbl", size: phone },
    {
      name: "answer-approved",
      once: true,
      address: at("toApprove"),
      there: "form.bar",
      do: async (p) => {
        await press(p, /^Approve/);
        await p.locator(shownAnswer).waitFor();
      },
    },
    {
      name: "forced-diff",
      address: at("edit"),
      there: "form.bar",
      do: (p) => p.emulateMedia({ forcedColors: "active" }),
    },
    {
      name: "forced-hostile",
      address: at("hostile"),
      there: "form.bar",
      do: (p) => p.emulateMedia({ forcedColors: "active" }),
    },
    {
      name: "forced",
      who: "cy",
      address: at("deploy"),
      there: "form.bar",
      do: (p) => p.emulateMedia({ forcedColors: "active" }),
    },
  ];
}
