// What happened to a call so far, from its part of the audit log.
import type { ComponentChildren } from "preact";
import { logged } from "./logged";
import { inWords, Quote } from "./parts";
import { Said } from "./text";
import { clock, full } from "./time";
import type { Json, Request, TimelineEvent } from "./types";

export type Fields = { [key: string]: Json };
export const fields = (v: Json | undefined): Fields =>
  v !== null && typeof v === "object" && !Array.isArray(v) ? (v as Fields) : {};
export const text = (v: Json | undefined): string => (typeof v === "string" ? v : "");

const VERDICTS: Record<string, string> = {
  allow: "Allowed",
  require_approval: "Needs approval",
  deny: "Denied",
};

/** What the outcome of a withdrawn call says, which goes without saying. */
export const WITHDRAWN = "the call was withdrawn";

/** An entry in words. below: it stands right below the decision that it tells of. */
export function describe(
  kind: string,
  payload: Json,
  below = false,
): { cls: string; words: ComponentChildren } {
  const p = fields(payload);
  const plain = (words: ComponentChildren, cls = "") => ({ cls, words });
  if (payload === null) return plain(`${kind}: what it held was removed by retention.`);
  switch (kind) {
    case "call.requested": {
      const verdict = fields(p.verdict);
      const rule = text(fields(verdict.policy).rule);
      return plain(
        <>
          Asked for by{" "}
          <b>{<Said text={text(fields(p.call).requester) || text(fields(p.call).agent) || "an agent"} />}</b>.{" "}
          <span class="dim">
            {VERDICTS[text(verdict.verdict)] ?? text(verdict.verdict)}
            {rule && (
              <>
                : <Said text={rule} />
              </>
            )}
          </span>
        </>,
      );
    }
    case "call.blocked":
      return plain(<>Blocked before anybody was asked: {text(p.code).replaceAll("_", " ")}.</>, "nay");
    case "decision.counted":
    case "decision.refused":
    case "decision.sent":
      return decision(kind, p);
    case "call.tightened":
      return plain(
        <>
          The active policy demands more: <Said text={text(p.why)} />
        </>,
        "nowpt",
      );
    case "call.claimed":
      return plain("The permit to run the tool was taken.", "yes");
    case "tool.started":
      return plain("The tool started: from here it may have run.", "yes");
    case "tool.not_started":
      return plain(<>The tool was not started: {text(p.code).replaceAll("_", " ")}.</>, "nay");
    case "tool.reported":
      return plain(<>Its caller reported: {text(p.status).replaceAll("_", " ")}.</>);
    case "call.ended": {
      const outcome = fields(p.outcome);
      const status = text(outcome.status);
      const why = text(fields(outcome.error).message);
      return plain(
        <>
          Ended: {inWords(status)}.
          {why && !below && why !== WITHDRAWN && (
            <>
              {" "}
              <Quote text={why} />
            </>
          )}
        </>,
        status === "executed" ? "yes" : "nay",
      );
    }
    case "call.settled": {
      const s = fields(p.settled ?? p);
      return plain(
        <>
          <b>
            <Said text={text(s.by) || text(s.reviewer) || "A reviewer"} />
          </b>{" "}
          found that it {s.ran === true ? "did run" : "did not run"}: <Quote text={text(s.notes)} />
        </>,
        s.ran === true ? "yes" : "nay",
      );
    }
  }
  return plain(logged(kind, p) || <Said text={kind} />);
}

function decision(kind: string, p: Fields): { cls: string; words: ComponentChildren } {
  if (kind === "decision.sent") {
    return {
      cls: "",
      words: (
        <>
          <b>
            <Said text={text(p.reviewer)} />
          </b>{" "}
          sent {p.decision === "approve" ? "an approval" : "a rejection"}.
        </>
      ),
    };
  }
  if (kind === "decision.refused") {
    const all = Array.isArray(p.refused) ? p.refused.map(fields) : [];
    return {
      cls: "",
      words: (
        <>
          Not counted:{" "}
          {all.slice(0, 3).map((r, i) => (
            <span key={i}>
              {i > 0 && ", "}
              <Said text={text(r.reviewer) || "somebody"} /> ({text(r.signal)},{" "}
              <Said text={text(r.outcome) || text(r.message)} />)
            </span>
          ))}
          {all.length > 3 && ` and ${all.length - 3} more`}
        </>
      ),
    };
  }
  const d = fields(p.decision);
  const yes = d.kind === "approve";
  const notes = text(d.notes);
  return {
    cls: yes ? "yes" : "nay",
    words: (
      <>
        <b>
          <Said text={text(d.reviewer) || "Somebody"} />
        </b>{" "}
        {yes ? "approved" : "rejected"}
        {notes ? (
          <>
            : <Quote text={notes} />
          </>
        ) : (
          "."
        )}{" "}
        <span class="dim">
          {d.authenticated === true
            ? `signed in by ${text(d.method).replace("oidc", "OIDC") || "token"}`
            : "not verified"}
        </span>
      </>
    ),
  };
}

/** What happened, a decision once: as it was counted where it was, and else as it was sent. */
function entries(r: Request): TimelineEvent[] {
  const counted = new Set(
    r.timeline.map((e) =>
      text(fields(fields(e.kind === "decision.counted" ? e.payload : null).decision).decision_id),
    ),
  );
  const votes = new Map((r.votes ?? []).map((v) => [v.decision_id, v]));
  return r.timeline.flatMap((e) => {
    const id = e.kind === "decision.sent" ? text(fields(e.payload).decision_id) : "";
    if (id === "" || e.damage) return [e];
    if (counted.has(id)) return [];
    const vote = votes.get(id);
    // The log has it when the call is claimed or ends; until then its workflow says that it counts.
    return [vote ? { ...e, kind: "decision.counted", payload: { decision: { ...vote } } as Json } : e];
  });
}

export function Timeline({ r }: { r: Request }) {
  const waits = r.status === "pending" && r.approvals?.missing;
  return (
    <section class="sec">
      <header>
        <h3>So far</h3>
        <span class="end">
          <a href={`/audit?request_id=${encodeURIComponent(r.id)}`}>Audit of this request</a>
        </span>
      </header>
      <ol class="time">
        {entries(r).map((e, i, all) => (
          <Item key={i} e={e} below={r.status === "rejected" && all[i - 1]?.kind === "decision.counted"} />
        ))}
        {r.timeline_cursor && (
          <li>
            <time>…</time>
            <p>The audit log has more.</p>
          </li>
        )}
        {waits && (
          <li class="nowpt">
            <time>now</time>
            <p>
              Waits for <Said text={waits} />.{" "}
              {r.deadline && `If nobody decides by ${clock(r.deadline, false)}, it is denied.`}
            </p>
          </li>
        )}
      </ol>
    </section>
  );
}

function Item({ e, below }: { e: TimelineEvent; below: boolean }) {
  const { cls, words } = describe(e.kind, e.payload, below);
  return (
    <li class={cls}>
      <time dateTime={e.at} title={full(e.at)}>
        {clock(e.at)}
      </time>
      <p>
        {words}
        {e.damage && (
          <span class="u">
            this entry was changed: <Said text={e.damage} />
          </span>
        )}
      </p>
    </li>
  );
}
