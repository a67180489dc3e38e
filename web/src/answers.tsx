// What a decision did, in words: what stands now, who and when, and whether anything of mine counted.
import type { ComponentChildren } from "preact";
import { type Decision, type Failure, now } from "./api";
import { Quote } from "./parts";
import { Said } from "./text";
import { clock, length } from "./time";
import type { DecisionAnswer, Request } from "./types";

export type Act = "next" | "change" | "reject" | "reload" | "again" | "sign-in";

export interface Answer {
  kind: "good" | "bad" | "warn";
  icon: string;
  head: ComponentChildren;
  more?: ComponentChildren;
  acts: readonly Act[];
  /** The bar stays open with what was typed, which can be mended. */
  open?: boolean;
  /** The same decision is sent again by itself at this time of this computer's. */
  retry?: number;
  /** Nobody has judged the decision yet: ask again at this address. */
  ask?: string;
}

const agentOf = (r: Request) => <Said text={r.agent || r.requester || "the agent"} />;

/** The answer to a decision that was taken. after is the request as it is now, if that could be loaded. */
export function taken(a: DecisionAnswer, d: Decision, sent: number, before: Request, after: Request): Answer {
  const good = { kind: "good", icon: "check", acts: ["next"] } as const;
  if (a.outcome === "not_judged_yet") {
    const since = now() - sent;
    return {
      kind: "warn",
      icon: "clock",
      head: "Sent and kept. Not judged yet.",
      more: `No worker has answered ${since < 1000 ? "yet" : `for ${length(since)}`}. It counts from when it was sent, ${clock(sent)}. You can leave; the answer will be here.`,
      acts: ["next"],
      ...(a.location ? { ask: a.location } : {}),
    };
  }
  if (a.outcome === "resolved") return { ...good, ...resolved(d, after) };
  const stand = after.approvals;
  if (d.kind === "reject") {
    const n = after.votes?.filter((v) => v.kind === "reject").length ?? 1;
    return {
      ...good,
      head: `Your rejection counts: ${n} of ${after.requirement?.deny_count ?? n}.`,
      more: "It goes on waiting until the others reject or approve. You can't take yours back.",
    };
  }
  const again = before.you?.voted === "approve";
  return {
    ...good,
    head: again ? "You had approved already." : `Your approval counts: ${stand?.given} of ${stand?.needed}.`,
    more: again ? (
      `Nothing changed: ${stand?.given} of ${stand?.needed}.`
    ) : (
      <>
        It now waits for <Said text={stand?.missing || "others"} />. You may still turn it into a rejection.
      </>
    ),
    acts: ["change", "next"],
  };
}

function resolved(d: Decision, r: Request): Pick<Answer, "head" | "more"> {
  if (d.kind === "reject") return { head: "Rejected.", more: <>{agentOf(r)} reads your notes.</> };
  if (r.execution === "caller") {
    return {
      head: <>Approved. {agentOf(r)} may run it now.</>,
      more:
        r.status === "approved" && r.waiting?.until
          ? `Its permit is good until ${clock(r.waiting.until, false)}. What came of it will appear here.`
          : "Yours was the last approval. What came of it will appear here.",
    };
  }
  return {
    head: (
      <>
        Approved. <Said text={r.tool} /> is released and runs now.
      </>
    ),
    more: "Yours was the last approval. The result will appear here.",
  };
}

/** The answer where a decision was refused, or nobody knows whether it arrived. */
export function refused(e: Failure, d: Decision, sent: number, after: Request): Answer {
  const bad = { kind: "bad", icon: "cross", acts: ["next"] as Act[] } as const;
  const mine = d.kind === "approve" ? "approval" : "rejection";
  const p = e.problem;
  if (!p) {
    return {
      kind: "warn",
      icon: "plug",
      head: "We don’t know whether it arrived.",
      more: "Sending again is safe: it is the same decision and counts once.",
      acts: ["again"],
    };
  }
  switch (p.outcome || p.code) {
    case "already_resolved": {
      const s = after.decision;
      const late = s ? sent - Date.parse(s.at) : 0;
      const words: Partial<Record<string, string>> = {
        approve: "approved",
        reject: "rejected",
        cancel: "withdrew",
      };
      return {
        ...bad,
        head: s?.by ? (
          <>
            Already decided: <Said text={s.by} /> {words[s.kind] || "ended"} it at {clock(s.at)}.
          </>
        ) : (
          <>Already decided: it is {after.status.replaceAll("_", " ")}.</>
        ),
        more: (
          <>
            {s?.notes && (
              <>
                <Quote text={s.notes} />{" "}
              </>
            )}
            Your {mine} {late > 1000 ? `came ${length(late)} later and ` : ""}was not counted.
          </>
        ),
      };
    }
    case "expired":
    case "approval_expired": {
      const late = after.deadline ? sent - Date.parse(after.deadline) : 0;
      return {
        ...bad,
        icon: "clock",
        head: `Too late${late > 0 ? ` by ${length(late)}` : ""}. Denied by silence at ${clock(after.deadline)}.`,
        more: <>Nothing ran. {agentOf(after)} was told that nobody answered in time and may ask again.</>,
      };
    }
    case "stale":
      return {
        kind: "warn",
        icon: "warn",
        head: "The call changed while you read it. Nothing was counted.",
        more: `Your ${mine} was for the version before.`,
        acts: ["reload"],
      };
    case "not_waiting_yet":
      return {
        kind: "warn",
        icon: "clock",
        head: "Not waiting for people yet.",
        more: "The policy is still judging it. Nothing was sent on; press again in a moment.",
        acts: ["reload"],
      };
    case "forbidden":
    case "not_permitted":
      return {
        ...bad,
        icon: "lock",
        head: firstSentence(p.detail),
        more: otherSentences(p.detail),
        acts: d.kind === "approve" ? ["reject", "next"] : ["next"],
      };
    case "unknown":
    case "not_found":
      return {
        ...bad,
        head: "There is no such call here.",
        more: "It may belong to another Pawl, or be out of your reach.",
      };
    case "workflow_gone":
      return { ...bad, head: "Ended in Temporal by an operator.", more: "It can’t be decided any more." };
  }
  if (e.status === 401) {
    return {
      kind: "warn",
      icon: "lock",
      head: "You are signed out.",
      more: "Nothing was sent. Sign in, then decide; your notes are kept.",
      acts: ["sign-in"],
    };
  }
  if (e.status === 429 || e.status === 503 || e.status >= 500) {
    return {
      kind: "warn",
      icon: "clock",
      head: <>Not taken yet: {firstSentence(p.detail || p.title)}</>,
      more: "Trying again in 5 s. It is the same decision and counts once.",
      acts: ["again"],
      retry: Date.now() + 5000,
    };
  }
  return {
    kind: "warn",
    icon: "warn",
    head: (
      <>
        Not accepted: <Said text={p.detail.replace(/\.$/, "")} />.
      </>
    ),
    more: "Nothing was decided.",
    acts: [],
    open: true,
  };
}

function firstSentence(s: string): ComponentChildren {
  const end = s.indexOf(". ");
  return <Said text={end < 0 ? s : s.slice(0, end + 1)} />;
}

function otherSentences(s: string): ComponentChildren {
  const end = s.indexOf(". ");
  return end >= 0 && <Said text={s.slice(end + 2)} />;
}

/** Whether a failure says that the decision was certainly not taken. */
export function isFinal(e: Failure): boolean {
  return e.problem !== null && e.status !== 429 && e.status < 500;
}
