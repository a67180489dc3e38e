// Words from outside: everything that could make text look like other text is written out as a mark,
// which no text can draw. Package present marks arguments; this marks the rest, such as names.
import type { ComponentChildren } from "preact";
import type { Span } from "./types";

// The characters of approval.Display: controls, formats, all spaces but the ordinary one, fillers,
// variation selectors, private use, and halves of pairs.
const HIDDEN = new RegExp(
  [
    "[\\p{Cc}\\p{Cf}\\p{Co}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Variation_Selector}]",
    "[\\u115f\\u1160\\u3164\\uffa0\\u2800\\ufffd]",
    "\\u034f",
    "(?! )\\p{Zs}",
  ].join("|"),
  "u",
);
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

/** Text as spans: what is hidden, and long gaps, stand out. Lines keep their breaks and tabs. */
export function spans(text: string, lines = false): Span[] {
  const out: Span[] = [];
  const keep = (s: string) => {
    const last = out.at(-1);
    if (last && last.t === "text") last.s += s;
    else if (s) out.push({ t: "text", s });
  };
  for (const piece of text.split(new RegExp(PIECES, "gu"))) {
    if (piece === "") continue;
    if (lines && (piece === "\n" || piece === "\t")) keep(piece);
    else if (/^ {9,}$/.test(piece)) out.push({ t: "gap", s: `${piece.length} spaces` });
    else if (lines && /^\n{5,}$/.test(piece)) out.push({ t: "gap", s: `${piece.length - 1} empty lines` });
    else if (/^\n{5,}$/.test(piece)) out.push({ t: "gap", s: `${piece.length} line breaks` });
    else if (HIDDEN.test(piece)) {
      const code = piece.codePointAt(0) ?? 0;
      const hex = code.toString(16).toUpperCase().padStart(4, "0");
      out.push({
        t: "hidden",
        s: code === 0x1b ? "ESC" : `U+${hex}`,
        name: NAMES[code] ?? `character U+${hex}`,
      });
    } else keep(piece);
  }
  return out;
}

/** Text from outside as plain text, with what is hidden written out: for names and titles. */
export function plain(text: string): string {
  return spans(text)
    .map((s) => s.s)
    .join("");
}

export function hasHidden(text: string): boolean {
  return HIDDEN.test(text.replace(/[\n\t]/g, ""));
}

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

/** Text of several lines from outside. */
export function SaidLines({ text }: { text: string }) {
  return (
    <bdi dir="auto" class="keep">
      <Spans spans={spans(text, true)} />
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

function OneSpan({ span }: { span: Span }) {
  const { t, s, name } = span;
  switch (t) {
    case "hidden":
      return (
        <span class="u" title={name}>
          <span class="vh">hidden character, {name}: </span>
          {s}
        </span>
      );
    case "look":
      return <Look s={s} name={name} />;
    case "gap":
      return <Mark mild>{s}</Mark>;
    case "cut":
      return <Mark mild>{s}</Mark>;
    case "note":
      return <span class="ext">{s}</span>;
    case "redacted":
      return <Redacted why={name ?? s} />;
    case "danger":
      return <span class="danger">{s}</span>;
    case "bold":
    case "host":
      return <b>{s}</b>;
    case "dim":
      return <span class="p">{s}</span>;
    case "keyword":
      return <span class="kw">{s}</span>;
    case "value":
      return <span class="v">{s}</span>;
    case "hit":
      return <mark>{s}</mark>;
    default:
      return <>{s}</>;
  }
}

function Look({ s, name }: { s: string; name: string | undefined }) {
  return (
    <>
      <span class="look" title={name}>
        {s}
      </span>
      <span class="u" title={name}>
        <span class="vh">look-alike letter: </span>
        {name?.startsWith(s) ? name : `${s} = ${name}`}
      </span>
    </>
  );
}

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

/** A value inside a sentence of ours. */
export function V({ children }: { children: string }) {
  return (
    <span class="v">
      <Said text={children} most={60} />
    </span>
  );
}
