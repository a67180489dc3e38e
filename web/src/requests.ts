// The requests that were looked at, as they were loaded last.
import { Failure, get, requestPath } from "./api";
import { Cell } from "./cell";
import { type Changes, loadAgain } from "./live";
import { learned } from "./queue";
import type { Request } from "./types";

const KEEP = 50;

export interface Loaded {
  request?: Request;
  failure?: Failure;
}

export const requests = new Cell<ReadonlyMap<string, Loaded>>(new Map());

function keep(id: string, loaded: Loaded) {
  const all = new Map(requests.value);
  all.delete(id);
  all.set(id, loaded);
  for (const old of all.keys()) {
    if (all.size <= KEEP) break;
    all.delete(old);
  }
  requests.value = all;
}

// What is put on record is told of at once, and the call's workflow hears of it a moment later.
const MOMENT = 1000;

export async function loadRequest(id: string, changes: Changes = "anything"): Promise<void> {
  try {
    const request = await get<Request>(requestPath(id));
    learned(request);
    const old = requests.value.get(id);
    // An answer that says the same draws nothing anew.
    if (!old?.request || old.failure || JSON.stringify(old.request) !== JSON.stringify(request))
      keep(id, { request });
    if (changes !== "anything") loadAgain(MOMENT);
  } catch (e) {
    if (e instanceof Failure && e.problem && e.status !== 401) {
      const old = requests.value.get(id);
      keep(id, old?.request ? { request: old.request, failure: e } : { failure: e });
    }
    throw e;
  }
}

/** The request as it is now, or as it was, if that can't be told. */
export async function reloaded(r: Request): Promise<Request> {
  try {
    await loadRequest(r.id);
  } catch (e) {
    if (!(e instanceof Failure)) throw e;
  }
  return requests.value.get(r.id)?.request ?? r;
}
