// Each kind of entry that the audit log holds has a sentence, and is a choice of the audit view's filter.
import "./headless";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { KINDS, leavesOut } from "../src/audit";
import { describe } from "../src/timeline";
import { words } from "./headless";

const source = readFileSync(join(process.env.PAWL_SOURCE ?? "", "audit/entry.go"), "utf8");
const kinds = [...source.matchAll(/^\tKind[A-Z]\w+\s+Kind = "([\w.]+)"/gm)].map(([, kind]) => kind ?? "");

test("every kind is in the filter", () => {
  assert.ok(kinds.length > 20);
  assert.deepEqual([...KINDS].sort(), [...kinds].sort());
});

for (const kind of kinds) {
  test(`${kind} has a sentence`, () => {
    const said = words(describe(kind, {}).words);
    assert.ok(said && said !== kind, said);
  });
}

test("what a search for somebody leaves out is told", () => {
  for (const [query, told] of [
    ["by=bot&order=newest", true],
    ["by=bot&until=2026-03-01T00:00:00Z&limit=100", true],
    ["by=bot&since=2026-03-01T00:00:00Z", false],
    ["by=bot&kind=call.requested", false],
    ["by=bot&request_id=pawl-k3vq2m7", false],
    ["tool=mail", false],
  ] as const) {
    assert.equal(leavesOut(new URLSearchParams(query)), told, query);
  }
});

test("a kind of a newer Pawl is shown by its name", () => {
  assert.equal(words(describe("call.imagined", {}).words), "call.imagined");
});
