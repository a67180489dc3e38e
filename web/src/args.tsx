// The arguments: as package present lays them out, and as JSON.
import { useContext, useState } from "preact/hooks";
import { BlockView, type Title, titleOf } from "./blocks";
import { Copy } from "./copy";
import { useKeys } from "./keys";
import { Parted, SeenContext } from "./parted";
import { plural } from "./parts";
import { escaped, Spans, spans } from "./text";
import type { Block, Json, Request } from "./types";

/** How many of the values shown the policy hides. */
export function redactedIn(blocks: Block[]): number {
  const inSpans = (all: { t: string }[] | undefined) => (all ?? []).filter((s) => s.t === "redacted").length;
  let n = 0;
  for (const b of blocks) {
    for (const l of b.lines ?? []) n += inSpans(l.spans);
    for (const r of b.rows ?? []) {
      for (const l of r.value ?? []) n += inSpans(l.spans);
      for (const c of r.cells ?? []) n += inSpans(c);
    }
  }
  return n;
}

export const argumentBlocks = (r: Request): Block[] => (r.blocks ?? []).filter((b) => b.part === "args");

export function Arguments({ r }: { r: Request }) {
  const [json, setJSON] = useState(false);
  const seen = useContext(SeenContext);
  useKeys({
    v: () => setJSON(!json),
    o: () => {
      for (const b of document.querySelectorAll<HTMLButtonElement>("[data-fold]")) b.click();
    },
  });
  if (r.args === undefined) return null;
  const blocks = argumentBlocks(r);
  const count = r.args !== null && typeof r.args === "object" ? Object.keys(r.args).length : 1;
  const hidden = redactedIn(blocks);
  // The readable form of too many pieces is cut: then only the JSON shows all.
  if (blocks.some((b) => b.lines?.some((l) => l.spans.some((s) => s.t === "cut"))))
    seen?.need("readable:cut", "what only the JSON has");
  const tab = (on: boolean, words: string, key?: string) => (
    <button class="tab" type="button" role="tab" aria-selected={json === on} onClick={() => setJSON(on)}>
      {words} {key && <kbd>{key}</kbd>}
    </button>
  );
  const all: Title = {
    head: "Arguments",
    note: plural(count, "argument") + (hidden > 0 ? `, ${hidden} redacted` : ""),
  };
  // A block with a name of its own has it as its heading, also the first one.
  const first = blocks[0];
  const title = !json && first ? titleOf(first, all) : all;
  return (
    <section class="sec" aria-label="Arguments">
      <header>
        <h3>{title.head}</h3>
        <span class="note">{title.note}</span>
        <span class="end">
          <span role="tablist" aria-label="Arguments as">
            {tab(false, "Readable")}
            {tab(true, "JSON", "v")}
          </span>
        </span>
      </header>
      {json ? (
        <AsJSON value={r.args} />
      ) : count === 0 ? (
        <p class="dim">It has no arguments.</p>
      ) : (
        blocks.map((b, i) => (
          <BlockView key={i} block={b} id={`readable:${i}`} title={i > 0 ? titleOf(b, OTHERS) : undefined} />
        ))
      )}
    </section>
  );
}

const OTHERS: Title = { head: "Other arguments", note: "" };

/** The JSON in lines. What is hidden in it stands as escapes, and is copied as such. */
export function AsJSON({ value }: { value: Json }) {
  const text = JSON.stringify(value, null, 2);
  const lines = text.split("\n");
  return (
    <div class="data">
      <div class="code lines" translate={false}>
        <Parted
          id="json:0"
          name="the JSON"
          chars={lines.map((l) => l.length)}
          lines={lines.map((l, i) => (
            <p class="cl" key={i}>
              <i>{i + 1}</i>
              <span>
                <Spans spans={spans(l, true)} />
              </span>
            </p>
          ))}
        />
      </div>
      <p class="copies">
        <Copy what="the JSON" text={() => escaped(text)} />
      </p>
    </div>
  );
}
