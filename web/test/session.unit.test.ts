// Signing in: what the address says of it, what survives it, and what does not.
import "./headless";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, test } from "node:test";
import { credentials } from "../src/api";
import { draftOf, forgetDrafts, keepDraft } from "../src/drafts";
import { current } from "../src/route";
import { begin, LOGIN_FAILED, leaveToSignIn, session } from "../src/session";
import { address, serve, visit } from "./headless";

let signedIn = false;
let sent: unknown[] = [];
beforeEach(() => {
  signedIn = false;
  sent = [];
  sessionStorage.removeItem("pawl.left");
  forgetDrafts();
  credentials.forget();
  session.value = { state: "checking" };
  serve((path, body) => {
    if (body) sent.push(body);
    if (path === "/auth/session") return { status: 200, body: body ? {} : { oidc: true, tokens: true } };
    if (path !== "/api/whoami") return { status: 404, body: { status: 404, detail: "", code: "" } };
    if (signedIn) return { status: 200, body: { subject: "ana", roles: ["reviewer"], method: "oidc" } };
    return { status: 401, body: { status: 401, detail: "Sign in.", code: "unauthenticated" } };
  });
});

describe("a sign-in at the issuer that failed", () => {
  // As the server names the reasons.
  const source = readFileSync(join(process.env.PAWL_SOURCE ?? "", "api/signin.go"), "utf8");
  const reasons = [...source.matchAll(/^\tlogin[A-Z]\w+\s+= "(\w+)"/gm)].map(([, reason]) => reason ?? "");
  assert.equal(reasons.length, 4);
  assert.deepEqual(new Set(LOGIN_FAILED.keys()), new Set(reasons));
  for (const [why, words] of [
    ...LOGIN_FAILED,
    ["something-new", "The sign-in failed."],
    ["toString", "The sign-in failed."],
  ] as const) {
    test(`says why: ${why}`, async () => {
      visit(`/requests/c1?risk=high#signin-failed=${why}`);
      await begin();
      assert.equal(address(), "/requests/c1?risk=high");
      assert.deepEqual(session.value, { state: "token", oidc: true, failed: words });
    });
  }

  test("says nothing any more once somebody is signed in", async () => {
    signedIn = true;
    visit("/#signin-failed=denied");
    await begin();
    assert.equal(session.value.state, "in");
    signedIn = false;
    visit("/");
    await begin();
    assert.deepEqual(session.value, { state: "token", oidc: true, failed: undefined });
  });
});

describe("the whole address survives a sign-in at the issuer", () => {
  for (const [left, back, want] of [
    ["/policy/abc#org/rule-2", "/policy/abc", "/policy/abc#org/rule-2"],
    ["/policy/abc?a=1#org", "/policy/abc?a=1", "/policy/abc?a=1#org"],
    ["/policy/abc#org", "/policy/abc#signin-failed=state", "/policy/abc#org"],
    ["/policy/abc", "/policy/abc", "/policy/abc"],
    ["/policy/abc#org", "/", "/"], // the server did not take the address
    ["/policy/abc#org", "/policy/other", "/policy/other"],
    ["/policy/abc#org", "/policy/abc#own", "/policy/abc#own"],
  ] as const) {
    test(`${left}, back at ${back}`, async () => {
      visit(left);
      leaveToSignIn();
      visit(back);
      await begin();
      assert.equal(address(), want);
      assert.equal(current().hash, new URL(want, "https://pawl.example").hash.slice(1));
      visit(new URL(want, "https://pawl.example").pathname);
      await begin();
      assert.equal(location.hash, "", "it is used once");
    });
  }

  test("and a link by pawl open leaves no code in it", async () => {
    visit("/history?status=all#signin=abc%2Fd");
    signedIn = true;
    await begin();
    assert.equal(address(), "/history?status=all");
    assert.deepEqual(sent, [{ code: "abc/d" }]);
    assert.equal(session.value.state, "in");
  });
});

describe("notes that were not sent", () => {
  test("stay in the tab for the person who wrote them", () => {
    keepDraft("ana", "c1", "Looked at it.");
    keepDraft("ana", "c2", "Not sure.");
    assert.equal(draftOf("ana", "c1"), "Looked at it.");
    assert.equal(draftOf("bo", "c1"), "");
    assert.equal(draftOf("ana", "c3"), "");
    keepDraft("ana", "c1", "");
    assert.deepEqual([draftOf("ana", "c1"), draftOf("ana", "c2")], ["", "Not sure."]);
    keepDraft("bo", "c2", "Mine.");
    assert.deepEqual([draftOf("ana", "c2"), draftOf("bo", "c2")], ["", "Mine."]);
  });

  test("are the newest fifty, and survive what is no list of notes", () => {
    for (let i = 0; i < 60; i++) keepDraft("ana", `c${i}`, "x");
    assert.deepEqual([draftOf("ana", "c9"), draftOf("ana", "c10")], ["", "x"]);
    sessionStorage.setItem("pawl.drafts", "null");
    assert.equal(draftOf("ana", "c10"), "");
    keepDraft("ana", "c1", "again");
    assert.equal(draftOf("ana", "c1"), "again");
  });
});
