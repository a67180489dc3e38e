// A server's list of the calls that wait, made up.
import assert from "node:assert/strict";
import type { Listed, Status } from "../src/types";

/** The calls of a server, oldest first, listed as it lists them. */
export class Calls {
  readonly all: Listed[] = [];
  asked: string[] = [];
  lost = false; // the answers about single calls
  add(n: number): void {
    for (let i = 0; i < n; i++) {
      const at = this.all.length + 1;
      const created_at = new Date(Date.UTC(2026, 0, 1) + at * 1000).toISOString();
      this.all.push({ id: `c${at}`, status: "pending", created_at, deadline: created_at });
    }
  }
  end(id: string, status: Status = "rejected"): void {
    const c = this.all.find((c) => c.id === id);
    assert.ok(c);
    Object.assign(c, { status, decision: { kind: "reject", by: "bo", at: c.created_at } });
  }
  answer(path: string) {
    this.asked.push(path);
    const url = new URL(path, "https://pawl.example");
    const id = url.pathname.split("/")[3];
    if (id) {
      const call = this.all.find((c) => c.id === id);
      if (this.lost) throw new Error("lost");
      return call
        ? { status: 200, body: call }
        : { status: 404, body: { status: 404, detail: "", code: "" } };
    }
    const limit = Number(url.searchParams.get("limit"));
    const before = Number(url.searchParams.get("cursor") || this.all.length + 1);
    const waiting = this.all.map((c, i) => ({ c, at: i + 1 })).filter(({ c }) => c.status === "pending");
    const rest = waiting.filter(({ at }) => at < before).reverse();
    const items = rest.slice(0, limit);
    return {
      status: 200,
      body: {
        items: items.map(({ c }) => c),
        total: Math.min(waiting.length, 1001),
        next_cursor: rest.length > limit ? String(items.at(-1)?.at) : "",
      },
    };
  }
}
