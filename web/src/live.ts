// How the page learns of changes. One stream of events for all tabs of a person says which requests
// changed, and whoever shows something registers how to load it. While the stream is silent, a tab that
// can be seen asks again every two seconds, and ever less often while it shows nothing that could change.
import { Failure, get, now } from "./api";
import { Cell } from "./cell";
import { type Message, Stream } from "./stream";

const EVERY = 2000; // ms between questions while nobody tells what changed
const RARELY = 15_000; // while the stream does: workers, tools and policies make no events
const AGAIN = 4000; // while the server can't be reached
const AT_MOST = 30_000; // while nothing is shown that could change, of pauses that double
const SILENCE = 12_000; // two heartbeats of the server, and the time they may take
const GRACE = 3000; // in which a stream may be opened, or opened again

export interface Link {
  state: "connecting" | "live" | "asking" | "off"; // asking: the server answers, and no stream is there
  since: number; // of that state, on the server's clock
  retry: number; // when it is tried again, on this computer's clock
}

export const link = new Cell<Link>({ state: "connecting", since: 0, retry: 0 });

/** Called when the server does not take the credentials any more. */
export const signedOut = new Set<() => void>();

/** Called when the person signed out in another tab. */
export const leftElsewhere = new Set<() => void>();

/** What may have changed: some requests, or anything. */
export type Changes = ReadonlySet<string> | "anything";

type Load = (changes: Changes) => Promise<void>;

const watched = new Map<Load, string>(); // the only request that it shows; empty: it shows many
let timer: ReturnType<typeof setTimeout> | undefined;
let asking = false;
let due: Changes | undefined;
let failed = 0; // times in a row
let pause = EVERY; // between questions while nothing is shown, as to somebody who is signed out
let asked = 0; // when everything was loaded last, on this computer's clock
let soonest = Number.POSITIVE_INFINITY; // when something is to be loaded again

let stream: Stream | undefined;
let told = false; // the stream is there
let trusted = 0; // until when it counts as there without another word, on this computer's clock
let silent = 0; // since when no tab said anything about it

/** Shares one stream with all tabs that give the same name; without a name, listens to none. */
export function share(name: string): void {
  stream?.close();
  stream = undefined;
  told = false;
  trusted = 0;
  asked = Date.now();
  link.value = { state: "connecting", since: now(), retry: 0 };
  if (!name || !Stream.possible()) return;
  trusted = Date.now() + GRACE;
  silent = Date.now();
  stream = new Stream(name, hear);
}

/** Tells this person's other tabs that they signed out. */
export function tellOut(): void {
  stream?.say({ kind: "out" });
}

function hear(m: Message) {
  silent = Date.now();
  switch (m.kind) {
    case "out":
      for (const l of leftElsewhere) l();
      return;
    case "lost":
      if (told) trusted = Date.now() + GRACE;
      told = false;
      void ask("anything");
      return;
    case "alive":
    case "changed":
      told = true;
      trusted = Date.now() + SILENCE;
      if (link.value.state !== "off" && failed === 0) follow("live");
      if (m.kind === "changed") void ask(m.ids === null ? "anything" : new Set(m.ids));
      else if (link.value.state === "off") void ask("anything");
  }
}

/** Loads something now and whenever it may have changed, until the returned function is called. */
export function watch(load: Load, request = ""): () => void {
  watched.set(load, request);
  pause = EVERY;
  if (link.value.state !== "off") void once(load, "anything").then(follow);
  schedule();
  return () => void watched.delete(load);
}

async function once(load: Load, changes: Changes): Promise<"live" | "off"> {
  try {
    await load(changes);
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    if (e.status === 401) for (const l of signedOut) l();
    if (e.problem === null) return "off";
  }
  return "live";
}

function follow(answered: "live" | "off") {
  failed = answered === "off" ? failed + 1 : 0;
  // One lost answer is no lost connection: two in a row are.
  if (answered === "off" && failed < 2 && link.value.state !== "connecting") return;
  let state: Link["state"] = answered;
  if (answered === "live" && !told) {
    const waits = Date.now() < trusted && link.value.state !== "off";
    state = waits ? link.value.state : "asking";
  }
  const retry = Date.now() + (state === "off" ? AGAIN : EVERY);
  if (link.value.state !== state) link.value = { state, since: now(), retry };
  else if (state === "off") link.value = { ...link.value, retry };
}

/** Asks again after a while. Who can't be seen asks only when told to. */
function schedule() {
  clearTimeout(timer);
  if (document.visibilityState === "hidden") return;
  const every = watched.size === 0 ? pause : EVERY;
  let next = asked + (told ? RARELY : every);
  if (told) next = Math.min(next, trusted);
  if (link.value.state === "off") next = asked + Math.max(AGAIN, every);
  else if (failed > 0) next = asked + 500;
  timer = setTimeout(tick, Math.max(0, Math.min(next, soonest) - Date.now()));
}

function tick() {
  if (stream && Date.now() > trusted) {
    told = false;
    if (Date.now() - silent > SILENCE) {
      silent = Date.now();
      stream.takeOver();
    }
  }
  void ask("anything");
}

async function ask(changes: Changes) {
  const all = due === "anything" || changes === "anything";
  due = all
    ? "anything"
    : new Set([...((due as ReadonlySet<string>) ?? []), ...(changes as ReadonlySet<string>)]);
  if (asking) return;
  asking = true;
  try {
    while (due !== undefined) {
      const news: Changes = due;
      due = undefined;
      if (news === "anything") {
        asked = Date.now();
        soonest = Number.POSITIVE_INFINITY;
      }
      const concerned = [...watched].filter(([, id]) => news === "anything" || !id || news.has(id));
      const states = await Promise.all(concerned.map(([load]) => once(load, news)));
      if (watched.size === 0) {
        pause = Math.min(2 * pause, AT_MOST);
        states.push(await once(async () => void (await get("/api/version")), news));
      }
      if (states.length > 0) follow(states.includes("off") ? "off" : "live");
    }
  } finally {
    asking = false;
    schedule();
  }
}

/** Has what can be seen loaded again in at most so many ms. */
export function loadAgain(within: number): void {
  soonest = Math.min(soonest, Date.now() + within);
  if (!asking) schedule();
}

/** Asks at once, as after a press on "Try now". */
export function askNow(): void {
  stream?.again();
  void ask("anything");
}

document.addEventListener("visibilitychange", () =>
  document.visibilityState === "visible" ? tick() : schedule(),
);
addEventListener("online", askNow);
