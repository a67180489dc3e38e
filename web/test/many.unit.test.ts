// Rejecting many calls: in parts, each decision under one ID, and one sending at a time.
import "./headless";
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { Rejection } from "../src/many";
import type { Listed } from "../src/types";
import { serve } from "./headless";

interface Sent {
  decision: string;
  notes: string;
  items: { id: string; digest: string; decision_id: string }[];
}

let sent: Sent[] = [];
let answer: (s: Sent) => { status: number; body: unknown };
const taken = (s: Sent) => ({
  status: 200,
  body: { results: s.items.map((i) => ({ ...i, outcome: "resolved" })) },
});
beforeEach(() => {
  sent = [];
  answer = taken;
  serve((path, body) => {
    assert.equal(path, "/api/decisions");
    sent.push(body as Sent);
    return answer(body as Sent);
  });
});

const calls = (n: number): Listed[] =>
  Array.from({ length: n }, (_, i) => ({ id: `c${i}`, digest: `d${i}`, status: "pending" }));
const ids = () => sent.flatMap((s) => s.items.map((i) => i.decision_id));
const news = () => {};

describe("rejecting many", () => {
  for (const [n, parts] of [
    [1, [1]],
    [100, [100]],
    [101, [100, 1]],
    [250, [100, 100, 50]],
  ] as const) {
    test(`${n} calls`, async () => {
      const r = new Rejection(calls(n), "Both are old.");
      await r.send(news);
      assert.deepEqual(
        sent.map((s) => s.items.length),
        parts,
      );
      assert.ok(sent.every((s) => s.decision === "reject" && s.notes === "Both are old."));
      assert.equal(new Set(ids()).size, n);
      assert.deepEqual([r.left, r.results.size, r.results.get("c0")], [0, n, "resolved"]);
    });
  }

  test("a second press while it sends does nothing", async () => {
    const r = new Rejection(calls(150), "");
    const first = r.send(news);
    assert.equal(r.sending, true);
    await r.send(news);
    await first;
    assert.deepEqual([sent.length, r.sending], [2, false]);
    await r.send(news); // all were answered
    assert.equal(sent.length, 2);
  });

  test("after a lost connection, only the rest is sent again, under the same IDs", async () => {
    const r = new Rejection(calls(250), "");
    answer = (s) => {
      if (sent.length === 2) throw new Error("lost");
      return taken(s);
    };
    await r.send(news);
    assert.deepEqual([r.left, r.results.size, r.failure?.problem], [150, 100, null]);
    const before = sent[1]?.items;
    await r.send(news);
    assert.deepEqual([r.left, r.results.size, r.failure], [0, 250, null]);
    assert.deepEqual(sent[2]?.items, before);
  });

  test("the whole part is refused", async () => {
    const r = new Rejection(calls(3), "");
    answer = () => ({
      status: 503,
      body: { status: 503, title: "", detail: "The store is busy.", code: "x" },
    });
    await r.send(news);
    assert.deepEqual([r.left, r.failure?.message], [3, "The store is busy."]);
    answer = taken;
    await r.send(news);
    assert.deepEqual(sent[0], sent[1]);
    assert.equal(r.left, 0);
  });

  test("one of them is not taken, as while the server is too busy", async () => {
    const r = new Rejection(calls(3), "");
    answer = (s) => ({
      status: 200,
      body: {
        results: s.items.map(({ id }) =>
          id === "c1" && sent.length === 1
            ? { id, code: "temporal_unavailable", message: "Temporal does not answer." }
            : { id, outcome: id === "c2" ? "already_resolved" : "resolved" },
        ),
      },
    });
    await r.send(news);
    assert.deepEqual([...r.results.values()], ["resolved", "Temporal does not answer.", "already resolved"]);
    assert.equal(r.left, 1);
    await r.send(news);
    assert.deepEqual(
      sent[1]?.items,
      sent[0]?.items.filter((i) => i.id === "c1"),
    );
    assert.equal(r.results.get("c1"), "resolved");
  });
});
