// The page's addresses. All state that is worth sharing is in them: back, reload and links work.
import { Cell, useCell } from "./cell";

export type View = "queue" | "request" | "history" | "audit" | "policy" | "tools" | "nothing";

export interface Route {
  view: View;
  id: string; // of the request, or the policy's digest
  query: URLSearchParams;
  hash: string;
}

function read(): Route {
  const parts = location.pathname.split("/").slice(1).map(unescaped);
  const [head = "", id = ""] = parts;
  const rest = { id, query: new URLSearchParams(location.search), hash: unescaped(location.hash.slice(1)) };
  if (parts.length === 1 && head === "") return { view: "queue", ...rest };
  if (parts.length === 2 && head === "requests" && id) return { view: "request", ...rest };
  if (head === "policy" && parts.length <= 2) return { view: "policy", ...rest };
  if (parts.length === 1 && (head === "history" || head === "audit" || head === "tools"))
    return { view: head, ...rest };
  return { view: "nothing", ...rest };
}

export function unescaped(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

const route = new Cell(read());
const changed = () => {
  route.value = read();
};
addEventListener("popstate", changed);

export const useRoute = (): Route => useCell(route);

export const current = (): Route => route.value;

export function go(address: string, replace = false): void {
  if (address === location.pathname + location.search + location.hash) return;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  changed();
}

export function requestAddress(id: string): string {
  return `/requests/${encodeURIComponent(id)}${queueQuery()}`;
}

/** The queue's filters go along, so that going back finds them. */
export function queueQuery(): string {
  return ["queue", "request"].includes(route.value.view) ? location.search : "";
}

export function setQuery(change: Record<string, string>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(change)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  go(location.pathname + (text && `?${text}`), true);
}

/** Follows links of the page's own without loading it anew. */
export function followLinks(e: MouseEvent): void {
  const link = (e.target as Element).closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.origin !== location.origin || link.target) return;
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/assets/")) return;
  e.preventDefault();
  go(link.pathname + link.search + link.hash);
}
