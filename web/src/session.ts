// Who looks at the page.
import { credentials, Failure, get } from "./api";
import { Cell } from "./cell";
import { signedOut } from "./live";
import type { Me } from "./types";

export type Session =
  | { state: "checking" }
  | { state: "in"; me: Me; name: string }
  | { state: "name" } // nobody is authenticated here: people say who they are
  | { state: "token"; refused?: string; was?: boolean }
  | { state: "unreachable" };

export const session = new Cell<Session>({ state: "checking" });

export async function signIn(): Promise<void> {
  try {
    const me = await get<Me>("/api/whoami");
    if (me.method !== "none") session.value = { state: "in", me, name: me.subject };
    else if (credentials.reviewer) session.value = { state: "in", me, name: credentials.reviewer };
    else session.value = { state: "name" };
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    if (e.status === 401) {
      const refused = credentials.token ? e.message : undefined;
      credentials.forget();
      session.value = refused ? { state: "token", refused } : { state: "token" };
    } else session.value = { state: "unreachable" };
  }
}

export function signOut(): void {
  credentials.forget();
  session.value = { state: "checking" };
  void signIn();
}

signedOut.add(() => {
  if (session.value.state !== "in") return;
  credentials.forget();
  session.value = { state: "token", was: true };
});

export function canReview(s: Session): boolean {
  return s.state === "in" && s.me.roles.includes("reviewer");
}

export function canAudit(s: Session): boolean {
  return s.state === "in" && (s.me.roles.includes("auditor") || s.me.roles.includes("admin"));
}
