// Rejecting many calls: each is answered on its own.
import { call, Failure, newID } from "./api";
import type { Listed } from "./types";

const AT_ONCE = 100; // that the API takes

interface Result {
  id: string;
  outcome?: string;
  message?: string;
}

/** A rejection of some calls as they were shown. It may be sent again: each decision keeps its ID. */
export class Rejection {
  private readonly items: { id: string; digest: string | undefined; decision_id: string }[];
  private readonly answered = new Map<string, string>();
  private readonly taken = new Set<string>();
  sending = false;
  failure: Failure | null = null;

  constructor(
    calls: readonly Listed[],
    private readonly notes: string,
  ) {
    this.items = calls.map((c) => ({ id: c.id, digest: c.digest, decision_id: newID() }));
  }

  /** What became of each call that was answered, in words. */
  get results(): ReadonlyMap<string, string> {
    return this.answered;
  }

  /** How many were not taken, as far as is known. */
  get left(): number {
    return this.items.filter((i) => !this.taken.has(i.id)).length;
  }

  /** Sends what was not taken yet, and tells of each part that is answered. While it does, it does nothing. */
  async send(news: () => void): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    this.failure = null;
    news();
    const rest = this.items.filter((i) => !this.taken.has(i.id));
    try {
      for (let from = 0; from < rest.length; from += AT_ONCE) {
        const items = rest.slice(from, from + AT_ONCE);
        const body = { decision: "reject", notes: this.notes, items };
        const { results } = await call<{ results: Result[] }>("POST", "/api/decisions", body);
        for (const r of results) {
          // Without an outcome it was not taken, such as while the server is too busy.
          if (r.outcome) this.taken.add(r.id);
          this.answered.set(r.id, r.message || (r.outcome ?? "not taken").replaceAll("_", " "));
        }
        news();
      }
    } catch (e) {
      if (!(e instanceof Failure)) throw e;
      this.failure = e;
    } finally {
      this.sending = false;
      news();
    }
  }
}
