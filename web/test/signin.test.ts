// Signing in over TLS, at an OpenID Connect issuer and with tokens: `pawl api` in a process of its own, as
// people reach it elsewhere, beside a dev stack on the same Postgres.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { dirname, join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launch, leave, type Person, press, visitor } from "./browser";
import { Issuer } from "./issuer";
import { kill, Stack, serve } from "./stack";

const program = process.env.PAWL_DEV ?? "";
const tls = process.env.PAWL_PAGE_TLS; // a folder with cert.pem and key.pem
const database = process.env.PAWL_PAGE_DATABASE; // the URL of an empty one, in Postgres
const skip = !(tls && database) && "needs a certificate and a Postgres: `go test ./page` in dev gives both";

const pawl = "https://pawl.example.com";
const cookieName = "__Host-pawl";

let s: Stack;
let issuer: Issuer;
let api: ChildProcess;
let b: Browser;

before(async () => {
  if (!tls || !database) return;
  s = await Stack.start(program, "tokens", database);
  issuer = await Issuer.start();
  Object.assign(issuer.groups, { ana: ["reviewers", "sre"], bo: ["reviewers"] });
  const { child, ready } = await serve(
    join(dirname(program), "pawl"),
    [
      ...["api", "--auth", "tokens,oidc", "--listen", "127.0.0.1:0", "--database-url", database],
      ...["--public-url", pawl, "--host", new URL(pawl).host],
      ...["--tls-cert", join(tls, "cert.pem"), "--tls-key", join(tls, "key.pem")],
      ...["--oidc-issuer", issuer.url, "--oidc-audience", "agents", "--oidc-client-id", "pawl"],
      ...["--oidc-role", "reviewer=reviewers"],
    ],
    s.data,
    { HOME: s.data, PATH: process.env.PATH, TEMPORAL_ADDRESS: s.temporal },
  );
  api = child;
  b = await launch(`--host-resolver-rules=MAP pawl.example.com:443 ${new URL(ready.api).host}`);
});
afterEach(leave);
after(async () => {
  await b?.close();
  await kill(api);
  issuer?.stop();
  await s?.stop();
});

const sessionOf = async (c: BrowserContext) =>
  (await c.cookies(pawl)).find(({ name }) => name === cookieName)?.value;
const live = (p: Person) => p.page.locator(".link-state.live").waitFor();
const signedOut = (page: Page, name = "Signed out") => page.getByRole("heading", { name }).waitFor();
const leaves = (page: Page) => page.getByRole("link", { name: "Continue with your company account" }).click();

/** Says at the issuer who somebody is. */
async function says(page: Page, who: string): Promise<void> {
  await page.getByLabel("Account").fill(who);
  await page.getByRole("button", { name: "Go on" }).click();
}

async function signedIn(who: string, address = "/"): Promise<Person> {
  const p = await visitor(b, pawl + address);
  await leaves(p.page);
  await says(p.page, who);
  await p.page.locator(".who", { hasText: who }).waitFor();
  return p;
}

async function signOut(page: Page, name: string): Promise<void> {
  await page.locator(".who").click();
  await page.getByRole("button", { name, exact: true }).click();
}

describe("over TLS", { skip }, () => {
  test("a person signs in at the issuer and comes back to the whole address", async () => {
    const address = "/policy#policy.yaml%3A17%20tool%20deploy";
    const p = await visitor(b, pawl + address);
    const asked: string[] = [];
    p.context.on("request", (r) => {
      asked.push(r.url());
      assert.equal(r.headers().authorization, undefined);
    });
    await leaves(p.page);
    await says(p.page, "ana");
    await p.page.locator(".cl.here").first().waitFor();
    assert.equal(p.page.url(), pawl + address);
    const [cookie, ...more] = await p.context.cookies();
    assert.deepEqual(more, []);
    const { value = "", ...is } = cookie ?? {};
    assert.ok(value.length > 20);
    assert.deepEqual(is, {
      ...{ name: cookieName, domain: "pawl.example.com", path: "/", expires: -1 },
      ...{ httpOnly: true, secure: true, sameSite: "Lax" },
    });
    // No script reads it, and nothing else says who somebody is.
    const kept = await p.page.evaluate(() => [
      document.cookie,
      JSON.stringify([{ ...sessionStorage }, { ...localStorage }]),
    ]);
    assert.equal(kept[0], "");
    assert.doesNotMatch(kept[1] ?? "", /pawl\.token/);
    assert.deepEqual(
      [...asked, ...kept].filter((text) => text.includes(value)),
      [],
    );
  });

  test("events arrive, and what is approved counts as this person's", async () => {
    const p = await signedIn("ana");
    await live(p);
    const id = await s.asks({ tool: "docs.publish", args: { page: "TLS" } });
    await p.page.locator(`.row[data-id="${id}"]`).click();
    await press(p.page.getByRole("button", { name: /^Approve/ }));
    await p.page.getByText("Approved. docs.publish is released").waitFor();
    await p.page.locator("ol.time li", { hasText: /^.*ana approved.*signed in by OIDC/ }).waitFor();
    const { decision } = await s.until(id, (r) => r.status === "executed");
    assert.equal(decision?.by, "ana");
  });

  test("another site decides nothing in the name of who is signed in", async () => {
    const { context } = await signedIn("ana");
    const id = await s.asks({ tool: "docs.publish", args: { page: "Forged" } });
    const address = `${pawl}/api/requests/${id}/approve`;
    const other = await context.newPage();
    await other.goto(`${issuer.url}/keys`);
    const fetched = other.waitForEvent("requestfailed", (r) => r.url() === address);
    await other.evaluate((to) => {
      void fetch(to, { method: "POST", mode: "no-cors", credentials: "include" }).catch(() => {});
    }, address);
    const request = await fetched;
    assert.equal(request.failure()?.errorText, "net::ERR_BLOCKED_BY_RESPONSE.NotSameOrigin"); // so it was sent
    assert.equal((await request.allHeaders()).cookie, undefined);
    const answered = other.waitForResponse(address);
    await other.evaluate((to) => {
      document.body.innerHTML = `<form method="post" enctype="text/plain"><input name='{"notes":"' value='"}'></form>`;
      const form = document.querySelector("form");
      form?.setAttribute("action", to);
      form?.submit();
    }, address);
    const answer = await answered;
    assert.equal(answer.status(), 403);
    assert.equal((await answer.request().allHeaders()).cookie, undefined);
    assert.equal((await s.look(id)).status, "pending");
  });

  test("signing out ends it in all tabs, and the cookie is good no more", async () => {
    const p = await signedIn("ana");
    await live(p);
    const second = await p.context.newPage();
    await second.goto(`${pawl}/history`);
    await second.locator(".who", { hasText: "ana" }).waitFor();
    const cookies = await p.context.cookies();
    await signOut(second, "Sign out");
    await Promise.all([p.page, second].map((page) => signedOut(page, "Sign in")));
    assert.equal(await sessionOf(p.context), undefined);
    await p.context.addCookies(cookies);
    await second.reload();
    await signedOut(second, "Sign in");
  });

  test("signing out everywhere ends the page and the stream of another browser, and nobody else's", async () => {
    const here = await signedIn("ana");
    const there = await signedIn("ana", "/history");
    const bo = await signedIn("bo");
    await Promise.all([here, there, bo].map(live));
    const ended = there.page.waitForEvent("requestfailed", (r) => r.url() === `${pawl}/api/events`);
    await signOut(here.page, "Sign out everywhere");
    await Promise.all([ended, signedOut(here.page, "Sign in"), signedOut(there.page)]);
    const id = await s.asks({ tool: "docs.publish", args: { page: "Everywhere" } });
    await bo.page.locator(`.row[data-id="${id}"]`).waitFor();
    await there.page.reload();
    await signedOut(there.page, "Sign in");
  });

  test("a token, and a link of pawl open, make the same cookie, which is good no longer than the token", async () => {
    const made = (await s.as("root", "POST", "/api/tokens", { subject: "zoe", roles: ["reviewer"] })) as {
      id: string;
      token: string;
    };
    s.tokens.zoe = made.token;
    const byToken = await visitor(b, `${pawl}/history`);
    await byToken.page.getByLabel("Token").fill(made.token);
    await byToken.page.getByRole("button", { name: "Sign in with a token" }).click();
    const { code } = (await s.as("zoe", "POST", "/auth/links")) as { code: string };
    const byLink = await visitor(b, `${pawl}/#signin=${code}`);
    for (const p of [byToken, byLink]) {
      await p.page.locator(".who", { hasText: "zoe" }).waitFor();
      await live(p);
      assert.ok(await sessionOf(p.context));
      assert.equal(new URL(p.page.url()).hash, "");
      assert.equal(await p.page.evaluate(() => sessionStorage.getItem("pawl.token")), null);
    }
    await s.as("root", "POST", `/api/tokens/${made.id}/revoke`);
    await Promise.all([byToken, byLink].map((p) => signedOut(p.page)));
  });

  for (const [why, says_, prepare] of [
    ["refuses at the issuer", /refused or given up there/, () => {}],
    ["is nobody whom Pawl knows", /may not use this Pawl/, () => (issuer.audience = "another")],
    ["meets an issuer that is down", /does not answer as it should/, () => (issuer.down = true)],
  ] as const) {
    test(`who ${why} reads that, at the same address`, async () => {
      const { context, page } = await visitor(b, `${pawl}/history?agent=deploy-bot`);
      try {
        prepare();
        await leaves(page);
        if (why.startsWith("refuses")) await page.getByRole("button", { name: "Refuse" }).click();
        else await says(page, "ana");
        await page.getByRole("alert").getByText(says_).waitFor();
      } finally {
        Object.assign(issuer, { audience: "pawl", down: false });
      }
      assert.equal(page.url(), `${pawl}/history?agent=deploy-bot`);
      assert.deepEqual(await context.cookies(pawl), []);
      await leaves(page);
      await says(page, "ana");
      await page.locator(".who", { hasText: "ana" }).waitFor();
      assert.equal(page.url(), `${pawl}/history?agent=deploy-bot`);
    });
  }

  test("an answer of the issuer's is good once, and in the browser that asked", async () => {
    const p = await visitor(b, `${pawl}/`);
    await leaves(p.page);
    await p.page.getByLabel("Account").waitFor();
    const begun = await p.context.cookies(pawl); // what ties the answer to this browser
    assert.deepEqual(
      begun.map(({ name, httpOnly, secure, sameSite }) => [name, httpOnly, secure, sameSite]),
      [[`${cookieName}-login`, true, true, "Lax"]],
    );
    const back = p.page.waitForRequest((r) => r.url().startsWith(`${pawl}/auth/callback?`));
    await says(p.page, "ana");
    const answer = (await back).url();
    await p.page.locator(".who", { hasText: "ana" }).waitFor();
    // Who is signed in stays so.
    const session = await sessionOf(p.context);
    await p.page.goto(answer);
    await p.page.locator(".who", { hasText: "ana" }).waitFor();
    assert.equal(p.page.url(), `${pawl}/`);
    assert.equal(await sessionOf(p.context), session);
    for (const cookies of [[], begun]) {
      const other = await visitor(b, "about:blank", {}, (c) => c.addCookies(cookies));
      await other.page.goto(answer);
      await other.page.getByRole("alert").getByText("begun in another browser").waitFor();
      assert.deepEqual(await other.context.cookies(pawl), []);
    }
  });
});
