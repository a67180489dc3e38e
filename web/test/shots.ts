// Takes pictures of every state of the page, in both themes, into web/shots: to look at them beside
// the design. `make shots` runs it; names as arguments take those alone. With `images` it takes those of
// the README instead.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { launch, type PersonOptions, person } from "./browser";
import { calls } from "./calls";
import { Stack } from "./stack";

interface Shot {
  name: string;
  who?: string;
  address: string;
  there: string;
  size?: PersonOptions;
  do?: (p: Page) => Promise<void>;
  once?: boolean; // it changes what it shows
}

const wanted = process.argv.slice(2);
const root = process.env.PAWL_WEB_ROOT ?? ".";
const s = await Stack.start(process.env.PAWL_DEV ?? "");
const b = await launch();
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

async function take(shots: Shot[], folder: string, only: string[]): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const shot of shots) {
    if (only.length > 0 && !only.includes(shot.name)) continue;
    for (const dark of shot.once ? [false] : [false, true]) {
      const p = await person(b, s, shot.who ?? "ana", shot.address, { ...shot.size, dark });
      try {
        await p.page.locator(shot.there).first().waitFor({ timeout: 10_000 });
        await shot.do?.(p.page);
        await p.page.waitForTimeout(400);
      } catch (e) {
        console.error(`${shot.name}: ${e}`);
      }
      await p.page.screenshot({ path: join(folder, `${shot.name}-${dark ? "dark" : "light"}.png`) });
      for (const c of p.complaints) console.error(`${shot.name}: ${c}`);
      await p.context.close();
    }
  }
}

async function all(): Promise<Shot[]> {
  const first: Shot[] = [
    { name: "first-start", address: "/", there: ".mid" },
    { name: "sign-in", who: "nobody", address: "/", there: ".card" },
  ];
  await take(first, join(root, "shots"), wanted);
  const id = await ask();
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
        await p.evaluate(() => history.pushState(null, "", "/"));
        await p.reload();
        await p.locator(".skel").first().waitFor();
      },
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
    { name: "phone-history", address: "/history", there: ".tbl", size: phone },
    {
      name: "answer-approved",
      once: true,
      address: at("toApprove"),
      there: "form.bar",
      do: async (p) => {
        await press(p, /^Approve/);
        await p.locator(".answer h4").waitFor();
      },
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

/** Calls in every state; more of them for what a picture changes. */
async function ask() {
  const { reject, approve } = {
    reject: (id: string, notes: string) => s.as("bo", "POST", `/api/requests/${id}/reject`, { notes }),
    approve: (id: string, notes = "") => s.as("bo", "POST", `/api/requests/${id}/approve`, { notes }),
  };
  const ids = {} as Record<keyof typeof calls, string>;
  for (const name of Object.keys(calls) as (keyof typeof calls)[]) ids[name] = await s.asks(calls[name]);
  await approve(ids.deploy, "Dashboards are fine.");
  const tried = await s.asks({ ...calls.rows, session: "s-77aa" });
  await reject(tried, "The IBAN of Contoso changed last week. Ask them first.");
  await s.as("cy", "POST", `/api/requests/${tried}/reject`, { notes: "Same here." });
  const payouts = calls.rows.args.payouts.map((o) =>
    o.name === "Contoso GmbH" ? { ...o, iban: "DE02 1203 0000 0000 2020 51" } : o,
  );
  const again = await s.asks({
    ...calls.rows,
    args: { ...calls.rows.args, payouts },
    attempt_of: tried,
    session: "s-77aa",
  });
  const rejected = await s.asks({ ...calls.publish, args: { page: "Roadmap" } });
  await reject(rejected, "Not before the board has seen it.");
  const done = await s.asks({ ...calls.publish, args: { page: "Status" } });
  s.answer = () => ({
    status: 200,
    body: '{"ok": true, "url": "https://docs.example.com/status", "visitors": 1204}',
  });
  await approve(done);
  await s.until(done, (r) => r.status === "executed");
  s.answer = () => ({ status: 422, body: '{"error": "quota exceeded"}' });
  const failed = await s.asks({
    ...calls.tree,
    args: '{"kind": "Deployment", "name": "basket", "cluster": "prod-eu"}',
  });
  await approve(failed);
  await s.until(failed, (r) => r.status === "failed");
  s.answer = () => ({ status: 500, body: "connection lost" });
  const unknown = await s.asks({ ...calls.money, args: { amount: 8000, currency: "EUR", order: "88-0931" } });
  await approve(unknown, "Second complaint.");
  await s.until(unknown, (r) => r.status === "outcome_unknown");
  s.answer = () => ({ status: 200, body: '{"ok": true}' });
  const expired = await s.asks({ tool: "slow.tool", args: { table: "prices" }, agent: "data-bot" });
  await s.until(expired, (r) => r.status === "expired");
  const toApprove = await s.asks({ ...calls.publish, args: { page: "Changelog" } });
  await s.asks({ ...calls.publish, args: { page: "Changelog" }, agent: "docs-bot" });
  return { ...ids, again, rejected, done, failed, unknown, expired, toApprove };
}

try {
  if (wanted[0] === "images") {
    const id = await ask();
    await take(
      [{ name: "request", who: "cy", address: `/requests/${id.deploy}`, there: "form.bar" }],
      join(root, "../docs/images"),
      [],
    );
  } else await take(await all(), join(root, "shots"), wanted);
} finally {
  await b.close();
  await s.stop();
}
