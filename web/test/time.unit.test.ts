// Times as people read them: what is shown as left is left.
import "./headless";
import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { age, isSoon, left, length } from "../src/time";

const NOW = Date.parse("2026-03-05T14:20:00Z");
mock.timers.enable({ apis: ["Date"], now: NOW });
const after = (seconds: number) => new Date(NOW + seconds * 1000).toISOString();

describe("a countdown", () => {
  for (const [seconds, want] of [
    [0.001, "0:00"],
    [0, "0:00"],
    [-0.001, "ending"],
    [-3600, "ending"],
    [0.999, "0:00"],
    [1, "0:01"],
    [48.999, "0:48"],
    [59.999, "0:59"],
    [60, "1:00"],
    [1570, "26:10"],
    [3599.999, "59:59"],
    [3600, "1 h 00 m"],
    [4379.9, "1 h 12 m"],
    [86_399.9, "23 h 59 m"],
    [86_400, "1 d 0 h"],
    [2 * 86_400 + 5 * 3600 - 0.1, "2 d 4 h"],
  ] as const) {
    test(`of ${seconds} s reads ${want}`, () => assert.equal(left(after(seconds)), want));
  }

  test("never rounds up", () => {
    const parts: [RegExp, number[]][] = [
      [/^(\d+) d (\d+) h$/, [86_400, 3600]],
      [/^(\d+) h (\d\d) m$/, [3600, 60]],
      [/^(\d+):(\d\d)$/, [60, 1]],
    ];
    for (let ms = 0; ms < 3 * 86_400_000; ms += 7919) {
      const shown = left(new Date(NOW + ms).toISOString());
      const [m, units] = parts.map(([p, u]) => [p.exec(shown), u] as const).find(([m]) => m) ?? [null, []];
      assert.ok(m, shown);
      const seconds = Number(m[1]) * (units[0] ?? 0) + Number(m[2]) * (units[1] ?? 0);
      assert.ok(seconds * 1000 <= ms && ms - seconds * 1000 < (units[1] ?? 0) * 1000, `${ms} ms: ${shown}`);
    }
  });

  for (const [seconds, soon] of [
    [299.999, true],
    [300, false],
    [-1, true],
    [86_400, false],
  ] as const) {
    test(`of ${seconds} s is ${soon ? "" : "not "}soon over`, () =>
      assert.equal(isSoon(after(seconds)), soon));
  }
  test("of no deadline is never soon over", () => assert.equal(isSoon(undefined), false));
});

for (const [ms, want] of [
  [-1, "0.0 s"],
  [8240, "8.2 s"],
  [38_999, "38 s"],
  [242_000, "4 m 02 s"],
  [7_500_000, "2 h 05 m"],
  [3 * 86_400_000 + 5, "3 d"],
] as const) {
  test(`a length of ${ms} ms reads ${want}`, () => assert.equal(length(ms), want));
}

for (const [seconds, want] of [
  [0, "now"],
  [9.9, "now"],
  [10, "10 s"],
  [59.9, "59 s"],
  [240, "4 m"],
  [7200, "2 h"],
  [3 * 86_400, "3 d"],
] as const) {
  test(`an age of ${seconds} s reads ${want}`, () => assert.equal(age(after(-seconds)), want));
}
