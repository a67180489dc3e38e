// The list of what waits.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call, Failure, get, newID } from "./api";
import { useCell } from "./cell";
import { useKeys } from "./keys";
import { askNow, watch } from "./live";
import { Icon, Mini, RiskShape, useSecond } from "./parts";
import {
  type Filters,
  isMine,
  loadMore,
  loadQueue,
  ordered,
  queue,
  type Row,
  showHeld,
  still,
  withVotes,
} from "./queue";
import { useLate } from "./request";
import { go, requestAddress, setQuery, useRoute } from "./route";
import { SummaryLine } from "./summary";
import { Said } from "./text";
import { age, isSoon, left } from "./time";
import type { Listed, Page, Risk } from "./types";

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
  useEffect(() => watch(loadQueue), []);
  useSecond();
  const { mine, theirs } = ordered(q.rows.values(), filters);
  const order = [...mine, ...theirs];

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
    Escape: () => (document.activeElement === search.current ? search.current?.blur() : undefined),
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
        <div class="search">
          <Icon name="search" />
          <input
            type="search"
            ref={search}
            aria-label="Search the queue"
            placeholder="Search tool, agent, session, text"
            value={filters.q}
            onInput={(e) => setQuery({ q: e.currentTarget.value })}
          />
          <kbd>/</kbd>
        </div>
      </div>
      <div class="chips" role="group" aria-label="Filters">
        {chip("", q.loaded ? `All ${everything.length}` : "All")}
        {chip(
          "critical",
          q.loaded ? `Critical ${count("critical")}` : "Critical",
          <Icon name="critical" cls="r-critical" />,
        )}
        {chip("high", q.loaded ? `High ${count("high")}` : "High", <Icon name="high" cls="r-high" />)}
        <Choice
          name="Agent"
          value={filters.agent}
          values={names("agent")}
          choose={(agent) => setQuery({ agent })}
        />
        <Choice
          name="Tool"
          value={filters.tool}
          values={names("tool")}
          choose={(tool) => setQuery({ tool })}
        />
      </div>
      {q.held.length > 0 && (
        <button class="newer" type="button" onClick={showHeld}>
          {q.held.length} new {q.held.length === 1 ? "call" : "calls"} <span class="grow" />
          Show <kbd>.</kbd>
        </button>
      )}
      {marked.size > 0 && <RejectMany marked={marked} done={() => setMarked(new Set())} />}
      <div class="rows">
        {!q.loaded ? (
          late && <Skeleton />
        ) : order.length === 0 ? (
          <p class="none">
            {anyFilter ? (
              <>
                Nothing matches.{" "}
                <button
                  class="as-link"
                  type="button"
                  onClick={() => setQuery({ risk: "", tool: "", agent: "", q: "" })}
                >
                  Clear filters
                </button>
              </>
            ) : (
              "Nothing waits."
            )}
          </p>
        ) : (
          <>
            <Group
              id="mine"
              title="You can decide"
              note="nearest deadline first"
              rows={mine.slice(0, drawn)}
              all={mine.length}
              {...{ selected, marked }}
            />
            <Group
              id="theirs"
              title="Waiting for others"
              rows={theirs.slice(0, Math.max(0, drawn - mine.length))}
              all={theirs.length}
              {...{ selected, marked }}
            />
            {order.length > drawn && (
              <button class="btn small more" type="button" onClick={() => setDrawn(drawn + CHUNK)}>
                Show {Math.min(CHUNK, order.length - drawn)} more rows
              </button>
            )}
            {q.more && (
              <button class="btn small more" type="button" onClick={() => void loadMore()}>
                Load more: {everything.length} of {q.total > 1000 ? "more than 1,000" : q.total}
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

function Choice(p: { name: string; value: string; values: string[]; choose: (v: string) => void }) {
  return (
    <select
      class={p.value ? "chip on" : "chip"}
      aria-label={p.name}
      value={p.value}
      onChange={(e) => p.choose(e.currentTarget.value)}
    >
      <option value="">{p.name}</option>
      {p.values.map((v) => (
        <option key={v} value={v}>
          {v}
        </option>
      ))}
    </select>
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
  all: number;
  selected: string;
  marked: ReadonlySet<string>;
}

function Group({ id, title, note, rows, all, selected, marked }: GroupProps) {
  if (all === 0) return null;
  return (
    <>
      <div class="group">
        <h2 id={id}>{title}</h2>
        <span class="count">{all}</span>
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

function OneRow({ row, current, marked }: { row: Row; current: boolean; marked: boolean }) {
  const { call: c, gone } = row;
  const soon = !gone && isSoon(c.deadline);
  const classes = ["row", soon && "soon", !isMine(c) && "theirs", gone && "gone", marked && "marked"];
  const s = c.approvals;
  return (
    <a
      class={classes.filter(Boolean).join(" ")}
      href={requestAddress(c.id)}
      aria-current={current ? "true" : undefined}
      data-id={c.id}
    >
      <RiskShape risk={c.risk} />
      <span class="tool">
        <Said text={c.tool} most={60} />
        <span class="vh">{c.risk && `, ${c.risk} risk`},</span>
      </span>
      <span class="left">
        {gone ? "just now" : c.deadline ? left(c.deadline) : ""}
        <span class="vh">{gone ? "," : " left,"}</span>
      </span>
      <span class="sum">
        <SummaryLine v={c} />
        <span class="vh">,</span>
      </span>
      <span class="meta">
        <span class="by">
          <Said text={c.agent || c.requester} most={30} />
        </span>
        <span>·</span>
        {age(c.created_at)}
        {s && (
          <>
            <span>·</span>
            <Mini given={s.given} needed={s.needed} />
            <span>
              {s.given} of {s.needed}
              <span class="vh"> approvals</span>
            </span>
          </>
        )}
        <span class="why">{gone ? gone.how : why(row)}</span>
      </span>
    </a>
  );
}

/** The one thing about a row that is worth a word. */
function why({ call: c }: Row): string {
  if (c.you?.voted === "approve") return "you approved";
  if (c.you?.voted === "reject") return "you rejected";
  const next = c.rack?.find((s) => s.state === "next");
  if (next && c.approvals && c.approvals.needed > 1) return next.label;
  if (!isMine(c) && c.approvals?.missing) return `needs ${c.approvals.missing}`;
  return "";
}

/** Rejects the marked calls: one note, and an answer for each. Approving many is the command line's. */
function RejectMany({ marked, done }: { marked: ReadonlySet<string>; done: () => void }) {
  const [notes, setNotes] = useState("");
  const [results, setResults] = useState<Record<string, string> | null>(null);
  const rows = [...marked].map((id) => queue.value.rows.get(id)?.call).filter((c) => c !== undefined);
  const send = async (e: MouseEvent) => {
    if (e.detail > 1) return;
    const items = rows.map((c) => ({ id: c.id, digest: c.digest, decision_id: newID() }));
    try {
      const a = await call<{ results: { id: string; outcome?: string; message?: string }[] }>(
        "POST",
        "/api/decisions",
        {
          decision: "reject",
          notes,
          items,
        },
      );
      setResults(
        Object.fromEntries(a.results.map((r) => [r.id, r.message || (r.outcome ?? "").replaceAll("_", " ")])),
      );
    } catch (e) {
      if (!(e instanceof Failure)) throw e;
      setResults({ "": e.message });
    }
    askNow();
  };
  return (
    <form class="many" aria-label="Reject the marked calls" onSubmit={(e) => e.preventDefault()}>
      {results ? (
        <ul role="status">
          {Object.entries(results).map(([id, what]) => (
            <li key={id}>
              <Said text={rows.find((c) => c.id === id)?.tool ?? ""} /> {what}
            </li>
          ))}
        </ul>
      ) : (
        <textarea
          rows={1}
          aria-label="Notes for all of them"
          placeholder="Notes for all of them (optional)"
          value={notes}
          onInput={(e) => setNotes(e.currentTarget.value)}
        />
      )}
      <p>
        {!results && (
          <button class="btn small" type="button" onClick={send}>
            Reject {marked.size}
          </button>
        )}
        <button class="btn small quiet" type="button" onClick={done}>
          {results ? "Close" : "Unmark all"}
        </button>
        <span class="dim">Approving many: pawl approve</span>
      </p>
    </form>
  );
}

/** What stands beside the list while no request is open. */
export function NothingOpen() {
  const q = useCell(queue);
  if (!q.loaded) return <main class="pane" id="request" aria-busy="true" />;
  if (q.failure && q.rows.size === 0 && q.total === 0) return <main class="pane" id="request" />;
  const rows = [...q.rows.values()].filter((r) => !r.gone);
  const mine = rows.filter((r) => isMine(withVotes(r.call))).length;
  const others = rows.length - mine;
  return (
    <main class="pane" id="request">
      <div class="mid">
        <svg class="art" aria-hidden="true">
          <use href="#i-mark" />
        </svg>
        {rows.length === 0 ? (
          <Empty />
        ) : mine === 0 ? (
          <>
            <h2>Nothing waits for you.</h2>
            <p>
              {others === 1 ? "1 call waits" : `${others} calls wait`} for others. New ones appear here by
              themselves; the tab’s title shows how many.
            </p>
          </>
        ) : (
          <>
            <h2>{mine === 1 ? "1 call waits for you." : `${mine} calls wait for you.`}</h2>
            <p>
              Open one, or press <kbd>j</kbd> for the one whose time ends first.
            </p>
          </>
        )}
        <a class="btn small" href="/history">
          History
        </a>
      </div>
    </main>
  );
}

/** Nothing waits: at the very start the page says how something would. */
function Empty() {
  const [first, setFirst] = useState(false);
  useEffect(() => {
    get<Page<Listed>>("/api/requests?status=all&limit=1").then(
      (page) => setFirst(page.items.length === 0),
      () => {}, // it is only for saying more
    );
  }, []);
  if (!first) {
    return (
      <>
        <h2>Nothing waits for you.</h2>
        <p>New calls appear here by themselves; the tab’s title shows how many.</p>
      </>
    );
  }
  return (
    <>
      <h2>No agent has asked for anything yet.</h2>
      <p>When one starts a guarded call that needs a person, it appears here by itself. Try it:</p>
      <pre class="code plain">
        {`pawl call send_email --args '{"to": "dee@example.com", "subject": "Hello"}'`}
      </pre>
      <p class="dim">Everything that no rule names needs approval.</p>
    </>
  );
}

/** Goes to the request before or after the open one. */
export function move(order: Row[], selected: string, by: 1 | -1): void {
  const at = order.findIndex((r) => r.call.id === selected);
  const row = at < 0 ? order[0] : order[at + by];
  if (row) go(requestAddress(row.call.id));
}
