// What the page's logic needs of a browser, for tests without one. It is imported before the page.
import type { ComponentChildren, FunctionComponent, VNode } from "preact";

process.env.TZ = "UTC";
const kept = new Map<string, string>();
const storage = {
  getItem: (name: string) => kept.get(name) ?? null,
  setItem: (name: string, value: string) => void kept.set(name, value),
  removeItem: (name: string) => void kept.delete(name),
};
const nothing = () => {};

function set(to: string): void {
  const { pathname, search, hash } = new URL(to, "https://pawl.example");
  Object.assign(globalThis, { location: { pathname, search, hash, origin: "https://pawl.example" } });
}
set("/");

/** Opens an address, as a link from elsewhere does. */
export function visit(to: string): void {
  set(to);
  happens("popstate");
}

/** The address that the page has now. */
export const address = (): string => location.pathname + location.search + location.hash;

/** Tells the page that something happened. */
export function happens(of: string): void {
  for (const act of listeners.get(of) ?? []) act();
}

const listeners = new Map<string, (() => void)[]>();
const addEventListener = (of: string, act: () => void) =>
  void listeners.set(of, [...(listeners.get(of) ?? []), act]);
Object.assign(globalThis, {
  addEventListener,
  removeEventListener: nothing,
  document: { visibilityState: "hidden", addEventListener, removeEventListener: nothing },
  sessionStorage: storage,
  localStorage: storage,
  history: {
    replaceState: (_: unknown, __: string, to: string) => set(to),
    pushState: (_: unknown, __: string, to: string) => set(to),
  },
});
Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });

/** Answers what the page asks its server for, by path and query. What is thrown is a lost connection. */
export function serve(answer: (path: string, body: unknown) => { status: number; body: unknown }): void {
  globalThis.fetch = (async (path: string, init?: RequestInit) => {
    const { status, body } = answer(path, init?.body ? JSON.parse(String(init.body)) : undefined);
    return new Response(JSON.stringify(body), { status, headers: { Date: new Date().toUTCString() } });
  }) as typeof fetch;
}

/** What people read in a piece of the page. Its components must use no hooks. */
export function words(piece: ComponentChildren): string {
  if (Array.isArray(piece)) return piece.map(words).join("");
  if (piece === null || piece === undefined || typeof piece === "boolean") return "";
  if (typeof piece !== "object") return String(piece);
  const { type, props } = piece as VNode<{ children?: ComponentChildren }>;
  return words(typeof type === "function" ? (type as FunctionComponent)(props) : props.children);
}
