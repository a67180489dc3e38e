// A server's list of the calls that wait, made up.
import assert from "node:assert/strict";
import type { Listed, Status } from "../src/types";

/** The calls of a server, oldest first, listed as it lists them: the nearest deadline first. */
export class Calls {
  readonly all: Listed[] = [];
  asked: string[] = [];
  lost = false; // the answers about single calls
  looks = 1000; // through so many for those that somebody may approve
  /** Adds calls whose time ends a second after each other, behind all others or in front of them. */
  add(n: number, where: "behind" | "in front" = "behind"): void {
    for (let i = 0; i < n; i++) {
      const at = this.all.length + 1;
      const created_at = new Date(Date.UTC(2026, 0, 1) + at * 1000).toISOString();
      const deadline = new Date(Date.UTC(2026, 0, 2) + (where === "behind" ? at : -at) * 1000).toISOString();
      this.all.push({ id: `c${at}`, status: "pending", created_at, deadline });
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
    assert.equal(url.searchParams.get("order"), "deadline");
    const limit = Number(url.searchParams.get("limit"));
    const place = (c: Listed | undefined) => Date.parse(c?.deadline ?? "");
    const after = url.searchParams.get("cursor");
    const from = after ? place(this.all.find((c) => c.id === after)) : 0;
    const waiting = this.all.filter((c) => c.status === "pending");
    const behind = waiting.filter((c) => place(c) > from).sort((a, b) => place(a) - place(b));
    const may = url.searchParams.get("may");
    const rest = may ? behind.slice(0, this.looks).filter((c) => c.you?.may.includes(may)) : behind;
    const items = rest.slice(0, limit);
    if (may && items.length < limit && behind.length > this.looks) {
      const next_cursor = behind[this.looks - 1]?.id;
      return { status: 200, body: { items, total: Math.min(waiting.length, 1001), next_cursor } };
    }
    return {
      status: 200,
      body: {
        items,
        total: Math.min(waiting.length, 1001),
        next_cursor: rest.length > limit ? items.at(-1)?.id : "",
      },
    };
  }
}
