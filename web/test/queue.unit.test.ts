// The queue, while more calls wait than one page of the list holds.
import "./headless";
import assert from "node:assert/strict";
import { beforeEach, describe, mock, test } from "node:test";
import {
  anyFar,
  atLeast,
  here,
  isPart,
  loadMore,
  loadQueue,
  noneSoFar,
  queue,
  showHeld,
  still,
  totalOf,
} from "../src/queue";
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

describe("calls that others moved off the first page still wait", () => {
  for (const [more, changed] of [
    [1, "anything"],
    [1, ["c101"]],
    [50, "anything"],
    [50, names(101, 150)],
    [150, names(101, 250)],
    [350, "anything"],
  ] as const) {
    for (const where of ["behind", "in front"] as const) {
      const what = changed === "anything" ? "anything" : "these";
      test(`${more} new ones ${where}, and ${what} may have changed`, async () => {
        calls.add(100);
        await load();
        assert.equal(isPart(queue.value), false);
        calls.add(more, where);
        await load(changed === "anything" ? changed : [...changed]);
        await load(["c1"]);
        await load();
        shows(names(1, 100 + more));
        assert.equal(how("c1"), undefined);
        assert.equal(how("c100"), undefined);
        assert.equal(isPart(queue.value), false, "all of them are here");
      });
    }
  }

  test("and not all are loaded where very many are new", async () => {
    calls.add(100);
    await load();
    calls.add(900);
    await load();
    shows(names(1, 500));
    assert.equal(isPart(queue.value), true);
  });

  test("whatever the pointer holds back", async () => {
    calls.add(100);
    await load();
    still.pointer = true;
    calls.add(3, "in front");
    await load(["c101", "c102", "c103"]);
    shows(names(1, 100));
    assert.equal(queue.value.held.length, 3);
    await load(["c7"]); // which reads no further than the first page
    shows(names(1, 100));
    assert.equal(queue.value.held.length, 3);
    assert.equal(isPart(queue.value), false);
    calls.add(60);
    await load();
    calls.end("c150");
    await load(["c150"]);
    await load(["c7"]);
    assert.equal(queue.value.held.length, 62);
    showHeld();
    shows(names(1, 163).filter((id) => id !== "c150"));
  });

  test("and go once they ended", async () => {
    calls.add(100);
    await load();
    calls.add(20, "in front");
    await load();
    calls.end("c95");
    await load(["c95"]);
    assert.equal(how("c95"), "rejected by bo");
    calls.end("c96", "expired");
    await load(); // nobody told of it
    assert.equal(how("c96"), "denied by silence");
    shows(names(1, 120).filter((id) => id !== "c95" && id !== "c96"));
  });
});

describe("calls that are mine, behind a page of those of others", () => {
  const gives = (may: string[], ...ids: string[]) => {
    for (const c of calls.all) if (ids.length === 0 || ids.includes(c.id)) c.you = { may };
  };
  const looks = () => calls.asked.filter((path) => path.includes("may=approve")).length;
  const later = () => {
    const { looked } = queue.value;
    if (looked) looked.at -= looked.found === "none so far" ? 60_000 : 10_000;
  };
  beforeEach(() => {
    calls.add(250);
    gives([]);
  });

  test("are here, and what is theirs between is not", async () => {
    gives(["approve"], "c180", "c220");
    await load();
    shows([...names(1, 100), "c180", "c220"]);
    assert.equal(anyFar(queue.value), true);
    for (const changes of ["anything", ["c7"], ["c220"], "anything"] as const) {
      await load(changes === "anything" ? changes : [...changes]);
      shows([...names(1, 100), "c180", "c220"]);
      assert.deepEqual([here(queue.value), isPart(queue.value)], [100, true]);
    }
    await loadMore();
    shows([...names(1, 200), "c220"]);
    assert.deepEqual([here(queue.value), isPart(queue.value)], [200, true]);
    await loadMore();
    shows(names(1, 250));
    assert.deepEqual([anyFar(queue.value), isPart(queue.value)], [false, false]);
  });

  test("leave once they ended, told of or not, and new ones come", async () => {
    gives(["approve"], "c180", "c190", "c220");
    await load();
    calls.end("c180");
    await load(["c180"]);
    assert.equal(how("c180"), "rejected by bo");
    calls.end("c190", "expired");
    await load();
    assert.equal(looks(), 1);
    later();
    await load();
    assert.equal(how("c190"), "denied by silence");
    calls.add(1);
    gives(["approve"], "c251");
    later();
    await load(["c251"]);
    assert.equal(looks(), 3);
    shows([...names(1, 100), "c220", "c251"]);
  });

  test("are looked for once the last of mine is decided", async () => {
    gives(["approve"], "c3", "c200");
    await load();
    assert.equal(looks(), 0, "one is on the first page");
    shows(names(1, 100));
    calls.end("c3");
    await load(["c3"]);
    shows([...names(1, 101), "c200"].filter((id) => id !== "c3"));
    calls.end("c200");
    gives(["approve"], "c210");
    await load(["c200"]);
    await load();
    shows([...names(1, 101), "c210"].filter((id) => id !== "c3"));
  });

  test("are looked for again after a while, where there are none", async () => {
    await load();
    assert.equal(queue.value.looked?.found, "none");
    await load();
    await load(["c7"]);
    assert.equal(looks(), 1);
    assert.equal(noneSoFar(queue.value), "");
    calls.add(1);
    gives(["approve"], "c251");
    later();
    still.pointer = true;
    await load();
    shows(names(1, 100));
    assert.deepEqual(
      queue.value.held.map((c) => c.id),
      ["c251"],
    );
    await load();
    assert.equal(queue.value.held.length, 1);
    showHeld();
    shows([...names(1, 100), "c251"]);
    assert.equal(here(queue.value), 100);
  });

  test("and where the server looked no further, that is said", async () => {
    gives(["approve"], "c240");
    calls.looks = 50;
    await load();
    shows(names(1, 100));
    assert.match(noneSoFar(queue.value), /^None of those, nor of up to 20,000/);
    calls.looks = 200;
    later();
    await load();
    assert.equal(noneSoFar(queue.value), "");
    shows([...names(1, 100), "c240"]);
  });
});

describe("of more calls than were loaded", () => {
  beforeEach(async () => {
    calls.add(250);
    await load();
  });

  test("counts are said to be the least there are", async () => {
    shows(names(1, 100));
    assert.equal(isPart(queue.value), true);
    assert.deepEqual([here(queue.value), totalOf(queue.value)], [100, "250"]);
    assert.equal(atLeast(7, queue.value), "7+");
    await loadMore();
    shows(names(1, 200));
    assert.equal(isPart(queue.value), true);
    await loadMore();
    shows(names(1, 250));
    assert.equal(isPart(queue.value), false);
    assert.equal(atLeast(7, queue.value), "7");
    await load(["c1"]);
    assert.equal(isPart(queue.value), false, "also after a look at the first page alone");
  });

  test("the oldest is here if its time ends first, and a new one if its time ends soon", async () => {
    const late = calls.all[249];
    if (late) late.deadline = new Date(Date.UTC(2026, 0, 1)).toISOString();
    await load();
    shows([...names(1, 100), "c250"]);
    calls.add(1, "in front");
    await load(["c251"]);
    shows([...names(1, 100), "c250", "c251"]);
    calls.add(1);
    await load(["c252"]);
    shows([...names(1, 100), "c250", "c251"]);
    assert.equal(queue.value.total, 252);
    await loadMore();
    await loadMore();
    shows(names(1, 252));
  });

  test("those of further pages leave once they ended, told of or not", async () => {
    await loadMore();
    calls.end("c160");
    await load(["c160"]);
    assert.equal(how("c160"), "rejected by bo");
    calls.end("c161");
    await load();
    assert.equal(how("c161"), "rejected by bo");
    calls.end("c20");
    await load(["c20"]);
    assert.equal(how("c20"), "rejected by bo");
    // As many are read as were shown.
    shows(names(1, 201).filter((id) => !["c160", "c161", "c20"].includes(id)));
  });

  test("as many are here as before when the first ones end", async () => {
    for (const id of names(1, 60)) calls.end(id, "expired");
    await load();
    shows(names(61, 160));
    assert.equal(isPart(queue.value), true);
    await loadMore();
    shows(names(61, 250));
    assert.equal(isPart(queue.value), false);
  });

  test("one that still waits by its own answer, or gives none, stays", async () => {
    calls.lost = true;
    calls.end("c20");
    await load();
    assert.equal(how("c20"), undefined);
    calls.lost = false;
    await load();
    assert.equal(how("c20"), "rejected by bo");
  });

  test("single calls are asked for only where the list does not tell", async () => {
    calls.asked = [];
    calls.add(100, "in front");
    await load();
    await load(["c300"]);
    const single = calls.asked.filter((path) => path.startsWith("/api/requests/"));
    assert.deepEqual(single, []);
    shows([...names(1, 100), ...names(251, 350)]);
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
        ["c4", "c5"],
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
      assert.deepEqual(places(), ["c1", "c2", "c3"]);
      still.pointer = true;
      mock.timers.tick(60_000);
      await load();
      assert.deepEqual(places(), ["c1", "c2", "c3"]);
      still.pointer = false;
      await load();
      assert.deepEqual(places(), ["c1", "c3"]);
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
