// What stands above a request: how it ended, what is in its way, and what changed since.
import { type ComponentChildren, Fragment } from "preact";
import { useState } from "preact/hooks";
import type { Failure } from "./api";
import { useCell } from "./cell";
import { Compared } from "./compared";
import { link } from "./live";
import { Notice, type NoticeProps, Quote } from "./parts";
import { maySettle } from "./settle";
import { Said } from "./text";
import { clock, length } from "./time";
import { WITHDRAWN } from "./timeline";
import type { PolicyNow, Request } from "./types";

/** Notices by weight: the first is shown in full, the others on demand. */
export function Notices({ r, failure }: { r: Request; failure: Failure | undefined }) {
  const [all, setAll] = useState(false);
  const [compares, setCompares] = useState(false);
  const off = useCell(link).state === "off";
  const list: (NoticeProps & { below?: ComponentChildren })[] = [];
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
  if (r.policy_now) list.push(policyNotice(r, r.policy_now, compares, () => setCompares(!compares)));
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
        <Fragment key={i}>
          <Notice {...n} />
          {n.below}
        </Fragment>
      ))}
      {list.length > shown.length && (
        <button class="as-link" type="button" onClick={() => setAll(true)}>
          and {list.length - shown.length} more
        </button>
      )}
    </>
  );
}

/** What the policy that is active now says otherwise of a call that waits, and on demand in what it differs. */
function policyNotice(r: Request, p: PolicyNow, open: boolean, toggle: () => void) {
  const rule = (digest: string, name: string) =>
    `/policy${digest && `/${encodeURIComponent(digest)}`}#${encodeURIComponent(name)}`;
  return {
    kind: p.effect === "blocked" ? "stop" : "warn",
    icon: "warn",
    head: "The policy has changed since this call was asked for.",
    children: (
      <>
        Version {p.version} became active at {clock(p.at, false)}. <Said text={p.reason} /> It is judged by
        the policy that is active when it starts.
      </>
    ),
    end: (
      <button class="btn small" type="button" aria-expanded={open} onClick={toggle}>
        Compare
      </button>
    ),
    below:
      open &&
      p.compare?.map((b, i) => (
        <Compared
          key={i}
          b={b}
          ours
          was={<a href={rule(r.policy?.digest ?? "", r.policy?.rule ?? "")}>when it was asked for</a>}
          now={<a href={rule("", p.rule)}>version {p.version}, active now</a>}
        />
      )),
  } as const;
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
  // What says that a call has ended may come before what says when, and by whom.
  const at = r.ended_at ? ` at ${clock(r.ended_at)}` : "";
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
        ? { kind: "stop", icon: "clock", head: `Expired${at}.`, children: why }
        : {
            kind: "stop",
            icon: "clock",
            head: `Expired${at}. Nobody decided, so it was denied.`,
            children: <>Nothing ran. {agent} was told “expired”.</>,
          };
    case "rejected":
      return {
        kind: "stop",
        icon: "cross",
        head: r.decision ? (
          <>
            {by} rejected this at {clock(r.decision.at)}.
          </>
        ) : (
          `Rejected${at}.`
        ),
        children: notes,
      };
    case "cancelled":
      return {
        kind: "stop",
        icon: "cross",
        head: (
          <>
            Withdrawn{r.decision && <> by {by}</>}
            {at}.
          </>
        ),
        children: notes || (r.error?.message !== WITHDRAWN && why),
      };
    case "blocked":
      return {
        kind: "stop",
        icon: "lock",
        head: <>Blocked: {why}.</>,
        children: !r.error?.message.includes("nothing ran") && "Nothing ran.",
      };
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
        head: `Executed${at}${took}.`,
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
            Failed{at}: the tool said {r.error ? <Quote text={r.error.message} /> : "nothing"}.
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
        head: (
          <>
            Outcome unknown{at.replace(" at ", " since ")}. It may have run; Pawl never tries again by itself.
          </>
        ),
        children: (
          <>
            {r.error && (
              <>
                What is known: <Quote text={r.error.message} />.{" "}
              </>
            )}
            Look at the tool’s own records
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
