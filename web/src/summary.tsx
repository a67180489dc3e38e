// What a call would do in one line, as package present makes it.
import { Spans } from "./text";
import type { Listed, Span } from "./types";

/** Pawl's own words and those from outside, in runs. What is cut off stands beside the words. */
function runs(all: Span[]): { ours: boolean; spans: Span[] }[] {
  const out: { ours: boolean; spans: Span[] }[] = [];
  for (const s of all) {
    const ours = s.t === "cut" || (s.t === "text" && (!s.as || s.as === "danger"));
    const last = out.at(-1);
    if (last && last.ours === ours) last.spans.push(s);
    else out.push({ ours, spans: [s] });
  }
  return out;
}

/**
 * The line as a sentence, in which words from outside have their own ground. A row has none, and its end
 * may be cut off, because nothing is decided there.
 */
export function Summary({ v, row = false }: { v: Listed; row?: boolean }) {
  return (
    <>
      {runs(v.summary ?? []).map((r, i) =>
        r.ours ? (
          <Spans key={i} spans={r.spans} />
        ) : (
          <bdi key={i} class={row ? undefined : "v"} dir={row ? undefined : "auto"}>
            <Spans spans={r.spans} />
          </bdi>
        ),
      )}
    </>
  );
}
