// What is copied is what was asked for, with nothing in it that can't be seen.
import "./headless";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { addressIn } from "../src/copy";
import { escaped, spans } from "../src/text";
import type { Span } from "../src/types";

describe("JSON", () => {
  for (const [value, want] of [
    ["admin\u202etxt", '"admin\\u202etxt"'],
    ["a\u200bb\u00a0c\ufeff", '"a\\u200bb\\u00a0c\\ufeff"'],
    ["tag \u{e0041}", '"tag \\udb40\\udc41"'],
    [
      "rm\u17b4\u2065\ufff0\u{e0000}\u{e01f0} -rf",
      '"rm\\u17b4\\u2065\\ufff0\\udb40\\udc00\\udb40\\uddf0 -rf"',
    ],
    ["\u001b[31m\u0085", '"\\u001b[31m\\u0085"'],
    ["Grüße 日本 🙂 of two words", '"Grüße 日本 🙂 of two words"'],
  ] as const) {
    test(want, () => {
      const json = JSON.stringify(value);
      assert.equal(escaped(json), want);
      assert.equal(JSON.parse(escaped(json)), value);
      // The same stands on the screen.
      assert.equal(
        spans(json, true)
          .map((s) => s.s)
          .join(""),
        want,
      );
    });
  }
});

describe("addresses", () => {
  const said = (text: string): Span[] => [{ t: "text", s: text }];
  for (const [what, all, want] of [
    [
      "in parts",
      [{ t: "text", s: "https://", as: "dim" }, ...said("a.example"), ...said("/x?y=1#z")],
      "https://a.example/x?y=1#z",
    ],
    [
      "with a note of ours",
      [...said("https://"), { t: "look", s: "а" }, ...said(".example"), { t: "note", s: "xn--80a.example" }],
      "https://а.example",
    ],
    [
      "with what can't be seen",
      [...said("https://a.example/"), { t: "hidden", s: "U+202E", n: 2 }, ...said("b")],
      "https://a.example/%E2%80%AE%E2%80%AEb",
    ],
    [
      "with a terminal's code",
      [...said("https://a.example/"), { t: "hidden", s: "ESC" }],
      "https://a.example/%1B",
    ],
    [
      "of which not all is here",
      [...said("https://a.example/"), { t: "cut", s: "and 400 characters more" }],
      "",
    ],
    ["of which a part is redacted", [...said("https://a.example/?key="), { t: "redacted", s: "key" }], ""],
    ["that is none", said("see https://a.example"), ""],
    ["of mail", said("ana@example.com"), ""],
    ["of nothing", [], ""],
  ] as [string, Span[], string][]) {
    test(what, () => assert.equal(addressIn(all), want));
  }
});
