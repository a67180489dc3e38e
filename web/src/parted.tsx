// Long things in parts, of which the page knows whether they stood on the screen, and behind folds
// that say how much they hide.
import type { ComponentChildren } from "preact";
import { createContext } from "preact";
import { useContext, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./parts";
import { PART, type Seen } from "./seen";

export const SeenContext = createContext<Seen | null>(null);

const FOLD = 60;
const FOLD_PHONE = 40;
const LONG = 2000; // characters of a line that a fold hides
export const isPhone = (): boolean => matchMedia("(max-width: 560px)").matches;

export interface PartedProps {
  id: string; // readable:3 or json:0; what stands before the colon is one form of showing all
  name: string; // of what has the lines, for people
  lines: ComponentChildren[]; // each one an element with a key
  chars: number[]; // of each line
  unit?: [one: string, many: string];
  joins?: (line: number) => boolean; // no fold may stand between the line before and this one
  rest?: (from: number) => ComponentChildren; // what a fold hides from that line on
  cls?: string;
  table?: string; // its label, if the lines are rows of a table
}

/** Where the fold begins: before a line that is too long, and else after about a part. */
function foldAt(p: PartedProps): number {
  const long = p.chars.findIndex((n) => n > LONG);
  if (p.lines.length <= (isPhone() ? FOLD_PHONE : FOLD)) return long < 0 ? p.lines.length : long;
  let at = PART;
  while (at > 1 && p.joins?.(at)) at--;
  if (at === 1) at = PART;
  return long < 0 ? at : Math.min(at, long);
}

/** Lines in parts that can be seen, and a fold where they are many. A fold opens all of it. */
export function Parted(p: PartedProps) {
  const { lines, unit = ["line", "lines"] } = p;
  const seen = useContext(SeenContext);
  const [cut] = useState(() => foldAt(p));
  const [open, setOpen] = useState(false);
  const fold = useRef<HTMLButtonElement>(null);
  const parts: { id: string; from: number; to: number }[] = [];
  for (let from = 0; from < lines.length; ) {
    const end = from < cut ? cut : lines.length;
    const to = Math.min(from + PART, end);
    const id = `${p.id}:${from}`;
    parts.push({ id, from, to });
    seen?.need(id, lines.length > PART ? `${unit[1]} ${from + 1}–${to} of ${p.name}` : p.name);
    from = to;
  }
  const shown = open ? lines.length : cut;
  const folded = parts.filter((part) => part.from >= cut).map((part) => part.id);
  useLayoutEffect(() => {
    for (const id of folded) seen?.foldedIn(id, open ? null : fold.current);
  }, [seen, open]);
  const hidden = lines.length - shown;
  const chars = p.chars.slice(shown).reduce((sum, n) => sum + n, 0);
  return (
    <>
      <div class={p.cls} {...(p.table ? { role: "table", "aria-label": p.table } : {})}>
        {parts
          .filter((part) => part.from < shown)
          .map((part) => (
            <div class="part" role={p.table ? "rowgroup" : undefined} key={part.id}>
              {lines.slice(part.from, part.to)}
              <PartEnd id={part.id} />
            </div>
          ))}
      </div>
      {hidden > 0 && (
        <button
          class="fold"
          type="button"
          data-fold
          ref={fold}
          onClick={() => {
            seen?.opened(folded);
            setOpen(true);
          }}
        >
          <Icon name="eye" size={16} />
          <span class="grow">
            {p.rest?.(shown) ?? (
              <>
                <b>
                  {hidden} {shown > 0 && "more "}
                  {hidden === 1 ? unit[0] : unit[1]}
                </b>
                , {chars.toLocaleString("en-GB")} characters, not shown yet
              </>
            )}
          </span>
          <span class="do">Show all</span>
        </button>
      )}
    </>
  );
}

/** Stands where a part ends: once it was on the screen, the part was seen. */
export function PartEnd({ id }: { id: string }) {
  const seen = useContext(SeenContext);
  const end = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    seen?.ends(id, end.current);
    return () => seen?.ends(id, null);
  }, [seen, id]);
  return <span class="part-end" aria-hidden="true" ref={end} />;
}
