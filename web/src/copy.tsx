// Copying: the one way in which words from outside leave the page, as they are written.
import { useEffect, useState } from "preact/hooks";
import type { Span } from "./types";

const SAYS = 2000; // ms for which the button says what it did

/** A button that copies a text. */
export function Copy({ what, text }: { what: string; text: () => string }) {
  const [said, say] = useState("");
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => say(""), SAYS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      say("Copied");
    } catch {
      say("Not copied: this browser does not let the page");
    }
  };
  return (
    <button class="btn small quiet copy" type="button" onClick={() => void copy()}>
      <span role="status">{said}</span>
      {!said && (
        <>
          Copy <span class="vh">{what}</span>
        </>
      )}
    </button>
  );
}

/** The address that a value is, as it is written; what can't be seen in it is percent-encoded. Empty: it
 *  is none, or not all of it is here. */
export function addressIn(spans: Span[]): string {
  let text = "";
  for (const { t, s, n = 1 } of spans) {
    if (t === "text" || t === "look") text += s;
    else if (t === "hidden") text += encoded(s === "ESC" ? 0x1b : Number.parseInt(s.slice(2), 16)).repeat(n);
    else if (t !== "note") return ""; // notes are ours
  }
  return /^[a-z][a-z0-9+.-]*:\/\/\S+$/i.test(text) ? text : "";
}

function encoded(code: number): string {
  const half = code >= 0xd800 && code <= 0xdfff;
  return encodeURIComponent(String.fromCodePoint(half ? 0xfffd : code));
}

export function CopyAddress({ spans }: { spans: Span[] }) {
  const address = addressIn(spans);
  return address ? <Copy what="the address" text={() => address} /> : null;
}
