// Draws a value as a tree of keys, a line for each.
import type { ComponentChildren } from "preact";
import { useContext, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Parted, SeenContext } from "./parted";
import { charsOf, Spans, textOf } from "./text";
import type { Line, Span } from "./types";

/** A tree, whose lines below some are closed at first. Opening shows all of them. */
export function Tree({ lines, name, id }: { lines: Line[]; name: string; id: string }) {
  const elements: ComponentChildren[] = [];
  const chars: number[] = [];
  for (let i = 0; i < lines.length; i++) {
    const l = lines[i] as Line;
    const below = lines.slice(i + 1, i + 1 + (l.closed ?? 0));
    elements.push(<TreeLine key={i} l={l} next={lines[i + 1]} below={below} id={`${id}:${i}-closed`} />);
    chars.push(charsOf(l.spans));
    i += below.length;
  }
  return <Parted id={id} name={name} cls="tree" chars={chars} lines={elements} />;
}

interface TreeLineProps {
  l: Line;
  next: Line | undefined;
  below: Line[];
  id: string;
}

function TreeLine({ l, next, below, id }: TreeLineProps) {
  const seen = useContext(SeenContext);
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const parent = (next?.depth ?? 0) > (l.depth ?? 0);
  if (below.length > 0) seen?.need(id, `${below.length} lines of ${textOf(l.spans)}`);
  useLayoutEffect(() => {
    if (below.length > 0) seen?.foldedIn(id, open ? null : button.current);
  }, [seen, open]);
  return (
    <>
      <p class={`tr d${Math.min(l.depth ?? 0, 12)}`}>
        {parent && (
          <span class="tw" aria-hidden="true">
            {below.length > 0 && !open ? "▸" : "▾"}
          </span>
        )}
        <TreeSpans spans={l.spans} />
        {below.length > 0 && !open && (
          <button
            class="fold inline"
            type="button"
            data-fold
            ref={button}
            onClick={() => {
              seen?.opened([id]);
              setOpen(true);
            }}
          >
            <span class="do">Show {below.length === 1 ? "1 line" : `all ${below.length} lines`}</span>
          </button>
        )}
      </p>
      {open &&
        below.map((b, i) => (
          <TreeLine key={i} l={{ ...b, closed: 0 }} next={below[i + 1]} below={[]} id="" />
        ))}
    </>
  );
}

/** A key, or the place in a list, and the value beside it. */
function TreeSpans({ spans }: { spans: Span[] }) {
  const [first] = spans;
  if (first?.t === "note" && /^\d+$/.test(first.s)) {
    return (
      <>
        <span class="p">{first.s} </span>
        <bdi dir="auto">
          <Spans spans={spans.slice(1)} />
        </bdi>
      </>
    );
  }
  const end = spans.findLastIndex((s) => s.as === "key");
  return (
    <>
      {end >= 0 && (
        <>
          <bdi class="key" dir="auto">
            <Spans spans={spans.slice(0, end + 1)} />
          </bdi>
          <span class="p">: </span>
        </>
      )}
      <bdi dir="auto">
        <Spans spans={spans.slice(end + 1)} />
      </bdi>
    </>
  );
}
