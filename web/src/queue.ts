// The queue as it is shown. Rows never move under the pointer: while it is inside the list, or the
// focus is, new calls wait; and what ended stays for a moment.
import { Failure, get, now, requestPath } from "./api";
import { Cell } from "./cell";
import { type Changes, loadAgain } from "./live";
import type { Listed, Page, Request, View } from "./types";

const LIMIT = 100;
const MOST = 500; // that the API gives at once
const STAYS = 10_000; // ms that a call which ended is still shown
const LOOK_AGAIN = 10_000; // ms, for calls of mine behind those that are here
const LOOK_RARELY = 60_000; // where the server has looked at as many as it does

/** A call of the list; far: from behind what was read, because this person can decide it. */
type Known = Listed & { far?: boolean };

export interface Row {
  call: Known;
  gone?: { at: number; how: string };
}

export interface Queue {
  loaded: boolean;
  rows: Map<string, Row>;
  held: Known[]; // new, and not shown yet
  total: number;
  more: string; // the cursor of what comes after
  failure?: Failure | undefined;
  looked?: { at: number; found: "some" | "none" | "none so far" }; // for calls that are far
}

export const queue = new Cell<Queue>({ loaded: false, rows: new Map(), held: [], total: 0, more: "" });

/** True while rows must keep their places. */
export const still = { pointer: false, focus: false };

const waitingRows = (q: Queue): Known[] => [...q.rows.values()].filter((r) => !r.gone).map((r) => r.call);
const callsHere = (q: Queue): Known[] => [...waitingRows(q), ...q.held];
const near = (q: Queue): Known[] => callsHere(q).filter((c) => !c.far);

/** The calls that wait, as far as they are here. */
export const waitingHere = (q: Queue): Set<string> => new Set(callsHere(q).map((c) => c.id));

const EXACT = 1000; // how far the API counts

/** How many of the calls that wait are here, of those whose time ends first. */
export const here = (q: Queue): number => near(q).length;

/** Whether calls are here whose time ends later than that of others which are not. */
export const anyFar = (q: Queue): boolean => callsHere(q).some((c) => c.far);

/** Whether more calls wait than are here: the list comes in pages, the nearest deadline first. */
export const isPart = (q: Queue): boolean => q.more !== "" && (q.total > EXACT || here(q) < q.total);

/** How many wait, in words. */
export const totalOf = (q: Queue): string => (q.total > EXACT ? "more than 1,000" : String(q.total));

/** Said where none of the calls that were looked at is this person's. */
export const noneSoFar = (q: Queue): string =>
  q.looked?.found === "none so far"
    ? "None of those, nor of up to 20,000 behind them, is yours to decide. No more were looked at."
    : "";

/** A count of what is here, which is the least there are while more calls wait than are here. */
export const atLeast = (n: number, q: Queue): string => (isPart(q) ? `${n}+` : String(n));

/** When a call's time ends. That never changes, so calls keep their order. */
const end = (c: Listed | undefined): number => Date.parse(c?.deadline ?? "") || Number.POSITIVE_INFINITY;

function pageOf(limit: number, cursor = "", more = ""): Promise<Page<Known>> {
  const after = cursor && `&cursor=${encodeURIComponent(cursor)}`;
  return get(`/api/requests?status=pending&order=deadline&limit=${limit}${after}${more}`);
}

/** Where only calls changed that are shown, their own answers tell. */
const few = (q: Queue, changes: Changes): boolean =>
  changes !== "anything" && [...changes].every((id) => q.rows.has(id));

/**
 * The calls that wait, nearest deadline first: as many as are here, and all of them, up to MOST, if all
 * were. Where only calls changed that are shown, the first page is enough: their own answers tell the rest.
 */
async function nearest(changes: Changes): Promise<Page<Known>> {
  const q = queue.value;
  const first = few(q, changes);
  const want = first ? 0 : here(q);
  const all = !first && q.loaded && !isPart(q);
  let page = await pageOf(LIMIT);
  const items = page.items;
  while (page.next_cursor && (items.length < want || (all && items.length < MOST))) {
    const rest = want - items.length;
    page = await pageOf(rest > 0 ? Math.min(rest, MOST) : LIMIT, page.next_cursor);
    items.push(...page.items);
  }
  return { ...page, items };
}

/** The calls behind a page that this person can decide, if none of the page is. */
async function mineBehind(page: Page<Known>, changes: Changes): Promise<Page<Known> | undefined> {
  const q = queue.value;
  const mine = page.items.some((c) => isMine(withVotes(c)));
  const { at, found: last } = q.looked ?? { at: 0 };
  const due = now() - at >= (last === "none so far" ? LOOK_RARELY : LOOK_AGAIN);
  // While some are here, others may come in a while. Once the last one is decided, the next ones are due.
  const look = anyFar(q) ? due && !few(q, changes) : !mine && (due || last === "some");
  if (!page.next_cursor || !look) return;
  const found = await pageOf(LIMIT, page.next_cursor, "&may=approve");
  for (const c of found.items) c.far = true;
  return found;
}

export async function loadQueue(changes: Changes): Promise<void> {
  let page: Page<Known>;
  let behind: Page<Known> | undefined;
  try {
    page = await nearest(changes);
    behind = await mineBehind(page, changes);
  } catch (e) {
    if (e instanceof Failure && e.problem) queue.value = { ...queue.value, failure: e };
    throw e;
  }
  const old = queue.value;
  const waiting = new Map([...page.items, ...(behind?.items ?? [])].map((c) => [c.id, c]));
  const read = page.next_cursor ? end(page.items.at(-1)) : Number.POSITIVE_INFINITY; // all up to it
  const rows = new Map<string, Row>();
  for (const [id, row] of old.rows) {
    const call = waiting.get(id);
    if (call) rows.set(id, { call });
    else if (row.gone) {
      if (now() - row.gone.at < STAYS || still.pointer) rows.set(id, row);
    } else if (page.next_cursor) {
      // It ended, or its deadline is behind what was read. Its own answer tells.
      rows.set(id, row);
      const told = changes !== "anything" && changes.has(id);
      if (end(row.call) <= read || told || (behind && row.call.far)) void explain(id);
    } else {
      rows.set(id, { call: row.call, gone: { at: now(), how: "" } });
      void explain(id);
    }
  }
  const further = old.held.filter((c) => end(c) > read && !(behind && c.far));
  const fresh = [...waiting.values(), ...further].filter((c) => !rows.has(c.id));
  const hold = old.loaded && (still.pointer || still.focus);
  if (!hold) for (const call of fresh) rows.set(call.id, { call });
  queue.value = {
    loaded: true,
    rows,
    held: hold ? fresh : [],
    total: page.total,
    more: (near(old).some((c) => end(c) > read) && old.more) || page.next_cursor,
    looked: behind
      ? { at: now(), found: behind.items.length ? "some" : behind.next_cursor ? "none so far" : "none" }
      : old.looked,
  };
  for (const [id, known] of refined) {
    if (!rows.has(id)) refined.delete(id);
    else if (changes !== "anything" && changes.has(id)) refined.set(id, { ...known, at: 0 });
  }
  void refine(rows.values());
  if ([...rows.values()].some((r) => r.gone)) loadAgain(STAYS);
}

// Lists come from the store, which does not know the votes of a call that waits: its workflow does.
const REFINE = 20;
const REFINE_AGAIN = 10_000;
const refined = new Map<string, { at: number; request: Request }>();

/** What is known of a call beyond the list: its votes, where several people are needed. */
export function withVotes(c: Listed): Listed {
  const r = refined.get(c.id)?.request;
  return r && r.status === "pending" ? { ...c, you: r.you, rack: r.rack, approvals: r.approvals } : c;
}

/** Keeps what was learned of a request elsewhere. */
export function learned(request: Request): void {
  refined.set(request.id, { at: now(), request });
}

async function refine(rows: Iterable<Row>): Promise<void> {
  const due = [...rows]
    .map((r) => r.call)
    .filter((c) => (c.approvals?.needed ?? 1) > 1 && now() - (refined.get(c.id)?.at ?? 0) > REFINE_AGAIN)
    .slice(0, REFINE);
  for (const c of due) {
    try {
      learned(await get<Request>(requestPath(c.id)));
    } catch (e) {
      if (!(e instanceof Failure)) throw e; // the list's word stands
      return;
    }
  }
  if (due.length > 0) queue.value = { ...queue.value };
}

/** Shows the calls that were held back. */
export function showHeld(): void {
  const { rows, held } = queue.value;
  const all = new Map(rows);
  for (const call of held) all.set(call.id, { call });
  queue.value = { ...queue.value, rows: all, held: [] };
}

export async function loadMore(): Promise<void> {
  const { more } = queue.value;
  if (!more) return;
  let page: Page<Known>;
  try {
    page = await pageOf(LIMIT, more);
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    queue.value = { ...queue.value, failure: e };
    return;
  }
  const rows = new Map(queue.value.rows);
  for (const call of page.items) rows.set(call.id, { call });
  queue.value = { ...queue.value, rows, total: page.total, more: page.next_cursor };
}

const explaining = new Set<string>();

/** Asks for a call that is missing in the list, and says on its row how it ended, if it did. */
async function explain(id: string): Promise<void> {
  if (explaining.has(id)) return;
  explaining.add(id);
  let how = "";
  try {
    const r = await get<Request>(requestPath(id));
    if (r.status === "pending") return;
    how = ending(r);
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    if (e.status !== 404) return; // the row says no more than it does
  } finally {
    explaining.delete(id);
  }
  const row = queue.value.rows.get(id);
  if (!row) return;
  const rows = new Map(queue.value.rows);
  rows.set(id, { call: row.call, gone: { at: row.gone?.at ?? now(), how } });
  queue.value = { ...queue.value, rows };
  loadAgain(STAYS);
}

/** How a call left the queue, in a few words. */
export function ending(v: View): string {
  const by = v.decision?.by;
  switch (v.status) {
    case "approved":
    case "executing":
    case "executed":
    case "failed":
    case "outcome_unknown":
      return by ? `approved by ${by}` : "approved";
    case "rejected":
      return by ? `rejected by ${by}` : "rejected";
    case "cancelled":
      return "withdrawn";
    case "expired":
      return "denied by silence";
    default:
      return v.status;
  }
}

export interface Filters {
  risk: string;
  tool: string;
  agent: string;
  q: string;
}

export function matches(c: Listed, f: Filters): boolean {
  if (f.risk && c.risk !== f.risk) return false;
  if (f.tool && c.tool !== f.tool) return false;
  if (f.agent && c.agent !== f.agent) return false;
  if (!f.q) return true;
  const text = [
    c.tool,
    c.agent,
    c.session,
    c.title,
    c.reason,
    c.requester,
    c.id,
    JSON.stringify(c.args ?? ""),
  ];
  return text.join("\n").toLowerCase().includes(f.q.toLowerCase());
}

/** Whether I can approve a call; without the server's word, pressing tells. */
export function isMine(c: Listed): boolean {
  return c.you === undefined || c.you.may.includes("approve");
}

/** The rows in the order in which they are shown: mine by deadline, then those of others. */
export function ordered(rows: Iterable<Row>, f: Filters): { mine: Row[]; theirs: Row[] } {
  const shown = [...rows].filter((r) => matches(r.call, f)).map((r) => ({ ...r, call: withVotes(r.call) }));
  const by = (a: Row, b: Row) => end(a.call) - end(b.call) || (a.call.id < b.call.id ? -1 : 1);
  const mine = shown.filter((r) => isMine(r.call)).sort(by);
  const theirs = shown.filter((r) => !isMine(r.call)).sort(by);
  return { mine, theirs };
}
