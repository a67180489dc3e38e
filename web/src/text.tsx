// Words from outside: everything that could make text look like other text is written out as a mark,
// which no text can draw. Package present marks arguments; this marks the rest, such as names.
import type { ComponentChildren } from "preact";
import type { Span } from "./types";

// The characters of approval.Display: controls, formats, all spaces but the ordinary one, private use,
// halves of pairs, and all that is drawn as nothing.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{DI}\u2800\ufffd]|(?! )\p{Zs}/u;
const PIECES = new RegExp(`( {9,}|\\n{5,}|${HIDDEN.source})`, "u");

const NAMES: Record<number, string> = {
  27: "escape",
  9: "tab",
  10: "line break",
  13: "carriage return",
  160: "no-break space",
  173: "soft hyphen",
  8203: "zero width space",
  8204: "zero width non-joiner",
  8205: "zero width joiner",
  8206: "left-to-right mark",
  8207: "right-to-left mark",
  8234: "left-to-right embedding",
  8235: "right-to-left embedding",
  8236: "pop directional formatting",
  8237: "left-to-right override",
  8238: "right-to-left override",
  8288: "word joiner",
  8294: "left-to-right isolate",
  8295: "right-to-left isolate",
  8296: "first strong isolate",
  8297: "pop directional isolate",
  65279: "byte order mark",
};

/** JSON in which each character that can't be seen is an escape. */
export const escaped = (json: string): string => json.replace(new RegExp(HIDDEN.source, "gu"), asEscape);

const asEscape = (character: string): string =>
  Array.from({ length: character.length }, (_, i) => {
    return `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
  }).join("");

/** Text of one line as spans: what is hidden, and long gaps, stand out. In JSON what is hidden is written
 *  as escapes. */
export function spans(text: string, json = false): Span[] {
  const out: Span[] = [];
  const keep = (s: string) => {
    const last = out.at(-1);
    if (last && last.t === "text") last.s += s;
    else if (s) out.push({ t: "text", s });
  };
  for (const piece of text.split(new RegExp(PIECES, "gu"))) {
    if (piece === "") continue;
    if (/^ {9,}$/.test(piece)) out.push({ t: "gap", s: `${piece.length} spaces` });
    else if (/^\n{5,}$/.test(piece)) out.push({ t: "gap", s: `${piece.length} line breaks` });
    else if (HIDDEN.test(piece)) {
      const code = piece.codePointAt(0) ?? 0;
      const hex = code.toString(16).toUpperCase().padStart(4, "0");
      out.push({
        t: "hidden",
        s: json ? asEscape(piece) : code === 0x1b ? "ESC" : `U+${hex}`,
        name: NAMES[code] ?? `character U+${hex}`,
      });
    } else keep(piece);
  }
  return out;
}

export const textOf = (all: Span[] | undefined): string => (all ?? []).map((s) => s.s).join("");
export const charsOf = (all: Span[]): number => all.reduce((n, s) => n + s.s.length, 0);

/** Text from outside inside a sentence or a row. */
export function Said({ text, most }: { text: string | undefined; most?: number }) {
  if (!text) return null;
  const letters = Array.from(text);
  const cut = most !== undefined && letters.length > most;
  return (
    <bdi dir="auto">
      <Spans spans={spans(cut ? letters.slice(0, most).join("") : text)} />
      {cut && <Mark mild>and {letters.length - most} characters more</Mark>}
    </bdi>
  );
}

export function Spans({ spans: all }: { spans: Span[] }) {
  return (
    <>
      {all.map((s, i) => (
        <OneSpan key={i} span={s} />
      ))}
    </>
  );
}

// Words of ours that stand in a value, because it may deceive.
const ALARM =
  /^(. = |same key|counts don|no WHERE|user name|programs differ|written |begins with|ends with)/u;

// What is no deceit, only no ordinary space.
const BLANKS: Record<string, string> = { "U+000A": "↵", "U+0009": "⇥" };

function OneSpan({ span }: { span: Span }) {
  const { t, s, name, n } = span;
  switch (t) {
    case "hidden":
      if (BLANKS[s]) {
        return (
          <span class="u mild" title={name}>
            <span aria-hidden="true">{BLANKS[s]}</span>
            <span class="vh">{name}</span>
          </span>
        );
      }
      return (
        <span class="u" title={name}>
          <span class="vh">hidden character, {name}: </span>
          {s}
          {n !== undefined && n > 1 && ` × ${n}`}
        </span>
      );
    case "look":
      return (
        <span class={span.as === "strong" ? "look strong" : "look"} title={name}>
          {s}
        </span>
      );
    case "gap":
    case "cut":
      return <Mark mild>{s}</Mark>;
    case "redacted":
      return <Redacted why={name ?? s} />;
    case "note":
      if (s === '"') return <span class="p">{s}</span>; // around a text in a tree
      return ALARM.test(s) ? <Mark>{s}</Mark> : <span class="ext">{s}</span>;
  }
  const cls = span.as && CLASSES[span.as];
  if (span.as === "strong") return <b>{s}</b>;
  if (span.as === "changed") return <mark>{s}</mark>;
  return <span class={cls}>{s}</span>;
}

const CLASSES: Partial<Record<NonNullable<Span["as"]>, string>> = {
  dim: "p",
  danger: "danger",
  keyword: "kw",
  string: "s",
  number: "n",
  key: "k",
};

function Mark({ mild, children }: { mild?: boolean; children: ComponentChildren }) {
  return <span class={mild ? "u mild" : "u"}>{children}</span>;
}

export function Redacted({ why }: { why: string }) {
  return (
    <span class="redacted">
      <svg aria-hidden="true">
        <use href="#i-lock" />
      </svg>
      {why.startsWith("redacted") ? why : `redacted: ${why}`}
    </span>
  );
}
