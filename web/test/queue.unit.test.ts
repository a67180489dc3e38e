// The queue, while more calls wait than one page of the list holds.
import "./headless";
import assert from "node:assert/strict";
import { beforeEach, describe, mock, test } from "node:test";
import { atLeast, here, isPart, loadMore, loadQueue, queue, showHeld, still, totalOf } from "../src/queue";
import { serve } from "./headless";
import { Calls } from "./listed";

let calls: Calls;
beforeEach(() => {
  calls = new Calls();
  serve((path) => calls.answer(path));
  still.pointer = false;
  still.focus = false;
  queue.value = { loaded: false, rows: new Map(), held: [], total: 0, more: "" };
});

/** Loads the list, and lets the questions about single calls be answered. */
async function load(changes: "anything" | string[] = "anything"): Promise<void> {
  await loadQueue(changes === "anything" ? changes : new Set(changes));
  await new Promise((done) => setTimeout(done, 5));
}
const live = () => [...queue.value.rows.values()].filter((r) => !r.gone).map((r) => r.call.id);
const how = (id: string) => queue.value.rows.get(id)?.gone?.how;
const names = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `c${from + i}`);
const shows = (ids: string[]) => assert.deepEqual(new Set(live()), new Set(ids));

describe("calls that newer ones moved off the page still wait", () => {
  for (const [more, changed] of [
    [1, "anything"],
    [1, ["c101"]],
    [50, "anything"],
    [50, names(101, 150)],
    [150, names(101, 250)],
    [450, "anything"],
  ] as const) {
    const what = changed === "anything" ? "anything" : "these";
    test(`${more} new ones, and ${what} may have changed`, async () => {
      calls.add(100);
      await load();
      assert.equal(isPart(queue.value), false);
      calls.add(more);
      await load(changed === "anything" ? changed : [...changed]);
      await load();
      shows(names(1, 100 + more));
      assert.equal(how("c1"), undefined);
      assert.equal(isPart(queue.value), false, "all of them are here");
    });
  }

  test("whatever the pointer holds back", async () => {
    calls.add(100);
    await load();
    still.pointer = true;
    calls.add(3);
    await load(["c101", "c102", "c103"]);
    shows(names(1, 100));
    assert.equal(queue.value.held.length, 3);
    assert.equal(isPart(queue.value), false);
  });

  test("and go once they ended", async () => {
    calls.add(100);
    await load();
    calls.add(20);
    await load();
    calls.end("c5");
    await load(["c5"]);
    assert.equal(how("c5"), "rejected by bo");
    calls.end("c6", "expired");
    await load(); // nobody told of it
    assert.equal(how("c6"), "denied by silence");
    shows(names(1, 120).filter((id) => id !== "c5" && id !== "c6"));
  });
});

describe("of more calls than were loaded", () => {
  beforeEach(async () => {
    calls.add(250);
    await load();
  });

  test("counts are said to be the least there are", async () => {
    shows(names(151, 250));
    assert.equal(isPart(queue.value), true);
    assert.deepEqual([here(queue.value), totalOf(queue.value)], [100, "250"]);
    assert.equal(atLeast(7, queue.value), "7+");
    await loadMore();
    assert.equal(isPart(queue.value), true);
    await loadMore();
    shows(names(1, 250));
    assert.equal(isPart(queue.value), false);
    assert.equal(atLeast(7, queue.value), "7");
    await load(["c250"]);
    assert.equal(isPart(queue.value), false, "also after a look at the first page alone");
  });

  test("those of further pages leave once they ended, told of or not", async () => {
    await loadMore();
    calls.end("c60");
    await load(["c60"]);
    assert.equal(how("c60"), "rejected by bo");
    calls.end("c61");
    await load();
    assert.equal(how("c61"), "rejected by bo");
    calls.end("c200");
    await load(["c200"]);
    assert.equal(how("c200"), "rejected by bo");
    // What was shown is looked through as far as before, which is two calls further down now.
    shows(names(49, 250).filter((id) => !["c60", "c61", "c200"].includes(id)));
  });

  test("one that still waits by its own answer, or gives none, stays", async () => {
    calls.lost = true;
    calls.end("c200");
    await load();
    assert.equal(how("c200"), undefined);
    calls.lost = false;
    await load();
    assert.equal(how("c200"), "rejected by bo");
  });

  test("single calls are asked for only where the list does not tell", async () => {
    calls.asked = [];
    calls.add(100);
    await load();
    await load(["c300"]);
    const single = calls.asked.filter((path) => path.startsWith("/api/requests/"));
    assert.deepEqual(single, []);
    shows(names(151, 350));
  });

  test("more than the API counts are said to be more", async () => {
    calls.add(1200);
    await load();
    assert.equal(totalOf(queue.value), "more than 1,000");
    assert.equal(isPart(queue.value), true);
  });
});

test("without further pages, what is missing has ended, and says how", async () => {
  calls.add(5);
  await load();
  calls.end("c2");
  calls.end("c3", "cancelled");
  await load(["c2"]);
  assert.deepEqual([how("c2"), how("c3")], ["rejected by bo", "withdrawn"]);
  shows(["c1", "c4", "c5"]);
  calls.end("c4", "expired");
  calls.lost = true;
  await load();
  assert.equal(how("c4"), "");
});

describe("nothing moves under the pointer", () => {
  for (const how of ["pointer", "focus"] as const) {
    test(`new calls wait while the ${how} is inside`, async () => {
      calls.add(3);
      still[how] = true;
      await load();
      shows(["c1", "c2", "c3"]); // the first ones move nothing
      calls.add(2);
      await load(["c4", "c5"]);
      shows(["c1", "c2", "c3"]);
      assert.deepEqual(
        queue.value.held.map((c) => c.id),
        ["c5", "c4"],
      );
      showHeld();
      shows(names(1, 5));
      assert.equal(queue.value.held.length, 0);
      calls.add(1);
      await load();
      still[how] = false;
      await load();
      shows(names(1, 6));
    });
  }

  test("what ended keeps its place for ten seconds, and for as long as the pointer is inside", async () => {
    mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-03-05T14:20:00.5Z") });
    try {
      calls.add(3);
      await load();
      calls.end("c2");
      await load();
      const places = () => [...queue.value.rows.keys()];
      assert.equal(how("c2"), "rejected by bo");
      mock.timers.tick(9_000);
      await load();
      assert.deepEqual(places(), ["c3", "c2", "c1"]);
      still.pointer = true;
      mock.timers.tick(60_000);
      await load();
      assert.deepEqual(places(), ["c3", "c2", "c1"]);
      still.pointer = false;
      await load();
      assert.deepEqual(places(), ["c3", "c1"]);
      calls.end("c1", "expired");
      await load();
      mock.timers.tick(10_000);
      await load();
      assert.deepEqual(places(), ["c3"]);
    } finally {
      mock.timers.reset();
    }
  });
});
