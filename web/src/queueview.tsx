// The list of what waits.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { useCell } from "./cell";
import { Choice, NoMatch, Search } from "./filters";
import { useKeys } from "./keys";
import { Failed } from "./lists";
import { askNow } from "./live";
import { Icon, LEVELS, plural, useLate, useSecond } from "./parts";
import {
  anyFar,
  atLeast,
  type Filters,
  here,
  isPart,
  loadMore,
  noneSoFar,
  ordered,
  queue,
  type Row,
  showHeld,
  still,
  totalOf,
} from "./queue";
import { RejectMany } from "./rejectmany";
import { go, requestAddress, setQuery, useRoute } from "./route";
import { OneRow } from "./row";
import type { Risk } from "./types";

const asIs = (name: string) => name;
const CHUNK = 200; // rows that are drawn at a time

export function useFilters(): Filters {
  const { query } = useRoute();
  const of = (name: string) => query.get(name) ?? "";
  return { risk: of("risk"), tool: of("tool"), agent: of("agent"), q: of("q") };
}

/** The requests as the list shows them, for moving to the next and the previous one. */
export function useOrder(): Row[] {
  const q = useCell(queue);
  const { mine, theirs } = ordered(q.rows.values(), useFilters());
  return [...mine, ...theirs];
}

export function QueueList({ selected }: { selected: string }) {
  const q = useCell(queue);
  const filters = useFilters();
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set());
  const [drawn, setDrawn] = useState(CHUNK);
  const list = useRef<HTMLElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const late = useLate();
  useSecond();
  const { mine, theirs } = ordered(q.rows.values(), filters);
  const order = [...mine, ...theirs];
  const part = isPart(q);

  const focused = () =>
    (document.activeElement?.closest(".row") as HTMLElement | null)?.dataset.id ?? selected;
  const toggle = (id: string) => {
    if (!id) return;
    const now = new Set(marked);
    if (!now.delete(id)) now.add(id);
    setMarked(now);
  };
  useKeys({
    "/": () => search.current?.focus(),
    ".": () => showHeld(),
    x: () => toggle(focused()),
    Escape: () => document.activeElement === search.current && search.current?.blur(),
  });

  const inside = (how: "pointer" | "focus", on: boolean) => {
    still[how] = on;
    if (!on && how === "pointer") askNow();
  };
  const everything = [...q.rows.values()].filter((r) => !r.gone);
  const count = (risk: Risk) => everything.filter((r) => r.call.risk === risk).length;
  const names = (of: "tool" | "agent") =>
    [...new Set(everything.map((r) => r.call[of] ?? "").filter(Boolean))].sort();
  const anyFilter = Boolean(filters.risk || filters.tool || filters.agent || filters.q);
  const chip = (risk: "" | Risk, words: string, shape?: ComponentChildren) => (
    <button
      key={risk}
      class="chip"
      type="button"
      aria-pressed={filters.risk === risk}
      onClick={() => setQuery({ risk: filters.risk === risk ? "" : risk })}
    >
      {shape}
      {words}
    </button>
  );
  return (
    // The pointer inside the list keeps its rows where they are.
    <section
      class="list"
      aria-label="Queue"
      aria-busy={!q.loaded}
      ref={list}
      onMouseEnter={() => inside("pointer", true)}
      onMouseLeave={() => inside("pointer", false)}
      onFocusIn={() => inside("focus", true)}
      onFocusOut={(e) => inside("focus", list.current?.contains(e.relatedTarget as Node | null) ?? false)}
    >
      <div class="filters">
        <Search of="Search the queue" hint="Search tool, agent, session, text" field={search} />
      </div>
      <div class="chips" role="group" aria-label="Filters">
        {chip("", q.loaded ? `All ${part ? totalOf(q) : everything.length}` : "All")}
        {(["critical", "high"] as const).map((r) =>
          chip(
            r,
            q.loaded ? `${LEVELS[r]} ${atLeast(count(r), q)}` : LEVELS[r],
            <Icon name={r} cls={`r-${r}`} />,
          ),
        )}
        <Choice name="Agent" values={names("agent")} words={asIs} />
        <Choice name="Tool" values={names("tool")} words={asIs} />
      </div>
      {q.held.length > 0 && (
        <button class="newer" type="button" onClick={showHeld}>
          {plural(q.held.length, part ? "more call" : "new call")} <span class="grow" />
          Show <kbd>.</kbd>
        </button>
      )}
      {part && (
        <p class="partial">
          Here are the {here(q)} of {totalOf(q)} whose time ends first
          {anyFar(q) && ", and yours behind them"}. Counts and search stop there.{" "}
          {mine.length === 0 && noneSoFar(q)}{" "}
          <button class="as-link" type="button" onClick={() => void loadMore()}>
            Load more
          </button>
        </p>
      )}
      {marked.size > 0 && <RejectMany marked={marked} done={() => setMarked(new Set())} />}
      <div class="rows">
        <Failed failure={q.failure ?? null} />
        {!q.loaded ? (
          late && !q.failure && <Skeleton />
        ) : order.length === 0 ? (
          anyFilter ? (
            <NoMatch more={part} cls="none" />
          ) : (
            <p class="none">
              Nothing waits.<span class="narrow"> New calls appear here by themselves.</span>
            </p>
          )
        ) : (
          <>
            <Group
              id="mine"
              title="You can decide"
              note="nearest deadline first"
              rows={mine.slice(0, drawn)}
              waiting={waiting(mine)}
              {...{ part, selected, marked }}
            />
            <Group
              id="theirs"
              title="Waiting for others"
              rows={theirs.slice(0, Math.max(0, drawn - mine.length))}
              waiting={waiting(theirs)}
              {...{ part, selected, marked }}
            />
            {order.length > drawn && (
              <button class="btn small more" type="button" onClick={() => setDrawn(drawn + CHUNK)}>
                Show {Math.min(CHUNK, order.length - drawn)} more rows
              </button>
            )}
            {part && (
              <button class="btn small more" type="button" onClick={() => void loadMore()}>
                Load more: {here(q)} of {totalOf(q)}
              </button>
            )}
          </>
        )}
      </div>
      <p class="listfoot">
        <span>
          <kbd>j</kbd> <kbd>k</kbd> move
        </span>
        <span>
          <kbd>a</kbd> approve
        </span>
        <span>
          <kbd>r</kbd> reject
        </span>
        <span>
          <kbd>?</kbd> all keys
        </span>
      </p>
    </section>
  );
}

function Skeleton() {
  return (
    <ul>
      {[1, 2, 3, 4, 5].map((i) => (
        <li class="row" key={i}>
          <span />
          <span>
            <span class="skel a" />
            <span class="skel b" />
            <span class="skel c" />
          </span>
        </li>
      ))}
    </ul>
  );
}

interface GroupProps {
  id: string;
  title: string;
  note?: string;
  rows: Row[];
  waiting: number; // how many still wait, also of those that are not drawn
  part: boolean; // of more that wait
  selected: string;
  marked: ReadonlySet<string>;
}

const waiting = (rows: Row[]) => rows.filter((r) => !r.gone).length;

function Group({ id, title, note, rows, waiting, part, selected, marked }: GroupProps) {
  if (rows.length === 0) return null;
  return (
    <>
      <div class="group">
        <h2 id={id}>{title}</h2>
        <span class="count">{part ? `${waiting}+` : waiting}</span>
        {note && <p>{note}</p>}
      </div>
      <ul aria-labelledby={id}>
        {rows.map((r) => (
          <li key={r.call.id}>
            <OneRow row={r} current={r.call.id === selected} marked={marked.has(r.call.id)} />
          </li>
        ))}
      </ul>
    </>
  );
}

/** Goes to the request before or after the open one. */
export function move(order: Row[], selected: string, by: 1 | -1): void {
  const at = order.findIndex((r) => r.call.id === selected);
  const row = at < 0 ? order[0] : order[at + by];
  if (row) go(requestAddress(row.call.id));
}
