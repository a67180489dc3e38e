// How the page learns of changes: it asks again, every two seconds while it can be seen. Whoever shows
// something registers how to load it; a stream of events can take the place of the clock.
import { Failure, get, now } from "./api";
import { Cell } from "./cell";

const EVERY = 2000;
const AGAIN = 4000; // while the server can't be reached

export interface Link {
  state: "connecting" | "live" | "off";
  since: number; // of that state, on the server's clock
  retry: number; // when it is tried again, on this computer's clock
}

export const link = new Cell<Link>({ state: "connecting", since: 0, retry: 0 });

/** Called when the server does not take the credentials any more. */
export const signedOut = new Set<() => void>();

type Load = () => Promise<void>;
const watched = new Set<Load>();
let timer: ReturnType<typeof setTimeout> | undefined;
let asking = false;
let failed = 0; // times in a row

/** Loads something now and whenever it may have changed, until the returned function is called. */
export function watch(load: Load): () => void {
  watched.add(load);
  if (link.value.state !== "off") void once(load).then(follow);
  schedule(EVERY);
  return () => void watched.delete(load);
}

async function once(load: Load): Promise<"live" | "off"> {
  try {
    await load();
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
    if (e.status === 401) for (const l of signedOut) l();
    if (e.problem === null) return "off";
  }
  return "live";
}

function follow(state: "live" | "off") {
  failed = state === "off" ? failed + 1 : 0;
  // One lost answer is no lost connection: two in a row are.
  if (state === "off" && failed < 2 && link.value.state === "live") return;
  const wait = state === "off" ? AGAIN : EVERY;
  if (link.value.state !== state) link.value = { state, since: now(), retry: Date.now() + wait };
  else if (state === "off") link.value = { ...link.value, retry: Date.now() + wait };
}

function schedule(wait: number) {
  clearTimeout(timer);
  timer = setTimeout(ask, wait);
}

async function ask() {
  if (asking || document.visibilityState === "hidden") return;
  asking = true;
  try {
    const states = await Promise.all([...watched].map(once));
    if (states.length === 0) states.push(await once(async () => void (await get("/api/version"))));
    follow(states.includes("off") ? "off" : "live");
  } finally {
    asking = false;
    schedule(link.value.state === "off" ? AGAIN : failed > 0 ? 500 : EVERY);
  }
}

/** Asks at once, as after a press on "Try now". */
export function askNow(): void {
  schedule(0);
}

document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && askNow());
addEventListener("online", askNow);
