// The other views: what ended, the audit log, the policy, the tools.
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Failure, get, requestPath } from "./api";
import { useCell } from "./cell";
import { askNow, watch } from "./live";
import { Icon, Notice, Quote, StatusMark } from "./parts";
import { useLate } from "./request";
import { requestAddress, setQuery, useRoute } from "./route";
import { canAudit, canReview, session } from "./session";
import { SummaryLine } from "./summary";
import { Said, Spans, spans } from "./text";
import { clock, full, length } from "./time";
import { describe } from "./timeline";
import type { Entry, Listed, Page, PolicyText, PolicyVersion, Request, Tool } from "./types";

/** A list by pages, of which the first is kept up to date. */
function useList<T>(path: string, idOf: (t: T) => string) {
  const [first, setFirst] = useState<Page<T> | null>(null);
  const [more, setMore] = useState<{ items: T[]; next: string } | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  useEffect(() => {
    setFirst(null);
    setMore(null);
    setFailure(null);
    return watch(async () => {
      try {
        setFirst(await get<Page<T>>(path));
        setFailure(null);
      } catch (e) {
        if (e instanceof Failure && e.problem) setFailure(e);
        throw e;
      }
    });
  }, [path]);
  const next = more ? more.next : (first?.next_cursor ?? "");
  const loadMore = useCallback(async () => {
    try {
      const page = await get<Page<T>>(`${path}&cursor=${encodeURIComponent(next)}`);
      setMore({ items: [...(more?.items ?? []), ...page.items], next: page.next_cursor });
    } catch (e) {
      if (!(e instanceof Failure)) throw e;
      setFailure(e);
    }
  }, [path, next, more]);
  const known = new Set(first?.items.map(idOf));
  const items = first && [...first.items, ...(more?.items ?? []).filter((t) => !known.has(idOf(t)))];
  return { items, total: first?.total ?? 0, failure, next, loadMore };
}

function PageFrame({
  title,
  about,
  children,
}: {
  title: string;
  about?: ComponentChildren;
  children: ComponentChildren;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <main class="page" id="request">
      <header>
        <h1 tabIndex={-1} ref={heading}>
          {title}
        </h1>
        <span class="dim">{about}</span>
      </header>
      {children}
    </main>
  );
}

function Failed({ failure }: { failure: Failure | null }) {
  if (!failure) return null;
  if (failure.status === 403) {
    return (
      <Notice kind="info" icon="lock" head={<Said text={failure.message} />}>
        Who may see it is decided by roles: see your own in the menu at the top.
      </Notice>
    );
  }
  return (
    <Notice
      kind="stop"
      icon="plug"
      head="This could not be loaded."
      end={
        <button class="btn small" type="button" onClick={askNow}>
          Try now
        </button>
      }
    >
      <Said text={failure.message} /> ({failure.problem?.code || failure.status})
    </Notice>
  );
}

function Waiting() {
  return useLate() ? (
    <div aria-busy="true">
      <span class="skel b" />
      <span class="skel b" />
      <span class="skel b" />
    </div>
  ) : null;
}

/** A table that scrolls sideways where it must, by the keyboard, too. */
function WideTable({ children }: { children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no pointer scrolls it with the keyboard
    <section class="wide-table" tabIndex={0} aria-label="Table">
      {children}
    </section>
  );
}

function More({ next, load }: { next: string; load: () => void }) {
  return next ? (
    <p>
      <button class="btn small" type="button" onClick={load}>
        Load more
      </button>
    </p>
  ) : null;
}

const ENDED = ["executed", "rejected", "expired", "blocked", "failed", "outcome_unknown", "cancelled"];

export function History() {
  const { query } = useRoute();
  const param = (name: string) => query.get(name) ?? "";
  const [status, tool, agent, risk] = [param("status"), param("tool"), param("agent"), param("risk")];
  const [q, by, since, until] = [
    param("q").toLowerCase(),
    param("by").toLowerCase(),
    param("since"),
    param("until"),
  ];
  const path = `/api/requests?${queryOf({ status: status || "all", limit: "100", tool, agent, risk })}`;
  const list = useList<Listed>(path, (c) => c.id);
  const unknown = useList<Listed>("/api/requests?status=outcome_unknown&limit=20", (c) => c.id);
  const toSettle = (unknown.items ?? []).filter((c) => !c.settled).length;
  // The list has no filters for these: the page looks through what it has loaded.
  const here = Boolean(q || by || since || until);
  const people = (c: Listed) => [c.decision?.by, c.settled?.by, ...(c.votes ?? []).map((v) => v.reviewer)];
  const shown = (list.items ?? [])
    .filter((c) => (status ? true : ENDED.includes(c.status)))
    .filter((c) => !by || people(c).some((p) => p?.toLowerCase().includes(by)))
    .filter((c) => inDays(c.ended_at ?? c.created_at, since, until))
    .filter(
      (c) =>
        !q ||
        JSON.stringify([c.tool, c.agent, c.decision, c.args, c.id, c.requester]).toLowerCase().includes(q),
    );
  return (
    <PageFrame title="History" about="calls that people were asked about, newest first">
      {toSettle > 0 && (
        <Notice
          kind="warn"
          icon="help"
          head={toSettle === 1 ? "1 outcome is unknown." : `${toSettle} outcomes are unknown.`}
          end={
            <button class="btn small" type="button" onClick={() => setQuery({ status: "outcome_unknown" })}>
              Show
            </button>
          }
        >
          The tool may have run. Look at its own records.
        </Notice>
      )}
      <div class="fbar">
        <div class="search">
          <Icon name="search" />
          <input
            type="search"
            aria-label="Search"
            placeholder="Tool, agent, person, text"
            value={param("q")}
            onInput={(e) => setQuery({ q: e.currentTarget.value })}
          />
        </div>
        <Choice name="Status" none="Any end" values={[...ENDED, "approved", "executing"]} />
        <Choice name="Risk" values={RISKS} />
        <Field name="Tool" param="tool" />
        <Field name="Agent" param="agent" />
        <Field name="Decided by" param="by" />
        <Days />
      </div>
      <Failed failure={list.failure} />
      {!list.items ? (
        !list.failure && <Waiting />
      ) : shown.length === 0 ? (
        <p class="dim">
          {here && list.next
            ? `Nothing matches among the ${list.items.length} newest. Load more to look further back.`
            : status || tool || agent || risk || here
              ? "Nothing matches."
              : "Nothing has ended yet. What people were asked about is listed here."}
        </p>
      ) : (
        <WideTable>
          <table class="tbl">
            <thead>
              <tr>
                <th>Ended</th>
                <th>Status</th>
                <th>Call</th>
                <th>Agent</th>
                <th>By</th>
                <th>Note</th>
                <th class="num">Waited</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((c) => (
                <HistoryRow key={c.id} c={c} />
              ))}
            </tbody>
          </table>
        </WideTable>
      )}
      <More next={list.next} load={list.loadMore} />
    </PageFrame>
  );
}

const KINDS =
  "call.requested call.blocked decision.counted decision.refused decision.sent call.tightened call.claimed tool.started tool.not_started tool.reported call.ended call.settled policy.applied token.created token.revoked key.added key.retired key.revoked".split(
    " ",
  );
const RISKS = ["low", "medium", "high", "critical"];

/** A query of the parameters that are not empty. */
function queryOf(params: Record<string, string>): URLSearchParams {
  return new URLSearchParams(Object.entries(params).filter(([, v]) => v !== ""));
}

/** The beginning of a day here, or of the day after it; null: there is no such day. */
function dayAt(day: string, after = 0): Date | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day);
  return found && new Date(Number(found[1]), Number(found[2]) - 1, Number(found[3]) + after);
}

function inDays(at: string | undefined, since: string, until: string): boolean {
  const time = Date.parse(at ?? "");
  const [from, to] = [dayAt(since), dayAt(until, 1)];
  return (!from || time >= from.getTime()) && (!to || time < to.getTime());
}

/** The days from which and to which a list goes. */
function Days() {
  const { query } = useRoute();
  const day = (param: string, words: string) => (
    <label class={query.get(param) ? "chip day on" : "chip day"}>
      {words}
      <input
        type="date"
        value={query.get(param) ?? ""}
        onChange={(e) => setQuery({ [param]: e.currentTarget.value })}
      />
    </label>
  );
  return (
    <>
      {day("since", "From")}
      {day("until", "To")}
    </>
  );
}

function Choice({ name, none = name, values }: { name: string; none?: string; values: string[] }) {
  const param = name.toLowerCase();
  const value = useRoute().query.get(param) ?? "";
  return (
    <select
      class={value ? "chip on" : "chip"}
      aria-label={name}
      value={value}
      onChange={(e) => setQuery({ [param]: e.currentTarget.value })}
    >
      <option value="">{none}</option>
      {values.map((v) => (
        <option key={v} value={v}>
          {v.replaceAll("_", " ")}
        </option>
      ))}
    </select>
  );
}

function Field({ name, param }: { name: string; param: string }) {
  const value = useRoute().query.get(param) ?? "";
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  return (
    <input
      class={value ? "chip on" : "chip"}
      aria-label={name}
      placeholder={name}
      value={text}
      onInput={(e) => setText(e.currentTarget.value)}
      onChange={() => setQuery({ [param]: text.trim() })}
    />
  );
}

function HistoryRow({ c }: { c: Listed }) {
  const d = c.decision;
  const by =
    d?.by || (d?.kind === "expire" ? "nobody" : d?.kind === "deny" || d?.kind === "allow" ? "policy" : "");
  const note = d?.notes ? (
    <Quote text={d.notes} />
  ) : c.settled ? (
    `settled: ${c.settled.ran ? "did run" : "did not run"}`
  ) : c.status === "expired" && d?.kind === "expire" ? (
    "denied by silence"
  ) : (
    <Said text={c.error?.message} most={120} />
  );
  const decided = d?.at && c.created_at ? Date.parse(d.at) - Date.parse(c.created_at) : null;
  return (
    <tr>
      <td class="nowrap" title={full(c.ended_at)}>
        {clock(c.ended_at)}
      </td>
      <td>
        <StatusMark status={c.status} />
      </td>
      <td>
        <a class="mono" href={requestAddress(c.id)}>
          <Said text={c.tool} most={60} />
        </a>
        <span class="sub">
          <SummaryLine v={c} />
        </span>
      </td>
      <td class="name">
        <Said text={c.agent || c.requester} most={60} />
      </td>
      <td>
        <Said text={by} most={60} />
      </td>
      <td class="dim">
        {note} {c.status === "outcome_unknown" && !c.settled && <a href={requestAddress(c.id)}>Look…</a>}
      </td>
      <td class="num">{decided !== null && length(decided)}</td>
    </tr>
  );
}

export function Audit() {
  const { query } = useRoute();
  const id = query.get("request_id") ?? "";
  return canAudit(useCell(session)) ? <AuditLog id={id} /> : id ? <AuditOfRequest id={id} /> : <NoAudit />;
}

function NoAudit() {
  return (
    <PageFrame title="Audit">
      <Notice kind="info" icon="lock" head="The whole audit log is for auditors and administrators.">
        You see the entries of each request under “So far”, and by its link “Audit of this request”.
      </Notice>
    </PageFrame>
  );
}

/** A reviewer sees the entries of one request, which come with it. */
function AuditOfRequest({ id }: { id: string }) {
  const [r, setR] = useState<Request | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  useEffect(
    () =>
      watch(async () => {
        try {
          setR(await get<Request>(requestPath(id)));
          setFailure(null);
        } catch (e) {
          if (e instanceof Failure && e.problem) setFailure(e);
          throw e;
        }
      }),
    [id],
  );
  const entries = r?.timeline.map((e) => ({ ...e, call_id: r.id, leaf_hash: "" })).reverse();
  return (
    <PageFrame
      title="Audit"
      about={
        <>
          entries of <a href={requestAddress(id)}>{id}</a>
        </>
      }
    >
      <Failed failure={failure} />
      {entries ? <Entries entries={entries} /> : !failure && <Waiting />}
      {r?.timeline_cursor && <p class="dim">There are more: pawl audit list, by an auditor.</p>}
    </PageFrame>
  );
}

function AuditLog({ id }: { id: string }) {
  const { query } = useRoute();
  const param = (name: string) => query.get(name) ?? "";
  const named = ["kind", "tool", "agent", "by", "status", "risk"].map((name) => [name, param(name)]);
  const params = queryOf({
    ...Object.fromEntries(named),
    order: "newest",
    limit: "100",
    request_id: id,
    since: dayAt(param("since"))?.toISOString() ?? "",
    until: dayAt(param("until"), 1)?.toISOString() ?? "",
  });
  const list = useList<Entry>(`/api/audit?${params}`, (e) => `${e.call_id} ${e.step}`);
  return (
    <PageFrame
      title="Audit"
      about={
        <>
          {id ? (
            <>
              entries of <a href={requestAddress(id)}>{id}</a>,{" "}
            </>
          ) : (
            "newest first, "
          )}
          {list.items?.length ?? 0} of {list.total > 1000 ? "more than 1,000" : list.total}
        </>
      }
    >
      <div class="fbar">
        <Choice name="Kind" values={KINDS} />
        <Field name="Tool" param="tool" />
        <Field name="Agent" param="agent" />
        <Field name="Decided by" param="by" />
        <Choice name="Status" values={[...ENDED, "pending", "approved", "executing"]} />
        <Choice name="Risk" values={RISKS} />
        <Days />
        {id && (
          <button class="chip" type="button" onClick={() => setQuery({ request_id: "" })}>
            All requests
          </button>
        )}
      </div>
      <Failed failure={list.failure} />
      {list.items?.length === 0 ? (
        <p class="dim">
          {list.next ? "Nothing matches so far. Load more to look further back." : "Nothing matches."}
        </p>
      ) : list.items ? (
        <Entries entries={list.items} />
      ) : (
        !list.failure && <Waiting />
      )}
      <More next={list.next} load={list.loadMore} />
    </PageFrame>
  );
}

function Entries({ entries }: { entries: Omit<Entry, "step">[] }) {
  const hashes = entries.some((e) => e.leaf_hash);
  return (
    <WideTable>
      <table class="tbl">
        <thead>
          <tr>
            <th>Time</th>
            <th>Kind</th>
            <th>What</th>
            <th>Call</th>
            {hashes && <th>Leaf hash</th>}
          </tr>
        </thead>
        <tbody>
          {entries.map((e, i) => (
            <tr key={i}>
              <td class="mono nowrap" title={full(e.at)}>
                {clock(e.at)}
              </td>
              <td class="nowrap">{e.kind}</td>
              <td>
                {describe(e.kind, e.payload).words}
                {e.damage && (
                  <span class="u">
                    changed: <Said text={e.damage} />
                  </span>
                )}
              </td>
              <td class="mono">
                {e.call_id.startsWith("@") ? (
                  e.call_id
                ) : (
                  <a href={requestAddress(e.call_id)}>{e.call_id.slice(0, 20)}</a>
                )}
              </td>
              {hashes && (
                <td class="mono dim nowrap" title={e.leaf_hash}>
                  {e.leaf_hash.slice(0, 4)} {e.leaf_hash.slice(4, 8)} …
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </WideTable>
  );
}

type ActivePolicy = PolicyVersion & PolicyText;

export function Policy({ digest, rule }: { digest: string; rule: string }) {
  const [text, setText] = useState<ActivePolicy | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const history = useList<PolicyVersion>("/api/policy/history?limit=50", (v) => String(v.version));
  useEffect(() => {
    setText(null);
    return watch(async () => {
      try {
        setText(
          await get<ActivePolicy>(digest ? `/api/policy/${encodeURIComponent(digest)}` : "/api/policy"),
        );
        setFailure(null);
      } catch (e) {
        if (e instanceof Failure && e.problem) setFailure(e);
        throw e;
      }
    });
  }, [digest]);
  const version = digest ? history.items?.find((v) => v.digest === digest) : text;
  const about = version && version.version > 0 && (
    <>
      version {version.version}, applied {clock(version.at, false)} by <Said text={version.by} />
      {version.note && (
        <>
          : <Quote text={version.note} />
        </>
      )}
    </>
  );
  return (
    <PageFrame title={digest ? "A policy" : "Policy"} about={about}>
      <Failed failure={failure} />
      <div class="split2">
        <ol class="time">
          {(history.items ?? []).map((v) => (
            <li key={v.version} class={v.digest === (text?.digest ?? digest) ? "nowpt" : ""}>
              <time title={full(v.at)}>{clock(v.at, false)}</time>
              <p>
                <a href={`/policy/${v.digest}`} aria-current={v.digest === text?.digest ? "true" : undefined}>
                  <b>{v.version}</b>
                </a>{" "}
                <Said text={v.by} most={30} />
              </p>
            </li>
          ))}
        </ol>
        <div class="stack">
          {text && text.layers.length === 0 && (
            <Notice kind="info" icon="lock" head="No policy is applied yet: everything needs approval.">
              An administrator applies one: pawl policy apply FILE
            </Notice>
          )}
          {text?.layers.map((l) => (
            <Layer key={l.name} name={l.name} text={l.text} rule={rule} />
          ))}
          {!text && !failure && <Waiting />}
          <p class="dim">Changing it is the command line’s: pawl policy test, diff and apply.</p>
        </div>
      </div>
    </PageFrame>
  );
}

/** Where a verdict's rule stands: "org.yaml:3 refund" is line 3 of org.yaml. */
function lineOf(rule: string, file: string): number {
  const found = /^(.*?):(\d+)/.exec(rule);
  return found?.[1] === file ? Number(found[2]) : 0;
}

function Layer({ name, text, rule }: { name: string; text: string; rule: string }) {
  const at = lineOf(rule, name);
  const line = useRef<HTMLElement>(null);
  useEffect(() => line.current?.scrollIntoView({ block: "center" }), [at, text]);
  const lines = text.replace(/\n$/, "").split("\n");
  const end = endOfRule(lines, at);
  return (
    <section class="sec">
      <p class="dim">
        <b>
          <Said text={name} />
        </b>
        {at > 0 && (
          <>
            , line {at}: the rule <Quote text={rule.replace(/^.*?:\d+ ?/, "") || rule} />
          </>
        )}
      </p>
      <div class="code lines plain">
        {lines.map((l, i) => (
          <p key={i} class={i + 1 >= at && i + 1 < end ? "cl here" : "cl"}>
            <i ref={i + 1 === at ? line : undefined}>{i + 1}</i>
            <span>
              <Spans spans={spans(l)} />
            </span>
          </p>
        ))}
      </div>
    </section>
  );
}

/** The line after a rule: the next that is not indented more than its first. */
function endOfRule(lines: string[], at: number): number {
  const first = lines[at - 1];
  if (first === undefined) return 0;
  const indent = first.search(/\S/);
  for (let i = at; i < lines.length; i++) {
    const here = lines[i]?.search(/\S/) ?? -1;
    if (here >= 0 && here <= indent) return i + 1;
  }
  return lines.length + 1;
}

export function Tools() {
  const [tools, setTools] = useState<Tool[] | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  useEffect(
    () =>
      watch(async () => {
        try {
          const got = await get<Page<Tool> | Tool[]>("/api/tools");
          setTools(Array.isArray(got) ? got : got.items);
          setFailure(null);
        } catch (e) {
          if (e instanceof Failure && e.problem) setFailure(e);
          throw e;
        }
      }),
    [],
  );
  const reviewer = canReview(useCell(session));
  return (
    <PageFrame title="Tools" about={tools && `${tools.length} offered`}>
      <Failed failure={failure} />
      {!tools ? (
        !failure && <Waiting />
      ) : tools.length === 0 ? (
        <p class="dim">Nobody offers a tool yet. Workers do, with a tools file or Go code.</p>
      ) : (
        <WideTable>
          <table class="tbl">
            <thead>
              <tr>
                <th>Tool</th>
                <th>What it says of itself</th>
                <th>Run by</th>
                <th>Served</th>
              </tr>
            </thead>
            <tbody>
              {tools.map((t) => (
                <tr key={t.name}>
                  <td class="mono">
                    <b>
                      <Said text={t.name} />
                    </b>
                  </td>
                  <td>
                    <Said text={t.description} most={300} />
                  </td>
                  <td>
                    <Said text={t.queue === "pawl-tools" || t.queue === "pawl" ? "a Pawl worker" : t.queue} />
                  </td>
                  <td>
                    {t.served === true ? (
                      <span class="st ok">
                        <Icon name="check" />
                        yes
                      </span>
                    ) : t.served === false ? (
                      <span class="st bad">
                        <Icon name="cross" />
                        nobody
                      </span>
                    ) : (
                      <span class="dim">not known</span>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </WideTable>
      )}
      {reviewer && <p class="dim">Tools are offered by workers and agents; nothing is changed here.</p>}
    </PageFrame>
  );
}
