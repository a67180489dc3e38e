// What the page's logic needs of a browser, for tests without one. It is imported before the page.
const kept = new Map<string, string>();
const storage = {
  getItem: (name: string) => kept.get(name) ?? null,
  setItem: (name: string, value: string) => void kept.set(name, value),
  removeItem: (name: string) => void kept.delete(name),
};
const nothing = () => {};
Object.assign(globalThis, {
  addEventListener: nothing,
  removeEventListener: nothing,
  document: { visibilityState: "hidden", addEventListener: nothing, removeEventListener: nothing },
  sessionStorage: storage,
  localStorage: storage,
  location: { pathname: "/", search: "", hash: "", origin: "https://pawl.example" },
  history: { replaceState: nothing, pushState: nothing },
});

/** Answers what the page asks its server for, by path and query. What is thrown is a lost connection. */
export function serve(answer: (path: string, body: unknown) => { status: number; body: unknown }): void {
  globalThis.fetch = (async (path: string, init?: RequestInit) => {
    const { status, body } = answer(path, init?.body ? JSON.parse(String(init.body)) : undefined);
    return new Response(JSON.stringify(body), { status, headers: { Date: new Date().toUTCString() } });
  }) as typeof fetch;
}
