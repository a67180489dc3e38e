// The arguments: as package present lays them out, or as a plain table or tree, and as JSON.

import type { ComponentChildren } from "preact";
import { createContext } from "preact";
import { useContext, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ArgumentBlocks, hasBlocks } from "./blocks";
import { useKeys } from "./keys";
import { Icon } from "./parts";
import { PART, type Seen } from "./seen";
import { Said, SaidLines, Spans, spans } from "./text";
import type { Json, Listed } from "./types";

export const SeenContext = createContext<Seen | null>(null);

const FOLD = 60;
const FOLD_PHONE = 40;
export const isPhone = (): boolean => matchMedia("(max-width: 560px)").matches;

interface PartedProps {
  form: string; // readable or json
  name: string; // of what has the lines
  lines: ComponentChildren[]; // each one an element with a key
  unit?: [one: string, many: string];
  chars?: (from: number) => number; // from that line on
}

/** Lines in parts that can be seen, and a fold where they are many. A fold opens all of it. */
export function Parted({ form, name, lines, unit = ["line", "lines"], chars }: PartedProps) {
  const seen = useContext(SeenContext);
  const most = isPhone() ? FOLD_PHONE : FOLD;
  const folds = lines.length > most;
  const [open, setOpen] = useState(false);
  const shown = folds && !open ? PART : lines.length;
  const parts: { id: string; from: number; to: number }[] = [];
  for (let from = 0; from < lines.length; from += PART) {
    const to = Math.min(from + PART, lines.length);
    parts.push({ id: `${form}:${name}:${from}`, from, to });
    const which = lines.length > PART ? `${unit[1]} ${from + 1}–${to} of ${name}` : name;
    seen?.need(`${form}:${name}:${from}`, which);
  }
  const show = () => {
    seen?.opened(parts.filter((p) => p.from >= shown).map((p) => p.id));
    setOpen(true);
  };
  const hidden = lines.length - shown;
  return (
    <>
      {parts
        .filter((p) => p.from < shown)
        .map((p) => (
          <div class="part" key={p.id}>
            {lines.slice(p.from, Math.min(p.to, shown))}
            <End id={p.id} />
          </div>
        ))}
      {hidden > 0 && (
        <button class="fold" type="button" data-fold onClick={show}>
          <Icon name="eye" size={16} />
          <span class="grow">
            <b>
              {hidden} more {hidden === 1 ? unit[0] : unit[1]}
            </b>
            {chars && `, ${chars(shown).toLocaleString("en-GB")} characters`}, not shown yet
          </span>
          <span class="do">Show all</span>
        </button>
      )}
    </>
  );
}

function End({ id }: { id: string }) {
  const seen = useContext(SeenContext);
  const end = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    seen?.ends(id, end.current);
    return () => seen?.ends(id, null);
  }, [seen, id]);
  return <span class="part-end" ref={end} />;
}

export function Arguments({ v }: { v: Listed }) {
  const [json, setJSON] = useState(false);
  useKeys({
    v: () => setJSON(!json),
    o: () => {
      for (const b of document.querySelectorAll<HTMLButtonElement>("[data-fold]")) b.click();
    },
  });
  if (v.args === undefined) return null;
  const count = v.args !== null && typeof v.args === "object" ? Object.keys(v.args).length : 1;
  const tab = (on: boolean, words: string, key?: string) => (
    <button class="tab" type="button" role="tab" aria-selected={json === on} onClick={() => setJSON(on)}>
      {words} {key && <kbd>{key}</kbd>}
    </button>
  );
  return (
    <section class="sec">
      <header>
        <h3>Arguments</h3>
        <span class="note">{count === 1 ? "1 argument" : `${count} arguments`}</span>
        <span class="end">
          <span role="tablist" aria-label="Arguments as">
            {tab(false, "Readable")}
            {tab(true, "JSON", "v")}
          </span>
        </span>
      </header>
      {json ? <AsJSON value={v.args} /> : hasBlocks(v) ? <ArgumentBlocks v={v} /> : <Plain value={v.args} />}
    </section>
  );
}

/** The canonical text, in lines. What is hidden in it stands as escapes, so that copying keeps it. */
export function AsJSON({ value }: { value: Json }) {
  const text = JSON.stringify(value, null, 2);
  const lines = text.split("\n");
  return (
    <div class="data">
      <div class="code lines" translate={false}>
        <Parted
          form="json"
          name="the JSON"
          lines={lines.map((l, i) => <JSONLine key={i} n={i + 1} text={l} />)}
        />
      </div>
    </div>
  );
}

function JSONLine({ n, text }: { n: number; text: string }) {
  return (
    <p class="cl">
      <i>{n}</i>
      <span>
        <Spans spans={spans(text)} />
      </span>
    </p>
  );
}

const isObject = (v: Json): v is { [key: string]: Json } =>
  v !== null && typeof v === "object" && !Array.isArray(v);
const isScalar = (v: Json) => v === null || typeof v !== "object";
const isFlat = (v: Json) => isScalar(v) || (Array.isArray(v) && v.length <= 8 && v.every(isScalar));

function Plain({ value }: { value: Json }) {
  if (isObject(value) && Object.keys(value).length === 0) {
    return <p class="dim">It has no arguments.</p>;
  }
  if (isObject(value) && Object.values(value).every(isFlat)) {
    const rows = Object.entries(value);
    return (
      <div class="args" role="table" aria-label="Arguments">
        <Parted
          form="readable"
          name="the arguments"
          unit={["argument", "arguments"]}
          lines={rows.map(([k, v]) => (
            <div class="tr" role="row" key={k}>
              <span class="th" role="rowheader">
                <Said text={k} />
              </span>
              <div class="td val" role="cell">
                <Value v={v} />
              </div>
              <span class="td t" role="cell">
                {note(v)}
              </span>
            </div>
          ))}
        />
      </div>
    );
  }
  return <AsJSON value={value} />;
}

function note(v: Json): string {
  if (typeof v === "string" && /^(-?\d+(\.\d+)?([eE][+-]?\d+)?|true|false|null)$/.test(v)) return "text";
  if (Array.isArray(v)) return v.length === 1 ? "list of 1" : `list of ${v.length}`;
  return "";
}

function Value({ v }: { v: Json }) {
  if (v === null) return <span class="n">null</span>;
  if (v === "") return <span class="u mild">empty text</span>;
  if (typeof v === "string") return <SaidLines text={v} />;
  if (Array.isArray(v)) {
    if (v.length === 0) return <span class="u mild">empty list</span>;
    return (
      <>
        {v.map((x, i) => (
          <div key={i}>
            <Value v={x} />
          </div>
        ))}
      </>
    );
  }
  return <>{String(v)}</>;
}
