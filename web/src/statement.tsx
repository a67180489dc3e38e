// What the decision bar says: what approving would do, or why it is off and what to do about it.
import type { ComponentChildren } from "preact";
import type { Answer } from "./answers";
import { argumentBlocks, redactedIn } from "./args";
import type { BarProps, Step } from "./bar";
import { isPhone } from "./parted";
import { Icon, Left, plural } from "./parts";
import { ending } from "./queue";
import { Summary } from "./summary";
import { Said } from "./text";

/** Why approving is off, and what the reviewer can do about it. */
export interface Off {
  icon: string;
  why: ComponentChildren;
  act?: { words: string; do: () => void; byKey?: boolean }; // byKey: the key for approving does it, too
  reject?: boolean; // rejecting is off, too
  head?: string; // said instead of "Approve is off"
  inStep?: boolean; // the step that is open takes what is missing
}

/** The first reason for which Approve is off. */
export function whyOff(
  p: BarProps,
  connected: boolean,
  notes: string,
  step: Step,
  write: () => void,
): Off | null {
  const { r } = p;
  if (!connected) {
    const why = (
      <>
        until this page is connected again. Rejecting too.
        {r.deadline && (
          <>
            {" "}
            Time keeps running: <Left deadline={r.deadline} /> by this computer’s clock.
          </>
        )}
      </>
    );
    return { icon: "plug", why, reject: true };
  }
  if (r.you && !r.you.may.includes("approve")) {
    if (r.status !== "pending") {
      const next = p.next && { act: { words: "Next request", do: p.next } };
      return { icon: "lock", head: "Decided meanwhile:", why: `${ending(r)}.`, ...next };
    }
    // What is said of an approval after its words: that it can't be given is said before them.
    const why = (r.you.why || "you may not decide this one.").replace(/^You can't approve this one: /, "");
    const head = r.you.voted || why.startsWith("You can't") ? "" : "Approve is off:";
    return { icon: r.you.voted ? "check" : "lock", head, why: <Said text={why} /> };
  }
  if (p.changed) {
    return {
      icon: "warn",
      why: "The call changed while you read it.",
      act: { words: "Show what changed", do: p.showChanged },
      reject: true,
    };
  }
  const [first] = p.unseen;
  if (first && (r.risk === "high" || r.risk === "critical")) {
    const n = p.unseen.length;
    const why = `${plural(n, "part")} ${n === 1 ? "was" : "were"} not on your screen yet.`;
    return { icon: "eye", why, act: { words: `Show ${first.what}`, do: first.show } };
  }
  if (p.hidden.found && !p.hidden.read) return { icon: "warn", why: "" };
  if (r.requirement?.require_reason && notes.trim() === "") {
    const missing = { icon: "warn", why: "write a reason first." };
    if (!isPhone()) return { ...missing, act: { words: "Write", do: write, byKey: true } };
    return step === "approve" ? { ...missing, inStep: true } : null; // its field is in that step
  }
  return null;
}

export function Statement({
  p,
  step,
  off,
  answer,
  toNotes,
}: {
  p: BarProps;
  step: Step;
  off: Off | null;
  answer: Answer | null;
  toNotes: () => void;
}) {
  const { r } = p;
  if (answer) {
    return (
      <span class="why" role="alert">
        <Icon name={answer.icon} />
        <span>
          <b>{answer.head}</b> {answer.more}{" "}
          <button class="as-link" type="button" onClick={toNotes}>
            Go there
          </button>
        </span>
      </span>
    );
  }
  if (step === "armed") {
    return (
      <span role="status">
        <b>Press Enter to approve</b> <Summary v={r} />. Esc goes back.
      </span>
    );
  }
  if (step === "reject") {
    return (
      <>
        <b>
          <Said text={r.agent || "The agent"} /> reads your notes
        </b>{" "}
        and may ask again with a change.
      </>
    );
  }
  const tick = p.hidden.found && !p.hidden.read && (
    <span class="why">
      <Icon name="warn" />
      <span>
        <b>Hidden characters found.</b> Tick the box to turn Approve on.
        <br />
        <label>
          <input type="checkbox" onChange={(e) => p.hidden.tick(e.currentTarget.checked)} /> I have read the
          marked text
        </label>
      </span>
    </span>
  );
  if (off?.why === "") return <>{tick}</>;
  if (off) {
    return (
      <span class="why">
        <Icon name={off.icon} />
        <span>
          <b>{off.head ?? "Approve is off:"}</b> {off.why}{" "}
          {off.act && (
            <button class="as-link" type="button" onClick={off.act.do}>
              {off.act.words}
            </button>
          )}
        </span>
      </span>
    );
  }
  const redacted = redactedIn(argumentBlocks(r));
  const rejects = r.you?.if_reject && (r.requirement?.deny_count ?? 1) > 1 ? r.you.if_reject : "";
  return (
    <>
      <b>
        <Said text={r.you?.if_approve || "Press to see whether yours counts."} />
      </b>
      {rejects && (
        <>
          <br />
          <Said text={rejects} />
        </>
      )}
      {redacted > 0 && !rejects && p.unseen.length === 0 && (
        <>
          <br />
          {redacted === 1 ? "1 value is redacted" : `${redacted} values are redacted`}: you approve{" "}
          {redacted === 1 ? "it" : "them"} unseen.
        </>
      )}
      {p.unseen.length > 0 && !rejects && (
        <>
          <br />
          Not all of it was on your screen.
        </>
      )}
    </>
  );
}
