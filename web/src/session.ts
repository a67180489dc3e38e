// Who looks at the page. Signing in makes a session, which is a cookie over TLS, and on plain loopback
// a bearer that this tab keeps. An API that makes none takes the token itself.
import { call, credentials, Failure, get } from "./api";
import { Cell } from "./cell";
import { forgetDrafts } from "./drafts";
import { leftElsewhere, share, signedOut, tellOut } from "./live";
import { go, unescaped } from "./route";
import type { Me } from "./types";

export type Session =
  | { state: "checking" }
  | { state: "in"; me: Me; name: string }
  | { state: "name" } // nobody is authenticated here: people say who they are
  | { state: "token"; oidc: boolean; refused?: string; was?: boolean; failed?: string }
  | { state: "unreachable" };

export const session = new Cell<Session>({ state: "checking" });

// Tabs share a stream of events if they show the same to the same person by the same token, and were
// not given different names.
let shared = "";
session.follow(() => {
  const s = session.value;
  const who = s.state === "in" && [s.name, s.me.subject, s.me.method, s.me.token_id, s.me.roles, s.me.groups];
  const name = who ? `pawl ${JSON.stringify(who)}` : "";
  if (name !== shared) share(name);
  shared = name;
});

const LEFT = "pawl.left"; // the address from which somebody left to sign in

/** What the server says of a sign-in at the issuer that failed, in words. */
export const LOGIN_FAILED: ReadonlyMap<string, string> = new Map(
  Object.entries({
    state: "That sign-in was begun in another browser, took too long, or was used already. Try again.",
    denied: "Your company account’s sign-in was refused or given up there. Nothing was changed here.",
    refused: "Your company account may not use this Pawl. Its administrator says who may.",
    unavailable: "Your company account’s sign-in does not answer as it should. Try again in a moment.",
  }),
);

let failed: string | undefined; // why the sign-in at the issuer failed

/** Keeps the whole address: what stands behind # does not come back from the issuer. */
export function leaveToSignIn(): void {
  sessionStorage.setItem(LEFT, location.pathname + location.search + location.hash);
}

/** Takes up what the address says of a sign-in, which must not stay in it, then looks who it is. */
export async function begin(): Promise<void> {
  const [, how, what = ""] = /^#(signin|signin-failed)=(.+)$/.exec(location.hash) ?? [];
  const here = location.pathname + location.search;
  const left = sessionStorage.getItem(LEFT) ?? "";
  sessionStorage.removeItem(LEFT);
  if (how || !location.hash) go(left.split("#")[0] === here ? left : here, true);
  if (how === "signin") return makeSession({ code: unescaped(what) });
  if (how) failed = LOGIN_FAILED.get(what) ?? "The sign-in failed.";
  await signIn();
}

/** Signs in with a token. */
export const withToken = (token: string): Promise<void> => makeSession({ token });

async function makeSession(by: { token: string } | { code: string }): Promise<void> {
  session.value = { state: "checking" };
  try {
    const { bearer } = await call<{ bearer?: string }>("POST", "/auth/session", by);
    if (bearer) credentials.useToken(bearer);
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    const none = e.problem?.code === "no_sessions" || e.problem?.code === "read_only";
    if (!("token" in by) || !none) return refuse(e);
    credentials.useToken(by.token);
  }
  await signIn();
}

export async function signIn(): Promise<void> {
  try {
    const me = await get<Me>("/api/whoami");
    if (me.method !== "none") session.value = { state: "in", me, name: me.subject };
    else if (credentials.reviewer) session.value = { state: "in", me, name: credentials.reviewer };
    else session.value = { state: "name" };
    failed = undefined;
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    await refuse(e, credentials.token !== "");
  }
}

async function refuse(e: Failure, shown = true): Promise<void> {
  if (e.problem === null || e.status >= 500) {
    session.value = { state: "unreachable" };
    return;
  }
  credentials.forget();
  const oidc = await withOIDC();
  session.value = { state: "token", oidc, ...(shown ? { refused: e.message } : { failed }) };
}

async function withOIDC(): Promise<boolean> {
  try {
    return (await get<{ oidc: boolean }>("/auth/session")).oidc;
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    return false;
  }
}

/** Signs out in all tabs of this browser, or everywhere. */
export async function signOut(everywhere = false): Promise<void> {
  // Another tab may have the same session. If it ended that first, nobody could end the others by it.
  if (!everywhere) tellOut();
  await leave(everywhere);
}

/** Ends this tab's session, or all of this person's. */
async function leave(everywhere: boolean): Promise<void> {
  if (session.value.state !== "in") return;
  forgetDrafts();
  try {
    await call("DELETE", `/auth/session${everywhere ? "?everywhere=true" : ""}`);
  } catch (e) {
    if (!(e instanceof Failure)) throw e; // the credential is forgotten in any case
  }
  credentials.forget();
  session.value = { state: "checking" };
  await signIn();
}

leftElsewhere.add(() => void leave(false));

signedOut.add(() => {
  if (session.value.state !== "in") return;
  credentials.forget();
  session.value = { state: "checking" };
  void withOIDC().then((oidc) => {
    session.value = { state: "token", oidc, was: true };
  });
});

/** The name of who looks at the page; empty: that is not known. */
export const nameOf = (s: Session): string => (s.state === "in" ? s.name : "");

export function canAudit(s: Session): boolean {
  return s.state === "in" && (s.me.roles.includes("auditor") || s.me.roles.includes("admin"));
}
