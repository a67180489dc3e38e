// One request: what would happen, what it takes, the arguments, the agent's own words, what happened
// so far; and the bar in which it is decided.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Failure, now } from "./api";
import { Arguments, AsJSON } from "./args";
import { Attempts } from "./attempts";
import { Bar } from "./bar";
import { BlockView } from "./blocks";
import { useCell } from "./cell";
import { useKeys } from "./keys";
import { Failed } from "./lists";
import { watch } from "./live";
import { Notices } from "./notices";
import { SeenContext } from "./parted";
import { Icon, Left, Notice, plural, Quote, Rack, RiskTag, useLate } from "./parts";
import { Head } from "./requesthead";
import { loadRequest, requests } from "./requests";
import { useSeen } from "./seen";
import { FindingChoice, maySettle, SettleBar } from "./settle";
import { Summary } from "./summary";
import { Said, Spans } from "./text";
import { clock } from "./time";
import { Timeline } from "./timeline";
import type { Found, Request } from "./types";

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
          <Failed failure={failure} what="This request" />
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
              <Summary v={shown} row />
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
    .map(([n, what]) => plural(n ?? 0, what))
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
      .map((m) => setTimeout(() => say(`${plural(m, "minute")} left.`), rest - m * 60_000));
    return () => timers.forEach(clearTimeout);
  }, [r.deadline, r.status]);
  return said;
}

function Requirement({ r }: { r: Request }) {
  if (!r.rack || r.rack.length === 0) return null;
  const s = r.approvals;
  const deny = r.requirement?.deny_count ?? 1;
  const against = (r.votes ?? []).filter((v) => v.kind === "reject");
  const rejections = deny === 1 ? "One rejection" : deny === 2 ? "Two rejections" : `${deny} rejections`;
  const waits = r.status === "pending" || r.status === "evaluating";
  return (
    <section class="sec">
      <header>
        <h3>What it takes</h3>
        <span class="note">
          {s && `${s.given} of ${plural(s.needed, "approval")}. `}
          {waits && `${rejections} ${deny === 1 ? "ends" : "end"} it.`}
          {r.status === "rejected" && `${rejections} ended it.`}
          {waits && r.requirement?.require_reason && " An approval needs a reason."}
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
