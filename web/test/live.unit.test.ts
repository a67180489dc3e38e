// How often the page asks while nothing is shown that could change, as to somebody who is signed out.
import "./headless";
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { watch } from "../src/live";
import { happens, serve } from "./headless";

test("a page of somebody who is signed out asks ever less often, and at once when that may help", async () => {
  let lost = false;
  let asked: number[] = []; // in seconds
  serve((path) => {
    assert.equal(path, "/api/version");
    asked.push(Date.now() / 1000);
    if (lost) throw new Error("lost");
    return { status: 200, body: {} };
  });
  Object.assign(document, { visibilityState: "visible" });
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const answered = () => new Promise((done) => setImmediate(done));
  const goes = async (seconds: number) => {
    for (let i = 0; i < 2 * seconds; i++) {
      mock.timers.tick(500);
      await answered();
    }
  };
  const pauses = () => asked.slice(1).map((at, i) => at - (asked[i] ?? 0));

  watch(async () => {})();
  await goes(130);
  assert.deepEqual(pauses(), [4, 8, 16, 30, 30, 30]);
  for (const what of ["visibilitychange", "online"]) {
    await goes(10);
    const before = asked.length;
    happens(what);
    await answered();
    assert.equal(asked.length, before + 1, what);
  }
  lost = true;
  asked = [];
  await goes(100);
  assert.deepEqual(pauses(), [0.5, 30, 30]); // one lost answer is asked for again
  lost = false;

  let loads = 0;
  const stop = watch(async () => void loads++);
  happens("online");
  await answered();
  await goes(10);
  assert.equal(loads, 6); // what is shown is asked for every two seconds
  stop();
  mock.timers.reset();
});
