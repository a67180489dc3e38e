// The one place that speaks to the server: credentials, the server's clock, and errors.
import type { DecisionAnswer, Kind, Problem } from "./types";

/** What the server refused, or nothing at all if it could not be reached. */
export class Failure extends Error {
  constructor(readonly problem: Problem | null) {
    super(problem?.detail ?? "The server can't be reached.");
  }
  get status(): number {
    return this.problem?.status ?? 0;
  }
}

// On plain loopback there are no cookies, which all ports of a machine share: what says who somebody
// is stays in this tab. Over TLS the session's cookie goes along by itself.
const TOKEN = "pawl.token";
const REVIEWER = "pawl.reviewer";

export const credentials = {
  get token() {
    return sessionStorage.getItem(TOKEN) ?? "";
  },
  get reviewer() {
    return sessionStorage.getItem(REVIEWER) ?? "";
  },
  useToken(token: string) {
    sessionStorage.setItem(TOKEN, token);
  },
  useName(name: string) {
    sessionStorage.setItem(REVIEWER, name);
  },
  forget() {
    sessionStorage.removeItem(TOKEN);
    sessionStorage.removeItem(REVIEWER);
  },
};

let ahead = 0; // of the server's clock, in ms

/** The server's time: deadlines are the server's, and this computer's clock may be wrong. */
export function now(): number {
  return Date.now() + ahead;
}

function keepClock(answer: Response, began: number) {
  const date = Date.parse(answer.headers.get("Date") ?? "");
  if (Number.isNaN(date)) return;
  // The header has whole seconds, so half of one is the best guess of what it leaves out.
  const guess = date + 500 - (began + Date.now()) / 2;
  if (Math.abs(guess - ahead) > 1000) ahead = guess;
}

/** Headers are bytes; the server reads them as UTF-8. */
function inBytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** Says who somebody is. Over TLS their cookie does. */
export function credentialHeaders(): Record<string, string> {
  if (credentials.token) return { Authorization: `Bearer ${credentials.token}` };
  if (credentials.reviewer) return { "X-Pawl-Reviewer": inBytes(credentials.reviewer) };
  return {};
}

export async function call<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...credentialHeaders() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const began = Date.now();
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? AbortSignal.timeout(30_000),
      redirect: "error",
      cache: "no-store",
    });
    text = await answer.text();
  } catch {
    throw new Failure(null);
  }
  keepClock(answer, began);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (answer.ok && value !== null) return value as T;
  throw new Failure(
    (value as Problem | null) ?? {
      title: answer.statusText,
      status: answer.status,
      detail: "The answer is none that this page knows.",
      code: "",
    },
  );
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> =>
  call<T>("GET", path, undefined, signal);

/** The API's address of a call, or of something about it. */
export const requestPath = (id: string, more = ""): string =>
  `/api/requests/${encodeURIComponent(id)}${more}`;

export interface Decision {
  kind: Kind;
  notes: string;
  digest: string;
  decision_id: string; // repeats of one ID count once
}

export function decide(id: string, d: Decision): Promise<DecisionAnswer> {
  const { kind, ...body } = d;
  return call("POST", requestPath(id, `/${kind}`), body);
}

export function settle(id: string, ran: boolean, notes: string): Promise<unknown> {
  return call("POST", requestPath(id, "/settle"), { ran, notes });
}

export function newID(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join(
    "",
  );
}
