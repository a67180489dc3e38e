// What in a call is made to look like something else.
import { blockFindings } from "./blocks";
import { hasHidden } from "./text";
import type { Json, Listed } from "./types";

export interface Findings {
  hidden: boolean; // approving takes a tick
  words: string; // empty: nothing was found
}

export function findingsOf(v: Listed): Findings {
  const made = blockFindings(v);
  if (made) return made;
  const n = count(v.args ?? null);
  const words =
    n === 0 ? "" : n === 1 ? "1 text has hidden characters." : `${n} texts have hidden characters.`;
  return { hidden: n > 0, words };
}

function count(v: Json): number {
  if (typeof v === "string") return hasHidden(v) ? 1 : 0;
  if (v === null || typeof v !== "object") return 0;
  if (Array.isArray(v)) return v.reduce((n: number, x) => n + count(x), 0);
  return Object.entries(v).reduce((n, [k, x]) => n + count(k) + count(x), 0);
}
