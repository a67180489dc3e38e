// One request: what would happen, what it takes, the arguments, the agent's own words, what happened
// so far; and the bar in which it is decided.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Failure, now } from "./api";
import { Arguments, AsJSON } from "./args";
import { Bar } from "./bar";
import { BlockView, Comparison } from "./blocks";
import { useCell } from "./cell";
import { useKeys } from "./keys";
import { askNow, link, watch } from "./live";
import { SeenContext } from "./parted";
import {
  Icon,
  Left,
  Notice,
  type NoticeProps,
  Quote,
  Rack,
  RiskTag,
  runner,
  Soon,
  StatusMark,
} from "./parts";
import { loadRequest, requests } from "./requests";
import { requestAddress } from "./route";
import { useSeen } from "./seen";
import { FindingChoice, maySettle, SettleBar } from "./settle";
import { Summary, SummaryLine } from "./summary";
import { Said, Spans } from "./text";
import { ago, clock, full, length } from "./time";
import { Timeline } from "./timeline";
import type { Found, PastCall, Request } from "./types";

export interface RequestProps {
  id: string;
  next: (() => void) | undefined;
  title: (about: string) => void;
}

export function RequestPane({ id, next, title }: RequestProps) {
  const loaded = useCell(requests).get(id);
  useEffect(() => watch((changes) => loadRequest(id, changes), id), [id]);
  const r = loaded?.request;
  useEffect(() => title(r?.tool ?? ""), [r?.tool]);
  if (!r) return loaded?.failure ? <NotLoaded failure={loaded.failure} /> : <Loading />;
  return <Open key={r.id} r={r} failure={loaded?.failure} next={next} />;
}

function NotLoaded({ failure }: { failure: Failure }) {
  const unknown = failure.status === 404;
  return (
    <main class="pane" id="request" tabIndex={-1}>
      <div class="scroll">
        {unknown ? (
          <Notice kind="stop" icon="help" head="There is no such call here.">
            It may belong to another Pawl, or be out of your reach.
          </Notice>
        ) : (
          <Notice
            kind="stop"
            icon="plug"
            head="This request could not be loaded."
            end={
              <button class="btn small" type="button" onClick={askNow}>
                Try now
              </button>
            }
          >
            <Said text={failure.message} /> ({failure.problem?.code || failure.status}). Trying again in a
            moment.
          </Notice>
        )}
      </div>
    </main>
  );
}

function Loading() {
  const late = useLate();
  return (
    <main class="pane" id="request" aria-busy="true">
      <div class="scroll">
        {late && (
          <>
            <span class="skel a" />
            <span class="skel h" />
            <span class="skel c" />
          </>
        )}
      </div>
    </main>
  );
}

/** True after 200 ms: what loads faster needs no grey bars. */
export function useLate(): boolean {
  const [late, set] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => set(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return late;
}

function Open({
  r,
  failure,
  next,
}: {
  r: Request;
  failure: Failure | undefined;
  next: (() => void) | undefined;
}) {
  // What is on the screen is what was opened: another digest is shown only when the reviewer asks.
  const [opened, setOpened] = useState(r);
  const changed = r.digest !== opened.digest;
  const shown = changed ? withArguments(r, opened) : r;
  const digest = shown.digest ?? "";
  const [seen, pane] = useSeen(digest);
  const [read, setRead] = useState({ digest, on: false });
  const [scrolled, setScrolled] = useState(false);
  const [ran, setRan] = useState<boolean | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const found = shown.found;
  const unseen = seen.unseen();
  useKeys({
    n: () => unseen[0]?.show(),
    c: () => void navigator.clipboard?.writeText(location.href),
  });
  useLayoutEffect(() => heading.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    const head = heading.current;
    if (!head || !pane.current) return;
    const o = new IntersectionObserver(
      ([e]) => e && setScrolled(!e.isIntersecting && e.boundingClientRect.top < 100),
      {
        root: pane.current,
      },
    );
    o.observe(head);
    return () => o.disconnect();
  }, []);
  const waits = r.status === "pending" && !r.error;
  const quiet = useSpoken(r);
  return (
    <SeenContext.Provider value={seen}>
      <main class="pane" id="request">
        {scrolled && (
          <div class="compact" aria-hidden="true">
            <RiskTag risk={r.risk} />
            <span class="toolname">
              <Said text={r.tool} most={60} />
            </span>
            <span class="one">
              <SummaryLine v={shown} />
            </span>
            {waits && r.deadline && <Left deadline={r.deadline} />}
          </div>
        )}
        <div class="scroll" ref={pane}>
          <Notices r={r} failure={failure} />
          <Head r={shown} heading={heading} />
          {found && (
            <div class="found" role="note">
              <Icon name="critical" />
              <p>
                <b>This call holds text that is made to look like other text.</b> {foundWords(found)}. All are
                marked below.
              </p>
            </div>
          )}
          {maySettle(r) && <FindingChoice finding={{ ran, set: setRan }} />}
          <Requirement r={r} />
          <Arguments r={shown} key={digest} />
          <Words r={r} />
          <Attempts r={r} />
          {r.result !== undefined && <Result r={r} />}
          <Timeline r={r} />
        </div>
        {maySettle(r) ? (
          <SettleBar r={r} finding={{ ran, set: setRan }} />
        ) : (
          <DecisionPlace r={r}>
            <Bar
              r={r}
              digest={digest}
              hidden={{
                found: Boolean(found?.hidden || found?.look),
                read: read.on && read.digest === digest,
                tick: (on) => setRead({ digest, on }),
              }}
              unseen={unseen}
              changed={changed}
              showChanged={() => setOpened(r)}
              next={next}
            />
          </DecisionPlace>
        )}
        <p class="vh" role="alert">
          {quiet}
        </p>
      </main>
    </SeenContext.Provider>
  );
}

/** A request whose arguments are those that were opened. */
function withArguments(r: Request, opened: Request): Request {
  const { args, blocks, found, summary, digest } = opened;
  const given = { args, blocks, found, summary, digest };
  return {
    ...r,
    ...(Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)) as object),
  };
}

function foundWords(f: Found): string {
  return (
    [
      [f.hidden, "hidden character"],
      [f.look, "look-alike letter"],
      [f.gaps, "long gap"],
    ] as const
  )
    .filter(([n]) => n)
    .map(([n, what]) => (n === 1 ? `1 ${what}` : `${n} ${what}s`))
    .join(", ");
}

/** The bar, from when the request waits until the reviewer moves on, so that an answer stays. */
function DecisionPlace({ r, children }: { r: Request; children: ComponentChildren }) {
  const [had, setHad] = useState(false);
  const waits = r.status === "pending" && !r.error;
  useEffect(() => {
    if (waits) setHad(true);
  }, [waits]);
  if (!waits && !had) return null;
  return <>{children}</>;
}

/** What is said aloud about the open request: little time left, or that others decided. */
function useSpoken(r: Request): string {
  const [said, say] = useState("");
  const first = useRef(r.status);
  useEffect(() => {
    if (r.status === first.current || first.current !== "pending") return;
    const by = r.decision?.by;
    say(by ? `This call was decided by ${by}.` : `This call is ${r.status.replaceAll("_", " ")}.`);
  }, [r.status]);
  useEffect(() => {
    if (r.status !== "pending" || !r.deadline) return;
    const rest = Date.parse(r.deadline) - now();
    const timers = [5, 1]
      .filter((m) => rest > m * 60_000 && rest - m * 60_000 < 2 ** 31)
      .map((m) =>
        setTimeout(() => say(m === 1 ? "1 minute left." : `${m} minutes left.`), rest - m * 60_000),
      );
    return () => timers.forEach(clearTimeout);
  }, [r.deadline, r.status]);
  return said;
}

function Head({ r, heading }: { r: Request; heading: preact.RefObject<HTMLHeadingElement | null> }) {
  const waits = r.status === "pending" && !r.error;
  return (
    <div class="head">
      <div class="line">
        <RiskTag risk={r.risk} />
        <span class="toolname">
          <Said text={r.tool} />
        </span>
        {waits && r.deadline ? (
          <Soon deadline={r.deadline}>
            Denied at {clock(r.deadline, false)} without a decision <Left deadline={r.deadline} />
          </Soon>
        ) : (
          <span class="until">
            <StatusMark status={r.status} />
          </span>
        )}
      </div>
      <h2 class="summary" tabIndex={-1} ref={heading}>
        <Summary v={r} />
      </h2>
      <p class="facts">
        <Fact r={r} name="agent" />
        <Fact r={r} name="requester" words="asked by" />
        <Fact r={r} name="team" words="for team" />
        <Fact r={r} name="session" />
        {r.created_at && (
          <span title={full(r.created_at)}>
            asked{" "}
            <b>
              {clock(r.created_at, false)}, {ago(r.created_at)}
            </b>
          </span>
        )}
        <span>
          run by <b>{runner(r)}</b>
        </span>
        {r.policy && (
          <span>
            rule{" "}
            <b>
              {r.policy.rule ? (
                <a
                  href={`/policy/${encodeURIComponent(r.policy.digest)}#${encodeURIComponent(r.policy.rule)}`}
                >
                  <Said text={r.policy.rule} most={80} />
                </a>
              ) : (
                "none: needs approval by default"
              )}
            </b>
          </span>
        )}
      </p>
    </div>
  );
}

/** One of the names that came with the call, marked as values are. */
function Fact({ r, name, words = name }: { r: Request; name: string; words?: string }) {
  const facts = r.blocks?.find((b) => b.kind === "facts");
  const row = facts?.rows?.find((f) => f.name?.[0]?.s === name);
  if (!row) return null;
  return (
    <span>
      {words}{" "}
      <b>
        <bdi dir="auto">
          <Spans spans={(row.value ?? []).flatMap((l) => l.spans)} />
        </bdi>
      </b>
    </span>
  );
}

function Requirement({ r }: { r: Request }) {
  if (!r.rack || r.rack.length === 0) return null;
  const s = r.approvals;
  const deny = r.requirement?.deny_count ?? 1;
  const against = (r.votes ?? []).filter((v) => v.kind === "reject");
  return (
    <section class="sec">
      <header>
        <h3>What it takes</h3>
        <span class="note">
          {s && `${s.given} of ${s.needed} ${s.needed === 1 ? "approval" : "approvals"}. `}
          {deny === 1
            ? "One rejection ends it."
            : deny === 2
              ? "Two rejections end it."
              : `${deny} rejections end it.`}
          {r.requirement?.require_reason && " An approval needs a reason."}
        </span>
      </header>
      <Rack rack={r.rack} />
      {against.length > 0 && r.status === "pending" && (
        <p class="against">
          <Icon name="cross" />
          <span>
            <b>
              {against.length} of {deny} rejections that end it:
            </b>{" "}
            {against.map((v, i) => (
              <span key={v.decision_id}>
                {i > 0 && "; "}
                <Said text={v.reviewer || "somebody"} />, {clock(v.at, false)}.
                {v.notes && (
                  <>
                    {" "}
                    <Quote text={v.notes} />
                  </>
                )}
              </span>
            ))}
          </span>
        </p>
      )}
    </section>
  );
}

function Words({ r }: { r: Request }) {
  const texts = (r.blocks ?? []).filter((b) => b.part === "said");
  const labels = Object.entries(r.labels ?? {});
  if (texts.length === 0 && labels.length === 0) return null;
  return (
    <section class="sec">
      <header>
        <h3>
          <Said text={r.agent || r.requester || "The agent"} most={60} /> says
        </h3>
        <span class="note">its own words, not checked by Pawl</span>
      </header>
      <blockquote class="said">
        {texts.map((t, i) => (
          <div key={i} class="text-width">
            {(t.lines ?? []).map((l, j) => (
              <p class="tl" key={j}>
                <bdi dir="auto">
                  <Spans spans={l.spans} />
                </bdi>
              </p>
            ))}
          </div>
        ))}
        {labels.length > 0 && (
          <p>
            {labels.map(([k, v], i) => (
              <span key={k} class="mono">
                {i > 0 && ", "}
                <Said text={k} />=<Said text={v} />
              </span>
            ))}
          </p>
        )}
      </blockquote>
    </section>
  );
}

function Result({ r }: { r: Request }) {
  const blocks = (r.blocks ?? []).filter((b) => b.part === "result");
  return (
    <section class="sec">
      <header>
        <h3>Result</h3>
        <span class="note">the tool’s own words</span>
      </header>
      <SeenContext.Provider value={null}>
        {blocks.map((b, i) => (
          <BlockView key={i} block={b} id={`result:${i}`} />
        ))}
        {blocks.length === 0 && <AsJSON value={r.result ?? null} />}
      </SeenContext.Provider>
    </section>
  );
}

const NTH = [
  "",
  "First",
  "Second",
  "Third",
  "Fourth",
  "Fifth",
  "Sixth",
  "Seventh",
  "Eighth",
  "Ninth",
  "Tenth",
  "Eleventh",
];

/** What the agent tried before: attempts that this call is one more of, and equal calls. */
function Attempts({ r }: { r: Request }) {
  const before = r.attempts ?? [];
  const equal = r.previous ?? [];
  const last = before.at(-1);
  return (
    <>
      {last && (
        <section class="sec">
          <header>
            <h3>{NTH[before.length + 1]} attempt</h3>
          </header>
          <ol class="time">
            {before.map((a, i) => (
              <Past key={a.id} call={a} what={`Attempt ${i + 1}`} />
            ))}
            <li class="nowpt">
              <time>{clock(r.created_at, false)}</time>
              <p>
                <b>Attempt {before.length + 1}</b>, this call
                {r.created_at && `, ${length(Date.parse(r.created_at) - Date.parse(last.at))} after the last`}
                .
              </p>
            </li>
          </ol>
        </section>
      )}
      {last && <Comparison last={last} nth={before.length} />}
      {equal.length > 0 && (
        <section class="sec">
          <header>
            <h3>Asked before</h3>
            <span class="note">the same tool with the same arguments</span>
          </header>
          <ol class="time">
            {equal.map((c) => (
              <Past key={c.id} call={c} what="It" />
            ))}
          </ol>
        </section>
      )}
    </>
  );
}

function Past({ call: c, what }: { call: PastCall; what: string }) {
  const words = c.status.replaceAll("_", " ");
  return (
    <li class={c.status === "executed" ? "yes" : "nay"}>
      <time title={full(c.at)}>{clock(c.at, false)}</time>
      <p>
        <b>{what}</b>: {words}
        {c.by && (
          <>
            {" "}
            by <Said text={c.by} />
          </>
        )}
        {c.notes ? (
          <>
            : <Quote text={c.notes} />
          </>
        ) : (
          "."
        )}{" "}
        <a href={requestAddress(c.id)}>{c.id.slice(0, 16)}</a>
      </p>
    </li>
  );
}

/** Notices by weight: the first is shown in full, the others on demand. */
function Notices({ r, failure }: { r: Request; failure: Failure | undefined }) {
  const [all, setAll] = useState(false);
  const off = useCell(link).state === "off";
  const list: NoticeProps[] = [];
  const ended = endedNotice(r);
  if (ended) list.push(ended);
  if (failure && !off) {
    list.push({
      kind: "stop",
      icon: "plug",
      head: "This request could not be loaded again.",
      children: (
        <>
          <Said text={failure.message} /> What you see may be out of date.
        </>
      ),
    });
  }
  if (r.policy_now) {
    const p = r.policy_now;
    list.push({
      kind: p.effect === "blocked" ? "stop" : "warn",
      icon: "warn",
      head: `The policy has changed since this call was asked for: version ${p.version} is active.`,
      children: (
        <>
          <Said text={p.reason} /> It is judged by the policy that is active when it starts.
        </>
      ),
      end: (
        <a class="btn small" href={`/policy#${encodeURIComponent(p.rule)}`}>
          See rule
        </a>
      ),
    });
  }
  for (const o of r.waiting?.problems ?? []) list.push(obstacle(o.code, o.message));
  if (r.schema_unknown && r.status === "pending") {
    list.push({
      kind: "warn",
      icon: "warn",
      head: "The tool’s schema is unknown.",
      children: (
        <>
          <Said text={r.agent || "The agent"} /> runs it itself and has not published it. Pawl could not check
          the arguments.
        </>
      ),
    });
  }
  const shown = all ? list : list.slice(0, 1);
  return (
    <>
      {shown.map((n, i) => (
        <Notice key={i} {...n} />
      ))}
      {list.length > shown.length && (
        <button class="as-link" type="button" onClick={() => setAll(true)}>
          and {list.length - shown.length} more
        </button>
      )}
    </>
  );
}

function obstacle(code: string, message: string): NoticeProps {
  const warn = { kind: "warn", icon: "warn" } as const;
  switch (code) {
    case "no_worker":
      return {
        ...warn,
        head: "No worker is running.",
        children:
          "You can decide: your answer is kept, and counts from when it is sent. Nothing goes on until a worker runs.",
      };
    case "tool_not_served":
      return {
        ...warn,
        head: "Nobody offers this tool at the moment.",
        children: "Approved now, the call expires unless the tool’s process comes back.",
      };
  }
  return { ...warn, head: <Said text={message} /> };
}

function endedNotice(r: Request): NoticeProps | null {
  const agent = <Said text={r.agent || r.requester || "The agent"} />;
  const notes = r.decision?.notes && <Quote text={r.decision.notes} />;
  const by = <Said text={r.decision?.by || "Somebody"} />;
  const at = clock(r.ended_at);
  const yes = (r.votes ?? []).filter((v) => v.kind === "approve").map((v) => v.reviewer || "somebody");
  const approved = yes.length > 0 && (
    <>
      Approved by <Said text={yes.join(" and ")} />.
    </>
  );
  const why = r.error && <Said text={r.error.message} />;
  switch (r.status) {
    case "expired":
      return r.decision?.kind === "approve"
        ? { kind: "stop", icon: "clock", head: `Expired at ${at}.`, children: why }
        : {
            kind: "stop",
            icon: "clock",
            head: `Expired at ${at}. Nobody decided, so it was denied.`,
            children: <>Nothing ran. {agent} was told “expired”.</>,
          };
    case "rejected":
      return {
        kind: "stop",
        icon: "cross",
        head: (
          <>
            {by} rejected this at {clock(r.decision?.at ?? r.ended_at)}.
          </>
        ),
        children: notes,
      };
    case "cancelled":
      return {
        kind: "stop",
        icon: "cross",
        head: (
          <>
            Withdrawn by {by} at {at}.
          </>
        ),
        children: notes || why,
      };
    case "blocked":
      return { kind: "stop", icon: "lock", head: <>Blocked: {why}</>, children: "Nothing ran." };
    case "approved":
      return r.execution === "caller"
        ? {
            kind: "info",
            icon: "check",
            head: <>Approved, waiting for the agent. {agent} may run it now.</>,
            children: approved,
          }
        : { kind: "info", icon: "check", head: "Approved. It starts in a moment.", children: approved };
    case "executing":
      return {
        kind: "info",
        icon: "live",
        head:
          r.started_at || r.decision?.at
            ? `Running since ${clock(r.started_at ?? r.decision?.at)}.`
            : "Running.",
        children: <>{approved} Results appear here.</>,
      };
    case "executed": {
      const took =
        r.ended_at && r.decision?.at ? `, ${length(Date.parse(r.ended_at) - Date.parse(r.decision.at))}` : "";
      return {
        kind: "good",
        icon: "check",
        head: `Executed at ${at}${took}.`,
        children: (
          <>
            {approved} {r.result !== undefined && "The result stands below."}
          </>
        ),
      };
    }
    case "failed":
      return {
        kind: "stop",
        icon: "warn",
        head: (
          <>
            Failed at {at}: the tool said {r.error ? <Quote text={r.error.message} /> : "nothing"}.
          </>
        ),
        children: "It did not run, or said so itself.",
      };
    case "outcome_unknown": {
      const s = r.settled;
      if (s) {
        return {
          kind: s.ran ? "good" : "info",
          icon: s.ran ? "check" : "cross",
          head: (
            <>
              Settled: <Said text={s.by || "somebody"} /> found that it {s.ran ? "did run" : "did not run"},{" "}
              {clock(s.at)}.
            </>
          ),
          children: s.notes && <Quote text={s.notes} />,
        };
      }
      return {
        kind: "warn",
        icon: "help",
        head: <>Outcome unknown since {at}. It may have run; Pawl never tries again by itself.</>,
        children: (
          <>
            {r.error && <Quote text={r.error.message} />} Look at the tool’s own records
            {maySettle(r) ? ", then say what you found. You can’t take it back." : "."}{" "}
            <Said text={r.you?.why} />
          </>
        ),
      };
    }
    case "pending":
      return r.error
        ? { kind: "stop", icon: "warn", head: <>{why}</>, children: "It can’t be decided any more." }
        : null;
    case "evaluating":
      return { kind: "info", icon: "clock", head: "The policy is still judging it." };
  }
  return null;
}
