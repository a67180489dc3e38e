// The decision bar. It keeps its place and height, and answers appear where the button was pressed.
//
// It guards against approving by accident: (a) no second click of a double click decides; (b) nothing
// decides for half a second after a request appears, after its bar changed by itself, and after the
// window got the focus; (c) keys typed in the first 300 ms after arming are dropped; (d) no button
// takes another's place but a harmless one; (e) a key that is held down decides nothing; (f) only the
// reviewer moves on to the next request.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Act, type Answer, isFinal, refused, taken } from "./answers";
import { type Decision, decide, Failure, get, newID, now } from "./api";
import { useCell } from "./cell";
import { Digest, DigestLine } from "./digest";
import { draftOf, keepDraft } from "./drafts";
import { ARMING, heldDown, useCalm } from "./guards";
import { useKeys } from "./keys";
import { link } from "./live";
import { Notes } from "./notesfield";
import { isPhone } from "./parted";
import { Icon, RiskTag } from "./parts";
import { reloaded } from "./requests";
import { Sending } from "./sending";
import { nameOf, session, signIn } from "./session";
import { Statement, whyOff } from "./statement";
import { Summary } from "./summary";
import type { DecisionAnswer, Kind, Request } from "./types";

export type Step = "ready" | "armed" | "critical" | "approve" | "reject" | "sending" | "answered";

// A decision whose fate is not known outlives the bar.
const pending = new Map<string, Decision>();

export interface BarProps {
  r: Request;
  digest: string; // of what is on the screen
  hidden: { found: boolean; read: boolean; tick: (on: boolean) => void };
  unseen: { what: string; show: () => void }[];
  changed: boolean; // since it was opened
  showChanged: () => void;
  next: (() => void) | undefined;
}

export function Bar(p: BarProps) {
  const { r } = p;
  const [step, setStep] = useState<Step>("ready");
  const who = nameOf(useCell(session));
  const [notes, setNotes] = useState(draftOf(who, r.id));
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [kind, setKind] = useState<Kind>("approve");
  const notesField = useRef<HTMLTextAreaElement>(null);
  const approveButton = useRef<HTMLButtonElement>(null);
  const rejectButton = useRef<HTMLButtonElement>(null);
  const backButton = useRef<HTMLButtonElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const armedAt = useRef(0);
  const sentAt = useRef(0); // on the server's clock
  const connected = useCell(link).state !== "off";

  const toNotes = () => notesField.current?.focus();
  const off = whyOff(p, connected, notes, step, toNotes);
  const mayReject = r.you === undefined || r.you.may.includes("reject");
  const rejectOff = off?.reject ? off : null;
  const risky = r.risk === "critical";
  const reasonNeeded = r.requirement?.require_reason === true;

  const isCalm = useCalm(
    JSON.stringify([
      ...[r.you?.may, r.you?.if_approve, r.you?.if_reject, r.status, connected, r.digest],
      step === "critical", // its button may stand where one of the step before stood
    ]),
  ); // (b)

  /** A press counts unless a guard stops it. */
  const press = (act: () => void) => (e: MouseEvent) => {
    if (e.detail > 1 || !isCalm()) return; // (a), (b)
    act();
  };

  const write = (text: string) => {
    setAnswer(null);
    setNotes(text);
    keepDraft(who, r.id, text);
  };

  const send = async (which: Kind) => {
    const old = pending.get(r.id);
    const d: Decision =
      old && old.kind === which && old.notes === notes && old.digest === p.digest
        ? old
        : { kind: which, notes, digest: p.digest, decision_id: newID() };
    pending.set(r.id, d);
    setKind(which);
    setStep("sending");
    const sent = now();
    sentAt.current = sent;
    let a: Answer;
    try {
      const taken_ = await decide(r.id, d);
      pending.delete(r.id);
      keepDraft(who, r.id, "");
      a = taken(taken_, d, sent, r, await reloaded(r));
    } catch (e) {
      if (!(e instanceof Failure)) throw e;
      if (isFinal(e)) pending.delete(r.id);
      a = refused(e, d, sent, e.problem ? await reloaded(r) : r);
    }
    setAnswer(a);
    setStep(a.open ? "ready" : "answered");
  };

  const approve = () => {
    if (off || step !== "ready") return;
    // A phone's notes are written in a step of their own.
    if (isPhone() && (!risky || reasonNeeded)) setStep("approve");
    else if (risky) setStep("critical");
    else void send("approve");
  };
  const approveNoted = () => {
    if (off) notesField.current?.focus();
    else if (risky) setStep("critical");
    else void send("approve");
  };
  const arm = () => {
    if (off?.act?.byKey && step === "ready") return off.act.do();
    if (off || step !== "ready" || !isCalm()) return;
    if (isPhone() && reasonNeeded) setStep("approve");
    else if (risky) setStep("critical");
    else {
      armedAt.current = performance.now();
      setStep("armed");
    }
  };
  const toReject = () => {
    if (!mayReject || rejectOff) return;
    setAnswer(null);
    setStep("reject");
  };
  const back = () => {
    const from = step;
    setStep("ready");
    // Only after it is drawn is the button there again.
    requestAnimationFrame(() => (from === "reject" ? rejectButton : approveButton).current?.focus());
  };

  const leaveNotes = () => {
    if (document.activeElement !== notesField.current) return false;
    return notesField.current?.blur();
  };

  useKeys({
    a: step === "ready" ? arm : undefined,
    r: step === "ready" ? () => isCalm() && toReject() : undefined,
    Escape: ["armed", "critical", "approve", "reject"].includes(step) ? back : leaveNotes,
  });

  // Focus: to where the step begins, and to an answer's heading.
  useLayoutEffect(() => {
    if (step === "reject" || step === "approve") notesField.current?.focus();
    if (step === "critical") backButton.current?.focus();
    if (step === "answered") heading.current?.focus();
    if (step === "ready" && answer) document.getElementById("statement")?.focus();
    if (step !== "armed") return;
    const drop = (e: KeyboardEvent) => {
      if (e.key === "Escape" || performance.now() - armedAt.current >= ARMING) return;
      e.preventDefault(); // (c)
      e.stopPropagation();
    };
    addEventListener("keydown", drop, true);
    const timer = setTimeout(() => approveButton.current?.focus(), ARMING);
    return () => {
      clearTimeout(timer);
      removeEventListener("keydown", drop, true);
    };
  }, [step]);

  // A call that changed, or was decided by others, while a step was open: back to the start.
  useEffect(() => {
    if (off && !off.inStep && ["armed", "critical", "approve"].includes(step)) setStep("ready");
  }, [off !== null && !off.inStep]);

  // An answer that is not the last word.
  useEffect(() => {
    if (step !== "answered" || !answer) return;
    if (answer.retry !== undefined) {
      const timer = setTimeout(() => void send(kind), answer.retry - Date.now());
      return () => clearTimeout(timer);
    }
    const { ask } = answer;
    if (ask === undefined) return;
    const timer = setInterval(async () => {
      try {
        const a = await get<DecisionAnswer>(ask);
        if (a.outcome === "not_judged_yet") return;
        const d = { kind, notes, digest: p.digest, decision_id: a.decision_id };
        const after = await reloaded(r);
        setAnswer(
          a.outcome === "resolved" || a.outcome === "recorded"
            ? taken(a, d, sentAt.current, r, after)
            : refused(
                new Failure({ title: "", status: 409, detail: a.message ?? "", code: a.outcome }),
                d,
                sentAt.current,
                after,
              ),
        );
      } catch (e) {
        if (!(e instanceof Failure)) throw e; // asked again in a moment
      }
    }, 2000);
    return () => clearInterval(timer);
  }, [step, answer]);

  if (step === "sending") return <Sending kind={kind} />;

  if (step === "answered" && answer) {
    const acts: Record<Act, ComponentChildren> = {
      next: p.next && (
        <button class="btn" type="button" onClick={press(p.next)}>
          Next request <kbd>j</kbd>
        </button>
      ),
      change: mayReject && (
        <button class="btn quiet" type="button" onClick={press(toReject)}>
          Change it
        </button>
      ),
      reject: mayReject && (
        <button class="btn quiet" type="button" onClick={press(toReject)}>
          Reject…
        </button>
      ),
      reload: (
        <button
          class="btn"
          type="button"
          onClick={press(() => {
            p.showChanged();
            setStep("ready");
          })}
        >
          Show it as it is now
        </button>
      ),
      again: (
        <button class="btn" type="button" onClick={press(() => void send(kind))}>
          Send again
        </button>
      ),
      "sign-in": (
        <button class="btn" type="button" onClick={press(() => void signIn())}>
          Sign in
        </button>
      ),
    };
    return (
      <div class={`bar ${answer.kind}`}>
        <div class={`answer ${answer.kind}`} role={answer.kind === "good" ? "status" : "alert"}>
          <Icon name={answer.icon} />
          <h4 tabIndex={-1} ref={heading}>
            {answer.head}
          </h4>
          {answer.more && <p>{answer.more}</p>}
          <div class="acts">{answer.acts.map((a) => acts[a])}</div>
        </div>
      </div>
    );
  }

  if (step === "critical") {
    return (
      <div
        class="bar bad"
        role="alertdialog"
        aria-labelledby="critical-head"
        aria-describedby="critical-what"
      >
        <div class="answer bad">
          <Icon name="critical" />
          <h4 id="critical-head">Approve a critical call?</h4>
          <p id="critical-what">
            <Summary v={r} /> <DigestLine digest={p.digest} />
          </p>
          <div class="acts">
            <button
              class="btn crit"
              type="button"
              onKeyDown={heldDown}
              onClick={press(() => void send("approve"))}
            >
              Approve it
            </button>
            <button class="btn back" type="button" ref={backButton} onKeyDown={heldDown} onClick={back}>
              Go back <kbd>Esc</kbd>
            </button>
          </div>
        </div>
      </div>
    );
  }

  const inStep = step === "reject" || step === "approve";
  const submit = (e: KeyboardEvent) => {
    if (e.key !== "Enter" || e.repeat || !(e.ctrlKey || e.metaKey) || !isCalm()) return;
    e.preventDefault();
    if (step === "reject" && !rejectOff) void send("reject");
  };
  return (
    <form class="bar" aria-label="Your decision" onSubmit={(e) => e.preventDefault()}>
      <div class={inStep ? `r1 step ${step}` : "r1"}>
        <Notes
          field={notesField}
          value={notes}
          onInput={write}
          onKeyDown={submit}
          hint={
            reasonNeeded
              ? `Why? ${isPhone() ? "A reason is needed." : "This rule needs a reason for every approval."}`
              : `Notes${isPhone() ? "" : " for the agent and the record"} (optional)`
          }
        />
        <Digest digest={p.digest} />
      </div>
      <div class="r2">
        {(r.risk === "high" || risky) && <RiskTag risk={r.risk} />}
        <div class="stmt" id="statement" tabIndex={-1}>
          <Statement
            p={p}
            step={step}
            off={off}
            answer={step === "ready" ? answer : null}
            toNotes={toNotes}
          />
        </div>
        {step === "reject" ? (
          <>
            <button
              class="btn crit no"
              type="button"
              onKeyDown={heldDown}
              onClick={press(() => !rejectOff && void send("reject"))}
              aria-disabled={rejectOff ? true : undefined}
              aria-describedby="statement"
            >
              Reject <kbd>Ctrl Enter</kbd>
            </button>
            <button class="btn back" type="button" ref={backButton} onClick={back}>
              Go back <kbd>Esc</kbd>
            </button>
          </>
        ) : step === "approve" ? (
          <>
            <button
              class="btn yes"
              type="button"
              onKeyDown={heldDown}
              onClick={press(approveNoted)}
              aria-disabled={off ? true : undefined}
              aria-describedby="statement"
            >
              {risky ? "Approve…" : "Approve it"}
            </button>
            <button class="btn back" type="button" ref={backButton} onClick={back}>
              Go back
            </button>
          </>
        ) : (
          <>
            <button
              class="btn no"
              type="button"
              ref={rejectButton}
              onKeyDown={heldDown}
              onClick={press(toReject)}
              aria-disabled={rejectOff || !mayReject ? true : undefined}
              aria-describedby="statement"
            >
              Reject <kbd>r</kbd>
            </button>
            <button
              class="btn yes"
              type="button"
              ref={approveButton}
              onKeyDown={heldDown}
              onClick={press(
                step === "armed"
                  ? () => performance.now() - armedAt.current >= ARMING && void send("approve")
                  : approve,
              )}
              aria-disabled={off ? true : undefined}
              aria-describedby="statement"
            >
              {risky || (isPhone() && !off) ? "Approve…" : "Approve"}{" "}
              <kbd>{step === "armed" ? "Enter" : "a"}</kbd>
            </button>
          </>
        )}
      </div>
    </form>
  );
}
